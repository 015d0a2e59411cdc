// SPDX-License-Identifier: Apache-2.0
// One data set cut into samples to calibrate and train on, and samples to judge by: never the same ones.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "data/dataset.h"

namespace kvant::choose {

struct DataParts {
  data::Dataset calibration, training;  // the first is part of the second
  data::Dataset scoring;
};

// Judged by `validation`; without one, by every k-th sample of `all`, k the nearest to 1 / `holdout` (0 to
// 0.5). Of the rest all are for training, and `calibration` of them, spread evenly, for calibration. Fails
// where no sample would be left for either.
DataParts parts_of(const data::Dataset& all, const std::optional<data::Dataset>& validation, double holdout,
                   int64_t calibration);

// Samples to train on, and samples that tell which epoch was best: a fifth, but no more than 500.
std::pair<data::Dataset, data::Dataset> training_parts(const data::Dataset& training);

}  // namespace kvant::choose
