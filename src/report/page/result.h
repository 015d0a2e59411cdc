// SPDX-License-Identifier: Apache-2.0
// A command's JSON result, read with care: it may come from a file that anyone wrote.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace kvant::report {

using Json = nlohmann::ordered_json;

struct CommandResult {
  std::string file;  // where it was read, or the model that it is about
  Json json;
};

// The member as a finite number, text, list or object; nothing, "", or an empty one where it is not that.
std::optional<double> number_in(const Json& json, std::string_view key);
std::string text_in(const Json& json, std::string_view key);
const Json& list_in(const Json& json, std::string_view key);
const Json& object_in(const Json& json, std::string_view key);

// Numbers as people read them; "" for none.
std::string shown(std::optional<double> number, int decimals = 3);
std::string per_cent(std::optional<double> fraction, int decimals = 2);
std::string bytes_shown(std::optional<double> bytes);

}  // namespace kvant::report
