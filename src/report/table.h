// SPDX-License-Identifier: Apache-2.0
// Plain text tables for terminals.
#pragma once

#include <string>
#include <vector>

namespace kvant::report {

enum class Align { Left, Right };

// Rows under a heading, columns as wide as needed. Where a line would be wider than `width`, the widest
// columns are narrowed and their text goes on in further lines: nothing is cut off. Every row has as many
// cells as the heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading, std::vector<Align> align = {});
  void add(std::vector<std::string> row);
  std::string text(size_t width = 100) const;
  // The same as a Markdown table.
  std::string markdown() const;

 private:
  std::vector<size_t> column_widths(size_t width) const;

  std::vector<std::vector<std::string>> rows_;
  std::vector<Align> align_;
};

}  // namespace kvant::report
