// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/import_ranges.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::quant {
namespace {

using Json = nlohmann::json;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

Range symmetric(double amax) {
  if (!(amax <= static_cast<double>(std::numeric_limits<float>::max()))) return {0, -1};
  return {-static_cast<float>(amax), static_cast<float>(amax)};
}

}  // namespace

CalibrationTable table_from_tensorrt(std::string_view text) {
  CalibrationTable table;
  size_t line = 0;
  const auto refuse = [&](const std::string& what) {
    fail("TensorRT calibration cache, line {}: {}", line, what);
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view content = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line;
    if (line == 1) {
      const size_t dash = content.find('-', 4);
      if (!content.starts_with("TRT-") || dash == std::string_view::npos) {
        refuse("the header is not TRT-<version>-<algorithm>");
      }
      table.calibrator = "TensorRT " + std::string(content.substr(dash + 1));
      continue;
    }
    if (content.empty()) continue;
    const size_t colon = content.rfind(':');
    if (colon == std::string_view::npos || colon == 0) refuse("'<tensor>: <scale>' expected");
    const std::string name(trimmed(content.substr(0, colon)));
    const std::string_view digits = trimmed(content.substr(colon + 1));
    uint32_t bits = 0;
    const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16);
    if (error != std::errc() || rest != digits.data() + digits.size() || digits.size() > 8) {
      refuse(fmt::format("the scale of '{}' is not a float32 in hexadecimal digits", name));
    }
    const auto scale = std::bit_cast<float>(bits);
    const Range range = symmetric(static_cast<double>(scale) * 127);
    if (!(scale >= 0) || range.high < range.low) {
      refuse(fmt::format("the scale of '{}' is {}, not a finite number of at least 0", name, scale));
    }
    if (!table.ranges.emplace(name, range).second) refuse(fmt::format("tensor '{}' is given twice", name));
  }
  if (line == 0) fail("TensorRT calibration cache: it is empty");
  return table;
}

namespace {

// One encoding of either version, as far as it is understood.
class Encoding {
 public:
  Encoding(const Json& json, const std::string& tensor) : json_(json), tensor_(tensor) {
    if (!json_.is_object()) refuse("is not an object");
  }

  bool is_float() const {
    const auto type = json_.find("dtype");
    if (type == json_.end() || !type->is_string()) return false;
    return *type == "float" || *type == "FLOAT";
  }

  // The widest of its channels.
  Range range() const {
    const std::vector<double> scales = numbers("scale"), offsets = numbers("offset");
    if (flag("is_symmetric") || flag("is_sym") || !json_.contains("min")) {
      if (scales.empty() || offsets.size() != scales.size()) {
        if (json_.contains("min")) return between(number("min"), number("max"));
        refuse("has neither min and max nor scale and offset");
      }
      return of_scales(scales, offsets);
    }
    return between(number("min"), number("max"));
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail("AIMET encodings: the encoding of '{}' {}", tensor_, what);
  }

  bool flag(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) return false;
    if (found->is_boolean()) return found->get<bool>();
    if (found->is_string() && (*found == "True" || *found == "true")) return true;
    if (found->is_string() && (*found == "False" || *found == "false")) return false;
    refuse(fmt::format("has a '{}' that is neither true nor false", key));
  }

  double number(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end() || !found->is_number()) refuse(fmt::format("has no number '{}'", key));
    return found->get<double>();
  }

  // A number or an array of them; empty when there is none.
  std::vector<double> numbers(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) return {};
    std::vector<double> result;
    for (const Json& value : found->is_array() ? *found : Json::array({*found})) {
      if (!value.is_number()) refuse(fmt::format("has a '{}' that is no number", key));
      result.push_back(value.get<double>());
    }
    return result;
  }

  int bits() const {
    const double bits = number(json_.contains("bw") ? "bw" : "bitwidth");
    if (!(bits >= 2 && bits <= 32) || bits != std::floor(bits)) refuse("has no bit width from 2 to 32");
    return static_cast<int>(bits);
  }

  Range of_scales(const std::vector<double>& scales, const std::vector<double>& offsets) const {
    const bool even = flag("is_symmetric") || flag("is_sym");
    const double half = std::ldexp(1.0, bits() - 1);
    double low = 0, high = 0;
    for (size_t i = 0; i < scales.size(); ++i) {
      if (!(scales[i] >= 0)) refuse("has a scale below 0");
      if (even && offsets[i] < 0) {
        high = std::max(high, scales[i] * (half - 1));
        low = -high;
      } else {
        low = std::min(low, scales[i] * offsets[i]);
        high = std::max(high, scales[i] * (offsets[i] + 2 * half - 1));
      }
    }
    return between(low, high);
  }

  Range between(double low, double high) const {
    const auto most = static_cast<double>(std::numeric_limits<float>::max());
    if (!(std::fabs(low) <= most && std::fabs(high) <= most)) refuse("is beyond float32");
    if (low > high) refuse("runs backwards");
    return {static_cast<float>(low), static_cast<float>(high)};
  }

  const Json& json_;
  const std::string& tensor_;
};

void add_encoding(CalibrationTable& table, const std::string& tensor, const Json& json) {
  const Encoding encoding(json, tensor);
  if (encoding.is_float()) return;
  const Range range = encoding.range();
  const auto [entry, fresh] = table.ranges.emplace(tensor, range);
  if (fresh) return;
  entry->second = {std::min(entry->second.low, range.low), std::max(entry->second.high, range.high)};
}

}  // namespace

CalibrationTable table_from_aimet(std::string_view text) {
  const Json file = Json::parse(text, nullptr, false);
  if (!file.is_object()) fail("AIMET encodings: this is not JSON, or it was cut off");
  const auto activations = file.find("activation_encodings");
  if (activations == file.end()) fail("AIMET encodings: there is no \"activation_encodings\"");
  CalibrationTable table;
  table.calibrator = "AIMET";
  if (activations->is_array()) {
    for (const Json& encoding : *activations) {
      if (!encoding.is_object() || !encoding.contains("name") || !encoding["name"].is_string()) {
        fail("AIMET encodings: an activation encoding has no \"name\"");
      }
      const auto name = encoding["name"].get<std::string>();
      if (table.ranges.contains(name)) fail("AIMET encodings: tensor '{}' is given twice", name);
      add_encoding(table, name, encoding);
    }
    return table;
  }
  if (!activations->is_object())
    fail("AIMET encodings: \"activation_encodings\" is neither a list nor an object");
  for (const auto& [name, encodings] : activations->items()) {
    if (!encodings.is_array()) {
      fail(
          "AIMET encodings: '{}' has no list of encodings; a file by layer (of AIMET for PyTorch) names no "
          "tensors: use the one that AIMET wrote for the ONNX model",
          name);
    }
    for (const Json& encoding : encodings) add_encoding(table, name, encoding);
  }
  return table;
}

CalibrationTable table_from_text(std::string_view text) {
  const std::string_view content = trimmed(text);
  if (content.starts_with("TRT-")) return table_from_tensorrt(text);
  if (!content.starts_with("{")) {
    fail(
        "this holds no ranges: give a ranges file of kvant (JSON), a TensorRT calibration cache (TRT-...) or "
        "AIMET encodings (JSON)");
  }
  if (content.find("\"activation_encodings\"") != std::string_view::npos) return table_from_aimet(text);
  return table_from_json(text);
}

void merge_ranges(CalibrationTable& into, const CalibrationTable& from) {
  const bool first = into == CalibrationTable{};
  if (into.calibrator != from.calibrator) into.calibrator = first ? from.calibrator : "";
  into.samples += from.samples;
  for (const auto& [name, range] : from.ranges) {
    const auto [entry, fresh] = into.ranges.emplace(name, range);
    const auto other = from.calibrator_of.find(name);
    const std::string by = other == from.calibrator_of.end() ? from.calibrator : other->second;
    if (fresh) {
      if (!by.empty()) into.calibrator_of.emplace(name, by);
      continue;
    }
    entry->second = {std::min(entry->second.low, range.low), std::max(entry->second.high, range.high)};
    const auto mine = into.calibrator_of.find(name);
    if (mine != into.calibrator_of.end() && mine->second != by) into.calibrator_of.erase(mine);
  }
  if (!into.calibrator.empty() && into.calibrator != "auto") into.calibrator_of.clear();
}

std::string unmatched_ranges(const ir::Graph& graph, const CalibrationTable& table) {
  std::vector<std::string> unknown;
  for (const auto& [name, range] : table.ranges) {
    if (graph.find_value(name) == ir::kNone) unknown.push_back(name);
  }
  if (unknown.empty()) return "";
  std::vector<std::string> known;
  for (const ir::ValueId id : graph.inputs()) known.push_back(graph.value(id).name);
  for (const ir::NodeId id : graph.topological_order()) {
    for (const ir::ValueId out : graph.node(id).outputs) {
      if (out != ir::kNone) known.push_back(graph.value(out).name);
    }
  }
  constexpr size_t kNamed = 3;
  std::string names;
  for (size_t i = 0; i < std::min(unknown.size(), kNamed); ++i) {
    names += fmt::format("{}'{}'{}", i == 0 ? "" : ", ", unknown[i], nearest_hint(unknown[i], known));
  }
  if (unknown.size() > kNamed) names += fmt::format(" and {} more", unknown.size() - kNamed);
  return fmt::format("{} of {} loaded ranges name no tensor of the model and are not used: {}",
                     unknown.size(), table.ranges.size(), names);
}

}  // namespace kvant::quant
