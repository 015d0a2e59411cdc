// SPDX-License-Identifier: Apache-2.0
#include "data/csv_table.h"

#include "base/error.h"

namespace kvant::data {
namespace {

class Parser {
 public:
  Parser(std::string_view text, std::string_view name) : text_(text), name_(name) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }
  bool at_end() const { return position_ == text_.size(); }

  CsvRow row() {
    CsvRow row{line_, {}};
    while (true) {
      row.fields.push_back(field());
      if (at_end()) return row;
      const char next = text_[position_++];
      if (next == ',') continue;
      if (next == '\r' && !at_end() && text_[position_] == '\n') ++position_;
      ++line_;
      return row;
    }
  }

 private:
  std::string field() {
    if (at_end() || text_[position_] != '"') {
      const size_t end = std::min(text_.find_first_of(",\r\n", position_), text_.size());
      const std::string_view value = text_.substr(position_, end - position_);
      position_ = end;
      return std::string(value);
    }
    const int64_t first_line = line_;
    std::string value;
    for (++position_; !at_end(); ++position_) {
      const char c = text_[position_];
      if (c == '\n') ++line_;
      if (c != '"') {
        value += c;
      } else if (position_ + 1 < text_.size() && text_[position_ + 1] == '"') {
        value += text_[++position_];
      } else {
        ++position_;
        if (!at_end() && std::string_view(",\r\n").find(text_[position_]) == std::string_view::npos) {
          fail("{}, line {}: text after a closing quote", name_, line_);
        }
        return value;
      }
    }
    fail("{}, line {}: a quote is never closed", name_, first_line);
  }

  std::string_view text_;
  std::string_view name_;
  size_t position_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::optional<size_t> CsvTable::column(std::string_view name) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i] == name) return i;
  }
  return std::nullopt;
}

CsvTable parse_csv(std::string_view text, std::string_view name) {
  Parser parser(text, name);
  CsvTable table;
  while (!parser.at_end()) {
    CsvRow row = parser.row();
    if (row.fields.size() == 1 && row.fields[0].empty()) continue;
    if (table.columns.empty()) {
      table.columns = std::move(row.fields);
    } else if (row.fields.size() != table.columns.size()) {
      fail("{}, line {}: {} fields, but the header has {}", name, row.line, row.fields.size(),
           table.columns.size());
    } else {
      table.rows.push_back(std::move(row));
    }
  }
  if (table.columns.empty())
    fail("{} is empty: a header line with the columns path and label is expected", name);
  return table;
}

}  // namespace kvant::data
