// SPDX-License-Identifier: Apache-2.0
#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace kvant::report {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kLeast = 8;  // a cut column keeps at least this

// Characters, not bytes: UTF-8 continuation bytes do not count.
size_t width_of(const std::string& text) {
  const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return static_cast<size_t>(std::ranges::count_if(text, starts));
}

std::string padded(const std::string& text, size_t width, Align align) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return align == Align::Left ? text + space : space + text;
}

std::string cut(const std::string& text, size_t width) {
  if (width_of(text) <= width) return text;
  return text.substr(0, width - 3) + "...";
}

std::string trimmed(const std::string& line) { return line.substr(0, line.find_last_not_of(' ') + 1); }

}  // namespace

Table::Table(std::vector<std::string> heading, std::vector<Align> align) : align_(std::move(align)) {
  align_.resize(heading.size(), Align::Left);
  rows_.push_back(std::move(heading));
}

void Table::add(std::vector<std::string> row) {
  KVANT_CHECK(row.size() == align_.size(), "a table row does not fit its heading");
  rows_.push_back(std::move(row));
}

std::string Table::text(size_t width) const {
  std::vector<size_t> widths(align_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  size_t total = kGap * (widths.size() - 1);
  for (const size_t w : widths) total += w;
  while (total > width) {  // the widest column gives way
    size_t& widest = *std::ranges::max_element(widths);
    if (widest <= kLeast) break;
    const size_t less = std::min(total - width, widest - kLeast);
    widest -= less;
    total -= less;
  }
  std::string result;
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::string line, rule;
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string gap(i == 0 ? 0 : kGap, ' ');
      line += gap + padded(cut(rows_[r][i], widths[i]), widths[i], align_[i]);
      rule += gap + std::string(widths[i], '-');
    }
    result += trimmed(line) + "\n" + (r == 0 ? rule + "\n" : "");
  }
  return result;
}

std::string Table::markdown() const {
  std::string result;
  for (size_t r = 0; r < rows_.size(); ++r) {
    result += "|";
    for (const std::string& cell : rows_[r]) result += " " + cell + " |";
    result += "\n";
    if (r > 0) continue;
    result += "|";
    for (const Align align : align_) result += align == Align::Left ? "---|" : "--:|";
    result += "\n";
  }
  return result;
}

}  // namespace kvant::report
