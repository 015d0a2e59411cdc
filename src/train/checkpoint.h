// SPDX-License-Identifier: Apache-2.0
// The whole state of a training run as one file, written atomically: little-endian, versioned, with a
// checksum.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "train/train.h"

namespace kvant::train {

using Values = std::vector<std::vector<float>>;

struct Checkpoint {
  uint64_t fingerprint = 0;  // of model, options and data: what must be the same to go on
  int64_t epoch = 0;         // epochs finished
  int64_t step = 0;          // steps done in the epoch now running
  double loss_sum = 0;       // over these steps
  int64_t correct = 0;
  int64_t seen = 0;
  double seconds = 0;  // spent in the epoch now running
  TrainResult result;  // history so far, best
  Values state;        // the session's: weights, statistics, scales, optimizer slots
  Values best;         // of the best epoch; empty when there is none yet
};

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
// Fails, with what to do, if the file is missing, damaged, of another version, or of another run
// (fingerprint).
Checkpoint load_checkpoint(const std::filesystem::path& path, uint64_t fingerprint);

// FNV-1a over 64-bit words (the last one zero-padded), continued from `hash`.
uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t hash = 0xcbf29ce484222325u);
uint64_t hash_text(std::string_view text, uint64_t hash = 0xcbf29ce484222325u);

}  // namespace kvant::train
