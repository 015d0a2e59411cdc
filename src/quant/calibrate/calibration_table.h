// SPDX-License-Identifier: Apache-2.0
// Ranges of a model's tensors by name: what calibration makes, what quantization reads, and a file of its
// own.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "quant/calibrate/calibrator.h"

namespace kvant::quant {

struct CalibrationTable {
  std::string calibrator;  // "" when they are several
  int64_t samples = 0;
  std::map<std::string, Range> ranges = {};
  // By tensor: which calibrator its range is of, where `calibrator` is "" or "auto".
  std::map<std::string, std::string> calibrator_of = {};
  friend bool operator==(const CalibrationTable&, const CalibrationTable&) = default;
};

// JSON, numbers with the digits that give the same floats back:
//   {"format": "kvant-ranges", "version": 1, "calibrator": "max", "samples": 512, "ranges": {"conv1":
//   [0, 5.25], ...}, "calibrators": {"conv1": "mse", ...}}
std::string to_json(const CalibrationTable& table);
// Fails, with line and column, on anything else than the above: bad JSON, another format or version, a range
// that is not two finite numbers in order.
CalibrationTable table_from_json(std::string_view text);

void save_ranges(const CalibrationTable& table, const std::filesystem::path& path);
// Any kind of file that table_from_text() (import_ranges.h) knows.
CalibrationTable load_ranges(const std::filesystem::path& path);

}  // namespace kvant::quant
