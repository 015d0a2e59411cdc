// SPDX-License-Identifier: Apache-2.0
// A calibration on disk between two batches.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace kvant::quant {

struct CalibrationCheckpoint {
  uint64_t task = 0;    // fingerprint of model, tensors and options
  uint64_t data = 0;    // fingerprint of the batches so far
  int64_t batches = 0;  // seen so far
  int64_t samples = 0;
  std::string state;  // of the calibrators
};

// Whole or not at all.
void save_checkpoint(const CalibrationCheckpoint& checkpoint, const std::filesystem::path& path);
// Nothing when there is no such file; fails on one that is damaged or something else.
std::optional<CalibrationCheckpoint> load_checkpoint(const std::filesystem::path& path);

}  // namespace kvant::quant
