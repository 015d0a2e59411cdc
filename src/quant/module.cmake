# SPDX-License-Identifier: Apache-2.0
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)  # its headers alone are used
kvant_module(quant DEPS ops data LIBRARIES nlohmann_json::nlohmann_json TEST_DEPS zoo)
# A member of a type of its own file: GCC warns where that file is included into another.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/quant/adjust/staged_runs.cc PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
