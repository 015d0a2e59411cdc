// SPDX-License-Identifier: Apache-2.0
#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"

namespace kvant::report {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kLeast = 8;  // a narrowed column keeps at least this

// Characters, not bytes: UTF-8 continuation bytes do not count.
size_t width_of(std::string_view text) {
  const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return static_cast<size_t>(std::ranges::count_if(text, starts));
}

std::string padded(const std::string& text, size_t width, Align align) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return align == Align::Left ? text + space : space + text;
}

// Bytes of the first `width` characters.
size_t bytes_of(std::string_view text, size_t width) {
  size_t at = 0;
  while (at < text.size() && width > 0) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    --width;
  }
  return at;
}

// Broken at spaces, a word that is too long within it.
std::vector<std::string> lines_of(std::string_view text, size_t width) {
  std::vector<std::string> lines;
  while (width_of(text) > width) {
    const size_t fits = bytes_of(text, width);
    const size_t space = text.rfind(' ', fits);
    const bool at_space = space != std::string_view::npos && space > 0;
    lines.emplace_back(text.substr(0, at_space ? space : fits));
    text.remove_prefix(at_space ? space + 1 : fits);
  }
  lines.emplace_back(text);
  return lines;
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

// The widest columns give way together, until a line fits or none can become narrower.
std::vector<size_t> Table::column_widths(size_t width) const {
  std::vector<size_t> widths(align_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  size_t total = kGap * (widths.size() - 1);
  for (const size_t w : widths) total += w;
  while (total > width) {
    size_t& widest = *std::ranges::max_element(widths);
    if (widest <= kLeast) break;
    --widest;
    --total;
  }
  return widths;
}

std::string Table::text(size_t width) const {
  const std::vector<size_t> widths = column_widths(width);
  std::string result;
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::vector<std::vector<std::string>> cells;
    size_t height = 1;
    for (size_t i = 0; i < widths.size(); ++i) {
      cells.push_back(lines_of(rows_[r][i], widths[i]));
      height = std::max(height, cells.back().size());
    }
    for (size_t h = 0; h < height; ++h) {
      std::string line;
      for (size_t i = 0; i < widths.size(); ++i)
        line += std::string(i == 0 ? 0 : kGap, ' ') +
                padded(h < cells[i].size() ? cells[i][h] : "", widths[i], align_[i]);
      result += trimmed(line) + "\n";
    }
    if (r > 0) continue;
    for (size_t i = 0; i < widths.size(); ++i)
      result += std::string(i == 0 ? 0 : kGap, ' ') + std::string(widths[i], '-');
    result += "\n";
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
