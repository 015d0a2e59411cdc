// SPDX-License-Identifier: Apache-2.0
#include "quant/spec/read_spec.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/nearest.h"
#include "quant/spec/toml_tables.h"

namespace kvant::quant {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> kKeys = {"name",   "class", "quantize_input", "quantize_weight",
                                        "inputs", "bits",  "calibrator"};

// One table of a spec file, with words for where it stands.
class EntryReader {
 public:
  EntryReader(const Json& table, std::string where) : table_(table), where_(std::move(where)) {}

  SpecEntry read(int line) {
    if (!table_.is_object()) fail("{} is not a table of keys and values", where_);
    for (const auto& [key, value] : table_.items()) {
      if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end())
        fail("{} has an unknown key '{}'{}", where_, key, nearest_hint(key, kKeys));
    }
    SpecEntry entry;
    entry.line = line;
    entry.name = text("name");
    entry.layer_class = text("class");
    entry.quantize_input = truth("quantize_input");
    entry.quantize_weight = truth("quantize_weight");
    entry.calibrator = text("calibrator");
    if (const Json* bits = find("bits")) {
      entry.bits = whole(*bits, "bits");
      if (entry.bits < 2 || entry.bits > 8)
        fail("{}: {} bits: quantization takes 2 to 8", where_, entry.bits);
    }
    if (const Json* inputs = find("inputs"); inputs != nullptr && !inputs->is_null()) {
      if (!inputs->is_array()) fail("{}: 'inputs' takes a list of whole numbers", where_);
      for (const Json& input : *inputs) entry.inputs.push_back(whole(input, "inputs"));
    }
    return entry;
  }

 private:
  const Json* find(const char* key) const {
    const auto found = table_.find(key);
    return found == table_.end() ? nullptr : &*found;
  }

  std::string text(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return "";
    if (!value->is_string() || value->get_ref<const std::string&>().empty())
      fail("{}: '{}' takes a text in quotes", where_, key);
    return value->get<std::string>();
  }

  bool truth(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return true;
    if (!value->is_boolean()) fail("{}: '{}' takes true or false", where_, key);
    return value->get<bool>();
  }

  int whole(const Json& value, const char* key) const {
    if (!value.is_number_integer()) fail("{}: '{}' takes whole numbers", where_, key);
    const auto number = value.get<int64_t>();
    if (number < std::numeric_limits<int>::min() || number > std::numeric_limits<int>::max())
      fail("{}: '{}' is out of range", where_, key);
    return static_cast<int>(number);
  }

  const Json& table_;
  std::string where_;
};

Spec spec_of(const Json& root, const std::vector<int>& lines) {
  if (!root.is_object()) fail("a spec is a table with the key 'layers'");
  for (const auto& [key, value] : root.items()) {
    if (key != "layers") fail("unknown key '{}' in a spec: it has one, 'layers', a list of entries", key);
  }
  const auto layers = root.find("layers");
  if (layers == root.end()) fail("a spec has the key 'layers', a list of entries");
  if (!layers->is_array()) fail("'layers' of a spec is a list of entries");
  Spec spec;
  for (size_t i = 0; i < layers->size(); ++i) {
    const int line = i < lines.size() ? lines[i] : 0;
    const std::string where =
        line > 0 ? fmt::format("spec entry {} (line {})", i + 1, line) : fmt::format("spec entry {}", i + 1);
    spec.layers.push_back(EntryReader((*layers)[i], where).read(line));
  }
  check_spec(spec);
  return spec;
}

// Keys given twice are an error: nlohmann's parser alone would keep the last.
class UniqueKeys {
 public:
  bool operator()(int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_.emplace_back();
    if (event == Json::parse_event_t::object_end && !open_.empty()) open_.pop_back();
    if (event == Json::parse_event_t::key && !open_.empty() &&
        !open_.back().insert(parsed.get<std::string>()).second) {
      fail("the key '{}' is given twice in one entry of the spec", parsed.get<std::string>());
    }
    return true;
  }

 private:
  std::vector<std::set<std::string>> open_;
};

}  // namespace

Spec spec_from_json(std::string_view text) {
  UniqueKeys unique;
  Json root;
  try {
    root = Json::parse(text.begin(), text.end(), [&](int depth, Json::parse_event_t event, Json& parsed) {
      if (depth > 16) fail("the spec is nested too deeply");
      return unique(depth, event, parsed);
    });
  } catch (const Json::exception& error) {
    std::string what =
        error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    if (const size_t end = what.find("] "); end != std::string::npos) what.erase(0, end + 2);
    fail("the spec is not JSON: {}", what);
  }
  return spec_of(root, {});
}

Spec spec_from_toml(std::string_view text) {
  const TomlTables tables = toml_tables(text);
  return spec_of(tables.root, tables.lines);
}

Spec read_spec(const std::filesystem::path& path) {
  return noting([&] { return "while reading " + path.string(); },
                [&] {
                  const std::string text = read_text(path);
                  const std::string extension = path.extension().string();
                  const size_t first = text.find_first_not_of(" \t\r\n");
                  const bool braces = first != std::string::npos && text[first] == '{';
                  const bool json = extension == ".json" || (extension != ".toml" && braces);
                  return json ? spec_from_json(text) : spec_from_toml(text);
                });
}

std::string to_json(const Spec& spec) {
  auto layers = nlohmann::ordered_json::array();
  for (const SpecEntry& entry : spec.layers) {
    nlohmann::ordered_json table = nlohmann::ordered_json::object();
    if (!entry.name.empty()) table["name"] = entry.name;
    if (!entry.layer_class.empty()) table["class"] = entry.layer_class;
    if (!entry.quantize_input) table["quantize_input"] = false;
    if (!entry.quantize_weight) table["quantize_weight"] = false;
    if (!entry.inputs.empty()) table["inputs"] = entry.inputs;
    if (entry.bits != 0) table["bits"] = entry.bits;
    if (!entry.calibrator.empty()) table["calibrator"] = entry.calibrator;
    layers.push_back(std::move(table));
  }
  return nlohmann::ordered_json{{"layers", std::move(layers)}}.dump(2) + "\n";
}

}  // namespace kvant::quant
