// SPDX-License-Identifier: Apache-2.0
#include "choose/data_parts.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace kvant::choose {
namespace {

// Without and with every `every`-th sample.
std::pair<data::Dataset, data::Dataset> cut(const data::Dataset& all, int64_t every) {
  std::vector<int64_t> kept, taken;
  for (int64_t i = 0; i < all.size(); ++i) (i % every == every - 1 ? taken : kept).push_back(i);
  return {all.select(std::move(kept)), all.select(std::move(taken))};
}

}  // namespace

DataParts parts_of(const data::Dataset& all, const std::optional<data::Dataset>& validation, double holdout,
                   int64_t calibration) {
  if (validation) return {all.spread(calibration), all, *validation};
  const auto every = std::max<int64_t>(2, static_cast<int64_t>(1.0 / std::max(holdout, 1e-9) + 0.5));
  if (all.size() < every) {
    fail("{} samples are too few to hold out one in {} that tells how good a model is: give more, or --val",
         all.size(), every);
  }
  auto [rest, held] = cut(all, every);
  return {rest.spread(calibration), rest, held};
}

std::pair<data::Dataset, data::Dataset> training_parts(const data::Dataset& training) {
  constexpr int64_t kMost = 500;
  if (training.size() < 5)
    fail("{} samples are too few to train on and to tell the best epoch", training.size());
  return cut(training, std::max<int64_t>(5, (training.size() + kMost - 1) / kMost));
}

}  // namespace kvant::choose
