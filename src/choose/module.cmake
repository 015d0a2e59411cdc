# SPDX-License-Identifier: Apache-2.0
find_package(nlohmann_json REQUIRED)
kvant_module(choose DEPS train quant engine data ops LIBRARIES nlohmann_json::nlohmann_json TEST_DEPS backends zoo)
