// SPDX-License-Identifier: Apache-2.0
// Plain text tables for terminals.
#pragma once

#include <string>
#include <vector>

namespace kvant::report {

enum class Align { Left, Right };

// Rows under a heading, columns as wide as needed, the widest cut (with "...") so that no line is wider than
// `width`. Every row has as many cells as the heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading, std::vector<Align> align = {});
  void add(std::vector<std::string> row);
  std::string text(size_t width = 100) const;
  // The same as a Markdown table.
  std::string markdown() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<Align> align_;
};

}  // namespace kvant::report
