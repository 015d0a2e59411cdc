# SPDX-License-Identifier: Apache-2.0
include(${CMAKE_CURRENT_LIST_DIR}/cuda/kernels/kernels.cmake)
kvant_module(backends DEPS engine backends_cuda_kernels LIBRARIES dnnl gomp EXCLUDE "/cuda/(kernels|emulator)/")
