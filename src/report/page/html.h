// SPDX-License-Identifier: Apache-2.0
// The parts a page is made of. All text that comes from files is escaped here, and only here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/table.h"

namespace kvant::report {

// Safe between tags and in quoted attributes; bytes that are no UTF-8 and control characters become '?'.
std::string escaped(std::string_view text);

// <h2>, <h3> or <p>, of plain text.
std::string heading(int level, std::string_view text);
std::string paragraph(std::string_view text);
// Shown when its line is clicked.
std::string folded(std::string_view line, std::string_view html);

// A cell: plain text, behind it a bar of `share` of the cell's width when that is above 0.
struct Cell {
  std::string text;
  double share = 0;

  Cell(std::string content, double bar = 0) : text(std::move(content)), share(bar) {}
  Cell(const char* content) : text(content) {}
};

class HtmlTable {
 public:
  explicit HtmlTable(std::vector<std::string> heading, std::vector<Align> align = {});
  // As many cells as the heading has.
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  // Columns in which no row says anything are left out.
  std::string html() const;

 private:
  std::vector<std::string> heading_;
  std::vector<Align> align_;
  std::vector<std::vector<Cell>> rows_;
};

// The whole document: style included, no script, nothing fetched from anywhere.
std::string document(std::string_view title, std::string_view body);

}  // namespace kvant::report
