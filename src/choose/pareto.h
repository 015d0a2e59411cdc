// SPDX-License-Identifier: Apache-2.0
// Which of several models no other beats in both accuracy and time.
#pragma once

#include <span>
#include <vector>

namespace kvant::choose {

struct Tradeoff {
  double loss = 0, cost = 0;  // of accuracy, of time: less is better
};

// For each point whether it lies on the Pareto front: none is better in one respect and at least as good in
// the other. Of equal points all do.
std::vector<bool> on_front(std::span<const Tradeoff> points);

}  // namespace kvant::choose
