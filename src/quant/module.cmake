# SPDX-License-Identifier: Apache-2.0
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
kvant_module(quant DEPS ops data LIBRARIES nlohmann_json::nlohmann_json tomlplusplus::tomlplusplus TEST_DEPS zoo)
