// SPDX-License-Identifier: Apache-2.0
#include "quant/spec/spec.h"

#include <regex>

#include "base/error.h"
#include "quant/calibrate/calibrator.h"

namespace kvant::quant {
namespace {

void check_entry(const SpecEntry& entry, const std::string& where) {
  if (entry.name.empty() == entry.layer_class.empty())
    fail("{} needs either \"name\" or \"class\"{}", where, entry.name.empty() ? "" : ", not both");
  if (entry.bits != 0 && (entry.bits < 2 || entry.bits > 8))
    fail("{}: {} bits: quantization takes 2 to 8", where, entry.bits);
  for (const int input : entry.inputs) {
    if (input < 0) fail("{}: input {}: inputs are counted from 0", where, input);
  }
  if (!entry.calibrator.empty()) {
    try {
      calibrator_named(entry.calibrator);
    } catch (const Error& error) {
      fail("{}: {}", where, error.what());
    }
  }
  if (!entry.name.starts_with("re:")) return;
  try {
    std::regex compiled(entry.name.substr(3));
  } catch (const std::regex_error& error) {
    fail("{}: not a regular expression: {}", where, error.what());
  }
}

}  // namespace

std::string place_of(const Spec& spec, size_t index) {
  const int number = spec.layers[index].number;
  std::string text = fmt::format("spec entry {}", number > 0 ? static_cast<size_t>(number) : index + 1);
  if (const int line = spec.layers[index].line; line > 0) text += fmt::format(" (line {})", line);
  return text;
}

std::string describe(const Spec& spec, size_t index) {
  const SpecEntry& entry = spec.layers[index];
  return place_of(spec, index) +
         (entry.name.empty() ? ", class '" + entry.layer_class : ", name '" + entry.name) + "'";
}

void check_spec(const Spec& spec) {
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const SpecEntry& entry = spec.layers[i];
    const bool named = entry.name.empty() != entry.layer_class.empty();
    check_entry(entry, named ? describe(spec, i) : place_of(spec, i));
  }
}

}  // namespace kvant::quant
