# SPDX-License-Identifier: Apache-2.0
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
kvant_module(data DEPS tensor LIBRARIES JPEG::JPEG PNG::PNG ZLIB::ZLIB PkgConfig::ZSTD nlohmann_json::nlohmann_json)
