// SPDX-License-Identifier: Apache-2.0
// Spec files: JSON {"layers": [{...}]} or TOML [[layers]], with the keys name, class, quantize_input,
// quantize_weight, inputs, bits and calibrator (SpecEntry).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "quant/spec/spec.h"

namespace kvant::quant {

// The formats by the name's end, .json or .toml; by the first character, { or not, where it has another.
// Fails, with the entry (TOML: and its line), on text that is not of that format, on an unknown key (with the
// nearest), on a value of the wrong type, and as check_spec() does.
Spec read_spec(const std::filesystem::path& path);
Spec spec_from_json(std::string_view text);
Spec spec_from_toml(std::string_view text);

// The JSON form; only what differs from the defaults is written.
std::string to_json(const Spec& spec);

}  // namespace kvant::quant
