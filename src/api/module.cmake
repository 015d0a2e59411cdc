# SPDX-License-Identifier: Apache-2.0
kvant_module(api DEPS quant engine backends formats data ops)
target_include_directories(kvant_api PUBLIC ${PROJECT_SOURCE_DIR}/include)
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/api/model.cc PROPERTIES
                            COMPILE_DEFINITIONS KVANT_VERSION="${PROJECT_VERSION}" SKIP_PRECOMPILE_HEADERS ON)
# For programs of others: include/kvant/kvant.h and this library are all that they need.
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/library.cc CONTENT "")
add_library(kvant_library SHARED EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/library.cc)
target_link_libraries(kvant_library PRIVATE -Wl,--whole-archive kvant_api -Wl,--no-whole-archive)
target_include_directories(kvant_library INTERFACE ${PROJECT_SOURCE_DIR}/include)
set_target_properties(kvant_library PROPERTIES OUTPUT_NAME kvant)
