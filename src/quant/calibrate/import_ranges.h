// SPDX-License-Identifier: Apache-2.0
// Ranges that other tools found, under the names that they gave the tensors.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ir/graph.h"
#include "quant/calibrate/calibration_table.h"

namespace kvant::quant {

// A ranges file of ours, a TensorRT calibration cache or AIMET encodings, told apart by content. Fails on
// anything else and on what is malformed, with its place.
CalibrationTable table_from_text(std::string_view text);

// TensorRT's calibration cache: "TRT-<version>-<algorithm>", then a line "<tensor>: <scale>" each, the scale
// as the hexadecimal digits of a big-endian float32. The range is +-127 scales.
CalibrationTable table_from_tensorrt(std::string_view text);

// The activations of AIMET's encodings file: 0.6.1 ("activation_encodings": {tensor: [{min, max, bitwidth,
// ...}]}) or 1.0.0 ("activation_encodings": [{name, bw, scale: [], offset: [], is_sym}]). Symmetric signed
// encodings give +-(2^(bits-1) - 1) scales, so that quantizing to as many bits has their scale; float ones
// are left out; per-channel ones give their widest range. Weights' encodings are not read.
CalibrationTable table_from_aimet(std::string_view text);

// Both tables: a tensor that is in both gets the union of its ranges. What calibrations of parts of the data
// are made one with: exact for `max`, and never narrower than either otherwise.
void merge_ranges(CalibrationTable& into, const CalibrationTable& from);

// A sentence about ranges whose tensor `graph` does not have, with how many and the nearest names; "" when it
// has them all.
std::string unmatched_ranges(const ir::Graph& graph, const CalibrationTable& table);

}  // namespace kvant::quant
