// SPDX-License-Identifier: Apache-2.0
#include "report/page/result.h"

#include <fmt/format.h>

#include <cmath>

namespace kvant::report {
namespace {

const Json* member(const Json& json, std::string_view key) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(key);
  return found == json.end() ? nullptr : &*found;
}

}  // namespace

std::optional<double> number_in(const Json& json, std::string_view key) {
  const Json* value = member(json, key);
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>())) return std::nullopt;
  return value->get<double>();
}

std::string text_in(const Json& json, std::string_view key) {
  const Json* value = member(json, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

const Json& list_in(const Json& json, std::string_view key) {
  static const Json none = Json::array();
  const Json* value = member(json, key);
  return value != nullptr && value->is_array() ? *value : none;
}

const Json& object_in(const Json& json, std::string_view key) {
  static const Json none = Json::object();
  const Json* value = member(json, key);
  return value != nullptr && value->is_object() ? *value : none;
}

std::string shown(std::optional<double> number, int decimals) {
  return number ? fmt::format("{:.{}f}", *number, decimals) : "";
}

std::string per_cent(std::optional<double> fraction, int decimals) {
  return fraction ? fmt::format("{:.{}f} %", 100 * *fraction, decimals) : "";
}

std::string bytes_shown(std::optional<double> bytes) {
  if (!bytes) return "";
  if (*bytes < 1024) return fmt::format("{:.0f} B", *bytes);
  if (*bytes < 1024 * 1024) return fmt::format("{:.1f} KiB", *bytes / 1024);
  return fmt::format("{:.1f} MiB", *bytes / (1024 * 1024));
}

}  // namespace kvant::report
