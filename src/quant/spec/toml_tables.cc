// SPDX-License-Identifier: Apache-2.0
#include "quant/spec/toml_tables.h"

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "base/error.h"

namespace kvant::quant {
namespace {

nlohmann::json json_of(const toml::node& node) {
  if (const toml::table* table = node.as_table()) {
    auto object = nlohmann::json::object();
    for (const auto& [key, value] : *table) object[std::string(key.str())] = json_of(value);
    return object;
  }
  if (const toml::array* array = node.as_array()) {
    auto list = nlohmann::json::array();
    for (const toml::node& value : *array) list.push_back(json_of(value));
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* whole = node.as_integer()) return whole->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* truth = node.as_boolean()) return truth->get();
  fail("line {} of the spec: dates and times mean nothing here", node.source().begin.line);
}

}  // namespace

TomlTables toml_tables(std::string_view text) {
  TomlTables tables;
  try {
    const toml::table root = toml::parse(text);
    tables.root = json_of(root);
    if (const toml::array* layers = root["layers"].as_array()) {
      for (const toml::node& entry : *layers)
        tables.lines.push_back(static_cast<int>(entry.source().begin.line));
    }
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    fail("the spec is not TOML: line {}, column {}: {}", at.line, at.column, error.description());
  }
  return tables;
}

}  // namespace kvant::quant
