// SPDX-License-Identifier: Apache-2.0
// A layer with a constant weight as the repair steps see it: which elements of the weight belong to which
// channels, and where its bias is. Works on float graphs and on QDQ graphs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/qdq.h"

namespace kvant::quant {

struct WeightedLayer {
  ir::NodeId node = ir::kNone;        // Conv, ConvTranspose, Gemm (transA 0) or MatMul with a 2-D weight
  ir::ValueId weight = ir::kNone;     // the float constant, before a Q/DQ pair
  std::optional<ir::Quantized> pair;  // of the weight
  ir::ValueId data = ir::kNone;       // what the layer reads, after a pair
  ir::ValueId result = ir::kNone;
  int64_t inputs = 0, outputs = 0, groups = 1;  // channels of data and result
  size_t out_axis = 0;  // of the weight: the axis that counts the output channels (of a group)
  bool image = false;   // channels of data and result on axis 1, else on the last one

  // One element of the weight, by its flat index.
  struct Place {
    int64_t out, in;
  };
  Place place(int64_t flat) const;
  int64_t inner = 1;  // elements of the weight for one pair of channels

  size_t channel_axis(const Tensor& tensor) const { return image ? 1 : tensor.rank() - 1; }
};

// Nothing when the node is no such layer: another operator, a weight that is not a constant of floats (behind
// a pair, with Q, or without one), shapes that do not fit.
std::optional<WeightedLayer> weighted_layer(const ir::Graph& graph, ir::NodeId node);
// All of them, in topological order.
std::vector<WeightedLayer> weighted_layers(const ir::Graph& graph);

// Weight elements as floats, whatever their float type, and back: the layer's own copy where others read it.
std::vector<float> weight_values(const ir::Graph& graph, const WeightedLayer& layer);
void set_weight(ir::Graph& graph, WeightedLayer& layer, const std::vector<float>& values);

// The bias by output channel, zeros when there is none: input 2 of Conv, ConvTranspose and Gemm (times beta),
// or the constant that the only reader of a MatMul adds. Nothing when it is not a float constant by channel,
// or when a MatMul has no such reader.
std::optional<std::vector<float>> bias_values(const ir::Graph& graph, const WeightedLayer& layer);
// Where bias_values() gave something. A new constant, of the weight's float type; a Gemm's beta becomes 1.
void set_bias(ir::Graph& graph, const WeightedLayer& layer, const std::vector<float>& values);

}  // namespace kvant::quant
