# SPDX-License-Identifier: Apache-2.0
# The kernels twice: always as C++ for the emulator, and with nvcc, where there is one, for GPUs. Every
# kernels/*/<module>.cu becomes <build>/cuda/<module>.fatbin; a module whose name ends with _sm90 only runs from sm_90
# on, one that ends with _sm90a on capability 9.0 only. -fmad=false: a formula is the same operations on every device; kernels ask for fma where they mean it. Beside it stay the PTX and what ptxas says of registers
# (<module>.sm_80.ptx, .log), which the tests read. Gives KVANT_CUDA_FATBINS (empty without nvcc) and the target kvant_cuda_fatbins.
set(KVANT_CUDA_SMS 80 90 CACHE STRING "compute capabilities to compile CUDA kernels for")
set(KVANT_CUDA_DIRECTORY ${PROJECT_BINARY_DIR}/cuda)
file(GLOB_RECURSE KVANT_CUDA_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backends/cuda/kernels/*.cu)

kvant_module(backends/cuda/emulator DEPS tensor)
kvant_module(backends/cuda/kernels DEPS backends_cuda_emulator TEST_DEPS ops)
set_source_files_properties(${KVANT_CUDA_SOURCES} PROPERTIES LANGUAGE CXX SKIP_PRECOMPILE_HEADERS ON)
target_sources(kvant_backends_cuda_kernels PRIVATE ${KVANT_CUDA_SOURCES})

set(KVANT_CUDA_FATBINS "")
if(NOT KVANT_CUDA STREQUAL "OFF")
  find_program(KVANT_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  if(KVANT_NVCC)
    get_filename_component(KVANT_CUDA_BIN ${KVANT_NVCC} DIRECTORY)
  elseif(KVANT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "KVANT_CUDA=ON needs nvcc (CUDA 12 or newer), which is not in PATH, CUDA_HOME or /usr/local/cuda")
  endif()
endif()
if(KVANT_NVCC)
  file(MAKE_DIRECTORY ${KVANT_CUDA_DIRECTORY})
  foreach(source IN LISTS KVANT_CUDA_SOURCES)
    get_filename_component(module ${source} NAME_WE)
    set(architectures ${KVANT_CUDA_SMS})
    if(module MATCHES "_sm90$")
      list(FILTER architectures EXCLUDE REGEX "^[1-8].$")
    elseif(module MATCHES "_sm90a$")
      list(FILTER architectures INCLUDE REGEX "^90$")
      list(TRANSFORM architectures APPEND a)
    endif()
    set(images "")
    set(cubins "")
    foreach(architecture IN LISTS architectures)
      set(stem ${KVANT_CUDA_DIRECTORY}/${module}.sm_${architecture})
      add_custom_command(
        OUTPUT ${stem}.cubin ${stem}.ptx ${stem}.log
        COMMAND ${KVANT_NVCC} -std=c++20 -O3 -fmad=false --expt-relaxed-constexpr -I${PROJECT_SOURCE_DIR}/src
                -arch=compute_${architecture} -ptx -MD -MF ${stem}.d -MT ${stem}.cubin -o ${stem}.ptx ${source}
        COMMAND ${KVANT_CUDA_BIN}/ptxas -v -arch=sm_${architecture} -o ${stem}.cubin ${stem}.ptx > ${stem}.log 2>&1
        DEPENDS ${source} DEPFILE ${stem}.d
        COMMENT "nvcc ${module} for sm_${architecture}" VERBATIM)
      list(APPEND images --image3=kind=elf,sm=${architecture},file=${stem}.cubin)
      list(APPEND cubins ${stem}.cubin)
    endforeach()
    if(NOT architectures)
      continue()
    endif()
    list(GET architectures -1 last)
    if(NOT last MATCHES "a$")  # PTX of an "a" capability runs on no other
      list(APPEND images --image3=kind=ptx,sm=${last},file=${KVANT_CUDA_DIRECTORY}/${module}.sm_${last}.ptx)
    endif()
    set(fatbin ${KVANT_CUDA_DIRECTORY}/${module}.fatbin)
    add_custom_command(OUTPUT ${fatbin} COMMAND ${KVANT_CUDA_BIN}/fatbinary --create=${fatbin} -64 ${images}
                       DEPENDS ${cubins} COMMENT "fatbinary ${module}" VERBATIM)
    list(APPEND KVANT_CUDA_FATBINS ${fatbin})
  endforeach()
endif()
add_custom_target(kvant_cuda_fatbins DEPENDS ${KVANT_CUDA_FATBINS})
if(KVANT_TESTS AND KVANT_NVCC)
  add_dependencies(backends_cuda_kernels_test kvant_cuda_fatbins)
endif()
