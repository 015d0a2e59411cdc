# SPDX-License-Identifier: Apache-2.0
include(${CMAKE_CURRENT_LIST_DIR}/cuda/kernels/kernels.cmake)
kvant_module(backends DEPS engine backends_cuda_kernels LIBRARIES dnnl gomp ${CMAKE_DL_LIBS} EXCLUDE "/cuda/(kernels|emulator)/")
include(${PROJECT_SOURCE_DIR}/cmake/cuda_fatbins.cmake)
kvant_embed_fatbins(kvant_backends ${KVANT_CUDA_FATBINS})
find_path(KVANT_CUDA_INCLUDE cuda.h HINTS $ENV{CUDA_HOME}/include PATHS /usr/local/cuda/include)
if(KVANT_CUDA_INCLUDE AND TARGET backends_test)  # our declarations of the driver are compared with NVIDIA's
  target_include_directories(backends_test SYSTEM PRIVATE ${KVANT_CUDA_INCLUDE})
endif()
