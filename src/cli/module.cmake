# SPDX-License-Identifier: Apache-2.0
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
kvant_module(cli DEPS api choose report zoo quant train engine backends formats data ops LIBRARIES nlohmann_json::nlohmann_json CLI11::CLI11)
target_compile_definitions(kvant_cli PUBLIC KVANT_VERSION="${PROJECT_VERSION}")
add_executable(kvant ${PROJECT_SOURCE_DIR}/src/cli/main.cc)
target_link_libraries(kvant PRIVATE kvant_cli)
# What a user needs: the program and, where LibTorch is, the training plug-in.
add_custom_target(program DEPENDS kvant)
if(TARGET kvant_train_torch)
  add_dependencies(program kvant_train_torch)
endif()
