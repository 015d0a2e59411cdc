# SPDX-License-Identifier: Apache-2.0
# The modules above ir, in the order of the dependency table (ARCHITECTURE.md).
foreach(module ops data formats quant train zoo engine backends api choose report cli)
  if(EXISTS ${PROJECT_SOURCE_DIR}/src/${module}/module.cmake)
    include(${PROJECT_SOURCE_DIR}/src/${module}/module.cmake)
  endif()
endforeach()
