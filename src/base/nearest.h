// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the known names nearest to a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvant {

// Up to `count` of `known`, by edit distance to `name` (ties in the order given).
std::vector<std::string> nearest(std::string_view name, std::span<const std::string> known, size_t count = 3);
// The sentence end for errors: " (nearest: a, b, c)", or "" when nothing is known.
std::string nearest_hint(std::string_view name, std::span<const std::string> known);

}  // namespace kvant
