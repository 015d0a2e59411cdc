// SPDX-License-Identifier: Apache-2.0
// What each runtime wants of a Q/DQ model (qdq-rules.md 10, 14), and rewriting a model from one form into
// another. Scales are never touched: after any chain of conversions every one has the bits it had.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"
#include "quant/calibrate/calibration_table.h"

namespace kvant::quant {

struct TargetOptions {
  // onnxruntime: Int8 (zero point 0) or UInt8 (the same codes plus 128); nothing: UInt8, and Int8 for models
  // of fewer than 8 bits.
  std::optional<DType> activations = {};
  // tensorrt: float tensors become float16; see to_half() for what stays as it is.
  bool fp16 = false;
  // All but onnxruntime: pairs between a weighted layer and what would fuse into it go. Off where somebody
  // asked for them.
  bool drop_output_pairs = true;
  // onnxruntime: ranges of convolution results, by tensor; see outputs_to_calibrate().
  CalibrationTable ranges = {};
};

// A layer that the target runs in float after all, and why.
struct LeftFloat {
  std::string node, reason;
  friend bool operator==(const LeftFloat&, const LeftFloat&) = default;
};

struct TargetReport {
  int64_t shifted_tensors = 0;       // codes moved by 128 between int8 and uint8: exact
  int64_t biases = 0;                // biases written in the target's type
  int64_t output_pairs_added = 0;    // pairs put behind convolutions
  int64_t output_pairs_dropped = 0;  // pairs taken from behind weighted layers
  int64_t half_tensors = 0;          // tensors that became float16
  bool exact = true;                 // the model computes what it did, bit for bit up to float reordering
  std::vector<LeftFloat> left_float;
};

struct Target {
  std::string_view name;
  std::string_view summary;
  void (*rewrite)(ir::Graph&, const ir::OpTable&, const TargetOptions&, TargetReport&);
};

// In the order of targets.inc.
std::span<const Target> targets();
// Fails on an unknown name, with the nearest.
const Target& target_named(std::string_view name);

// Metadata keys: the form that a model is in, and the scales of pairs that belong to that form only, so that
// they come back with the same bits ("tensor scale" a line).
inline constexpr std::string_view kTargetKey = "kvant.target";
inline constexpr std::string_view kOutputScalesKey = "kvant.output_scales";

// The codes of activations that a new model for `target` gets: affine where the runtime takes any zero point
// and is no slower for it. Below 8 bits always symmetric.
Codes activation_codes(std::string_view target, int bits);

// Rewrites a typed Q/DQ graph for `target` and checks it as the runtime would; types are inferred anew.
// Fails, naming the node, on what the runtime refuses and what cannot be rewritten exactly.
TargetReport convert(ir::Graph& graph, const ir::OpTable& ops, const Target& target,
                     const TargetOptions& options = {});

// Results of convolutions that `target` wants a pair on whose scale follows from nothing in the graph: give
// their ranges in TargetOptions. Without one the convolution stays float there (TargetReport::left_float).
std::vector<std::string> outputs_to_calibrate(const ir::Graph& graph, const Target& target);

}  // namespace kvant::quant
