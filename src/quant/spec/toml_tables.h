// SPDX-License-Identifier: Apache-2.0
// TOML as the JSON value that says the same, and where its [[layers]] stand.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

namespace kvant::quant {

struct TomlTables {
  nlohmann::json root;
  std::vector<int> lines;  // of each element of the array "layers", from 1
};

// Fails, with line and column, on text that is not TOML, and on dates and times, which mean nothing here.
TomlTables toml_tables(std::string_view text);

}  // namespace kvant::quant
