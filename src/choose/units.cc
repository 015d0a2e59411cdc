// SPDX-License-Identifier: Apache-2.0
#include "choose/units.h"

#include <algorithm>
#include <map>

namespace kvant::choose {
namespace {

// Before the others: units whose INT8 kernels save nothing.
bool better(const Unit& a, const Unit& b) {
  const bool free_a = a.extra_ms <= 0, free_b = b.extra_ms <= 0;
  if (free_a != free_b) return free_a;
  const double value_a = free_a ? a.loss : a.loss * b.extra_ms;
  const double value_b = free_b ? b.loss : b.loss * a.extra_ms;
  return value_a != value_b ? value_a > value_b : a.layers < b.layers;
}

}  // namespace

Units units_of(const Sensitivity& measured) {
  std::map<std::string, Unit> by_owner;
  for (const LayerCost& layer : measured.layers) {
    Unit& unit = by_owner[layer.fused_into.empty() ? layer.name : layer.fused_into];
    unit.layers.push_back(layer.name);
    unit.loss += layer.score.relative_error;
    unit.extra_ms += layer.float_ms.value_or(0) - layer.int8_ms.value_or(0);
  }
  Units result{.units = {}, .left = measured.left};
  for (auto& [owner, unit] : by_owner) {
    std::sort(unit.layers.begin(), unit.layers.end());
    result.units.push_back(std::move(unit));
  }
  std::sort(result.units.begin(), result.units.end(), better);
  return result;
}

std::set<std::string> layers_of(const std::vector<Unit>& units, size_t count) {
  std::set<std::string> layers;
  for (size_t i = 0; i < count && i < units.size(); ++i)
    layers.insert(units[i].layers.begin(), units[i].layers.end());
  return layers;
}

}  // namespace kvant::choose
