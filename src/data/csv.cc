// SPDX-License-Identifier: Apache-2.0
// A table of pictures: columns path and label, if wanted class_name and split; other columns are ignored.
// Without the column label the set is unlabelled.
#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"
#include "data/csv_table.h"
#include "data/dataset.h"

namespace kvant::data {
namespace {

constexpr int64_t kMaxLabel = 9'999'999;

struct Row {
  std::string path;
  int64_t label;
  int64_t line;
};

class CsvReader : public DatasetReader {
 public:
  CsvReader(Folder folder, std::string name, std::vector<Row> rows, std::vector<std::string> classes)
      : folder_(std::move(folder)),
        name_(std::move(name)),
        rows_(std::move(rows)),
        classes_(std::move(classes)) {}
  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  int64_t label(int64_t i) const override { return at(i).label; }
  std::vector<std::string> class_names() const override { return classes_; }
  std::string describe(int64_t i) const override {
    return fmt::format("{}, line {} ({})", name_, at(i).line, at(i).path);
  }
  Image image(int64_t i) const override {
    const std::string& path = at(i).path;
    if (path.starts_with('/')) return decode_image(read_file(path).view, path);
    return decode_image(folder_.read(path).view, folder_.display(path));
  }

 private:
  const Row& at(int64_t i) const { return rows_[static_cast<size_t>(i)]; }

  Folder folder_;
  std::string name_;
  std::vector<Row> rows_;
  std::vector<std::string> classes_;
};

int64_t parse_label(std::string_view text, std::string_view name, int64_t line) {
  int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem == std::errc::invalid_argument || end != text.data() + text.size()) {
    fail("{}, line {}: the label '{}' is not a whole number", name, line, text);
  }
  if (problem != std::errc() || value < 0 || value > kMaxLabel) {
    fail("{}, line {}: the label {} is outside 0..{}", name, line, text, kMaxLabel);
  }
  return value;
}

size_t require_column(const CsvTable& table, const char* column, std::string_view name) {
  if (const auto found = table.column(column)) return *found;
  std::string known;
  for (const std::string& each : table.columns) known += (known.empty() ? "" : ", ") + each;
  fail("{} has no column '{}' (its columns: {})", name, column, known);
}

std::vector<Row> rows_of(const CsvTable& table, const std::string& split, const std::string& name) {
  const size_t path = require_column(table, "path", name);
  const auto label = table.column("label");
  const size_t split_column = split.empty() ? 0 : require_column(table, "split", name);
  std::set<std::string> splits;
  std::vector<Row> rows;
  for (const CsvRow& row : table.rows) {
    if (row.fields[path].empty()) fail("{}, line {}: the path is empty", name, row.line);
    const int64_t value = label ? parse_label(row.fields[*label], name, row.line) : kNoLabel;
    if (!split.empty()) splits.insert(row.fields[split_column]);
    if (split.empty() || row.fields[split_column] == split)
      rows.push_back({row.fields[path], value, row.line});
  }
  if (rows.empty() && !split.empty() && !table.rows.empty()) {
    const std::vector<std::string> known(splits.begin(), splits.end());
    fail("{} has no rows of the split '{}'{}", name, split, nearest_hint(split, known));
  }
  return rows;
}

// By label, from the column class_name; classes without a row keep their number as name.
std::vector<std::string> class_names_of(const CsvTable& table) {
  const auto name = table.column("class_name");
  const auto label = table.column("label");
  std::vector<std::string> result;
  if (!name || !label) return result;
  for (const CsvRow& row : table.rows) {
    const auto value = static_cast<size_t>(parse_label(row.fields[*label], "", row.line));
    while (result.size() <= value) result.push_back(std::to_string(result.size()));
    result[value] = row.fields[*name];
  }
  return result;
}

// Where the pictures lie: beside the table, or in an images.tar beside it.
Folder pictures_beside(const Folder& folder, const std::vector<Row>& rows) {
  if (rows.empty() || rows.front().path.starts_with('/') || folder.has_file(rows.front().path)) return folder;
  const std::string packed = folder.display("images.tar");
  if (folder.has_file("images.tar") && Folder::is_one(packed)) {
    Folder archive(packed);
    if (archive.has_file(rows.front().path)) return archive;
  }
  return folder;
}

// The table's name in a folder: labels.csv, or the only .csv.
std::string table_in(const Folder& folder) {
  if (folder.has_file("labels.csv")) return "labels.csv";
  auto names = folder.files();
  std::erase_if(names, [](const std::string& name) { return !name.ends_with(".csv"); });
  if (names.size() == 1) return names.front();
  fail("{} has no labels.csv", folder.display(""));
}

bool recognizes(const Location& location) {
  return location.folder ? location.folder->has_file("labels.csv") : location.path.ends_with(".csv");
}

std::shared_ptr<const DatasetReader> open_csv(const Location& location, const std::string& split) {
  const std::string parent = parent_of(location.path);
  const Folder folder = location.folder ? *location.folder : Folder(parent.empty() ? "." : parent);
  const std::string leaf = location.folder ? table_in(folder) : leaf_of(location.path);
  const std::string name = folder.display(leaf);
  const Bytes bytes = folder.read(leaf);
  const CsvTable table =
      parse_csv({reinterpret_cast<const char*>(bytes.view.data()), bytes.view.size()}, name);
  std::vector<Row> rows = rows_of(table, split, name);
  Folder pictures = pictures_beside(folder, rows);
  return std::make_shared<CsvReader>(std::move(pictures), name, std::move(rows), class_names_of(table));
}

}  // namespace

DatasetFormat csv_format() {
  return {
      "csv",
      "a table with the columns path and label, paths relative to it; or the folder or .tar with labels.csv",
      recognizes, open_csv};
}

}  // namespace kvant::data
