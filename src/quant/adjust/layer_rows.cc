// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/layer_rows.h"

#include "ops/convolution.h"

namespace kvant::quant {

std::optional<LayerRows> LayerRows::of(const ir::Graph& graph, const WeightedLayer& layer, const Shape& x) {
  const ir::Node& node = graph.node(layer.node);
  LayerRows rows;
  rows.outputs_ = layer.outputs;
  if (node.op == "Gemm" || node.op == "MatMul") {
    if (x.empty() || x.back() != layer.inputs) return std::nullopt;
    rows.depth_ = layer.inputs;
    rows.samples_ = element_count(x) / layer.inputs;
    rows.channels_ = layer.inputs;
    return rows;
  }
  if (node.op != "Conv") return std::nullopt;
  const Shape& weight = graph.constant(layer.weight)->shape();
  const ops::Convolution conv = ops::plan_convolution("Conv", node.attributes, x, weight).conv;
  rows.image_ = true;
  rows.groups_ = conv.group;
  rows.channels_ = conv.in_channels;
  rows.samples_ = conv.batch;
  rows.positions_ = conv.output_plane();
  rows.depth_ = conv.in_channels / conv.group * conv.taps();
  for (size_t i = 0; i < 3; ++i) {
    const ops::WindowAxis& axis = conv.axes[i];
    rows.axes_[i] = {axis.input, axis.output, axis.kernel, axis.stride, axis.dilation, axis.pad_begin};
  }
  return rows;
}

void LayerRows::gather(const float* x, const RowChoice& choice, int64_t group,
                       std::vector<float>& row) const {
  if (!image_) {
    const float* from = x + choice.sample * depth_;
    row.insert(row.end(), from, from + depth_);
    return;
  }
  const Axis &deep = axes_[0], &high = axes_[1], &wide = axes_[2];
  const int64_t out_d = choice.position / (high.output * wide.output);
  const int64_t out_h = choice.position / wide.output % high.output, out_w = choice.position % wide.output;
  const int64_t plane = deep.input * high.input * wide.input, channels = channels_ / groups_;
  const float* image = x + (choice.sample * channels_ + group * channels) * plane;
  const auto inside = [](const Axis& axis, int64_t out, int64_t tap) {
    const int64_t in = out * axis.stride - axis.pad + tap * axis.dilation;
    return in >= 0 && in < axis.input ? in : -1;
  };
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t d = 0; d < deep.kernel; ++d) {
      const int64_t z = inside(deep, out_d, d);
      for (int64_t h = 0; h < high.kernel; ++h) {
        const int64_t y = inside(high, out_h, h);
        for (int64_t w = 0; w < wide.kernel; ++w) {
          const int64_t column = inside(wide, out_w, w);
          const bool there = z >= 0 && y >= 0 && column >= 0;
          row.push_back(there ? image[c * plane + (z * high.input + y) * wide.input + column] : 0.0f);
        }
      }
    }
  }
}

int64_t LayerRows::result_index(const RowChoice& choice, int64_t channel) const {
  return (choice.sample * outputs_ + channel) * positions_ + choice.position;
}

}  // namespace kvant::quant
