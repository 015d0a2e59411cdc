// SPDX-License-Identifier: Apache-2.0
// What follows a weighted operator and can be computed in its epilogue:
//   op -> {* or + per-channel constant}* -> [+ residual] -> [activation] -> {Relu | Clip}* -> [Q]
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/passes/edit.h"

namespace kvant::engine {

// An activation by its name in tensor/activation.h, and the value that it makes.
struct ActivationMatch {
  std::string name;
  float alpha = 0;
  float beta = 0;
  ir::ValueId end = ir::kNone;
  std::vector<ir::NodeId> nodes;
};
// The activation that is the only thing done to `id`: one operator, or one of the patterns x * Sigmoid(x),
// x * HardSigmoid(x), and 0.5 * x * (1 + Erf(x / sqrt 2)).
std::optional<ActivationMatch> match_activation(const ir::Graph& graph, ir::ValueId id);

// Bounds of a Relu or Clip with constant bounds.
struct Bounds {
  float low;
  float high;
};
std::optional<Bounds> bounds_of(const ir::Graph& graph, const ir::Node& node);

struct Epilogue {
  std::vector<double> gain, offset;  // by channel: y = x * gain + offset
  ir::ValueId residual = ir::kNone;  // float, of the result's shape
  std::optional<ActivationMatch> activation;
  std::vector<Bounds> clamps;       // between activation and Q; empty when there is no Q
  ir::NodeId quantize = ir::kNone;  // the Q to 8-bit codes that alone reads the result
  QuantParams output;               // its parameters
  ir::ValueId end = ir::kNone;      // the last value covered
  std::vector<ir::NodeId> nodes;    // covered
};

// Follows the value `start`, whose channels are at `axis`. With `integer` a Q at the end is taken in.
Epilogue follow_epilogue(const ir::Graph& graph, ir::ValueId start, size_t axis, bool integer);

// A constant that has one number for each of `channels` at `axis` of a tensor of `rank` dimensions, or one
// for all.
std::optional<std::vector<double>> per_channel(const ir::Graph& graph, ir::ValueId id, size_t rank,
                                               size_t axis, int64_t channels);

}  // namespace kvant::engine
