// SPDX-License-Identifier: Apache-2.0
// What one output of a layer reads, as a row: the elements of its window (im2col), or of the last axis.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "quant/adjust/weighted_layer.h"

namespace kvant::quant {

// Places of the result of a layer, for one sample (or row of a linear layer) each.
struct RowChoice {
  int64_t sample = 0;
  int64_t position = 0;  // in the result's plane, row-major; 0 for linear layers
};

// Rows of a Conv, Gemm or MatMul: for a group of a Conv, the `depth` elements of x that each chosen output
// reads, in the order of the weight's elements of one output.
class LayerRows {
 public:
  // Nothing for layers that rows cannot be made of (ConvTranspose).
  static std::optional<LayerRows> of(const ir::Graph& graph, const WeightedLayer& layer, const Shape& x);

  int64_t groups() const { return groups_; }
  int64_t depth() const { return depth_; }
  int64_t samples() const { return samples_; }      // of x: images, or rows
  int64_t positions() const { return positions_; }  // of the result, for one sample

  // Appends the row of `group` to `row`.
  void gather(const float* x, const RowChoice& choice, int64_t group, std::vector<float>& row) const;
  // Index in the result of output channel `channel`.
  int64_t result_index(const RowChoice& choice, int64_t channel) const;

 private:
  struct Axis {
    int64_t input = 1, output = 1, kernel = 1, stride = 1, dilation = 1, pad = 0;
  };
  bool image_ = false;
  int64_t groups_ = 1, depth_ = 0, samples_ = 0, positions_ = 1, channels_ = 0, outputs_ = 0;
  Axis axes_[3];
};

}  // namespace kvant::quant
