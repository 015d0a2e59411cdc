// SPDX-License-Identifier: Apache-2.0
#include "choose/pareto.h"

#include <algorithm>

namespace kvant::choose {

std::vector<bool> on_front(std::span<const Tradeoff> points) {
  std::vector<bool> front;
  for (const Tradeoff& a : points) {
    front.push_back(std::ranges::none_of(points, [&](const Tradeoff& b) {
      return b.loss <= a.loss && b.cost <= a.cost && (b.loss < a.loss || b.cost < a.cost);
    }));
  }
  return front;
}

}  // namespace kvant::choose
