// SPDX-License-Identifier: Apache-2.0
// Comma-separated text with a header line and quoted fields (RFC 4180), knowing the line of every row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvant::data {

struct CsvRow {
  int64_t line = 0;  // in the file, from 1
  std::vector<std::string> fields;
};

struct CsvTable {
  std::vector<std::string> columns;
  std::vector<CsvRow> rows;

  std::optional<size_t> column(std::string_view name) const;
};

// Fails, with `name` and the line, on an open quote, text after a closing quote, and a row with another
// number of fields than the header. Empty lines are left out.
CsvTable parse_csv(std::string_view text, std::string_view name);

}  // namespace kvant::data
