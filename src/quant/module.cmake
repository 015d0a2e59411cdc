# SPDX-License-Identifier: Apache-2.0
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)  # its headers alone are used
kvant_module(quant DEPS ops data LIBRARIES nlohmann_json::nlohmann_json TEST_DEPS zoo)
