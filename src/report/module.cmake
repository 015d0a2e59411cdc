# SPDX-License-Identifier: Apache-2.0
find_package(nlohmann_json REQUIRED)
kvant_module(report DEPS ir engine LIBRARIES nlohmann_json::nlohmann_json TEST_DEPS backends quant zoo)
