// SPDX-License-Identifier: Apache-2.0
// L10, L12: findings on scales, zero points and types.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "quant/lint/lint.h"
#include "quant/lint/reading.h"
#include "quant/placement/sites.h"
#include "quant/targets/biases.h"
#include "quant/targets/shift_codes.h"

namespace kvant::quant {

using ir::Graph;
using ir::Node;
using ir::NodeId;

namespace {

constexpr double kFar = 1e4;
// A maximum of this many root mean squares of the rest: in a normal distribution it would not occur.
constexpr double kOutlier = 16;
constexpr size_t kLeastValues = 64;

bool is_constant_pair(const Graph& graph, const ir::Quantized& pair) {
  return graph.is_constant(pair.codes) || (pair.source != ir::kNone && graph.is_constant(pair.source));
}

std::string form_of(const ir::Quantized& pair, bool constant) {
  if (pair.params.dtype == DType::Int32) return "";
  if (!constant && !pair.params.per_tensor())
    return fmt::format("an activation with {} scales: integer kernels take one", pair.params.scale.size());
  const int32_t zero = pair.params.zero_point_at(0);
  if (pair.params.dtype == DType::UInt8 && zero == 128)
    return "uint8 codes with zero point 128: TensorRT takes int8";
  if (pair.params.dtype != DType::Int8 || zero != 0) {
    return fmt::format("{} codes with zero point {}: TensorRT takes int8 around zero",
                       name(pair.params.dtype), zero);
  }
  return "";
}

}  // namespace

void find_foreign_form(const Graph& graph, std::vector<Finding>& findings) {
  const bool ort = is_for_onnxruntime(graph), any_codes = takes_any_codes(graph);
  for (const NodeId id : graph.topological_order()) {
    if (!ir::is_dequantize(graph.node(id))) continue;
    const auto pair = ir::quantized_behind(graph, graph.node(id).outputs[0]);
    if (!pair) continue;
    const bool constant = is_constant_pair(graph, *pair);
    if (pair->params.dtype == DType::Int32 && constant && !ort) {
      findings.push_back({"", label(graph, id),
                          "an int32 bias behind a DequantizeLinear: TensorRT refuses it",
                          "write it as float (--fix does)"});
    }
    const std::string form = form_of(*pair, constant);
    if (form.empty() || (any_codes && pair->params.per_tensor())) continue;
    const bool exact = pair->params.dtype == DType::UInt8 && pair->params.zero_point_at(0) == 128;
    findings.push_back({"", label(graph, id), form,
                        exact ? "shift the codes by 128, which is exact (--fix does)"
                              : "quantize the model again, symmetrically and per tensor"});
  }
}

int64_t rewrite_foreign_forms(Graph& graph) {
  if (is_for_onnxruntime(graph)) return 0;
  TargetReport report;
  write_float_biases(graph, report);
  return report.biases + shift_to_int8(graph);
}

namespace {

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// Of all values behind one scale, or "".
std::string outlier_in(const Tensor& weight, const QuantParams& params) {
  const std::vector<float> values = weight.to_floats();
  size_t inner = values.size(), channels = 1;
  if (!params.per_tensor()) {
    const auto axis = static_cast<size_t>(params.axis);
    channels = static_cast<size_t>(weight.dim(axis));
    inner = 1;
    for (size_t i = axis + 1; i < weight.rank(); ++i) inner *= static_cast<size_t>(weight.dim(i));
  }
  std::vector<double> squares(channels), peaks(channels);
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = static_cast<double>(values[i]);
    squares[i / inner % channels] += x * x;
    peaks[i / inner % channels] = std::max(peaks[i / inner % channels], std::fabs(x));
  }
  const size_t count = values.size() / std::max<size_t>(channels, 1);
  if (count < kLeastValues) return "";
  for (size_t k = 0; k < channels; ++k) {
    // Of the others: a lone outlier would hide in a mean that it makes itself.
    const double others = std::max(squares[k] - peaks[k] * peaks[k], 0.0);
    const double rms = std::sqrt(others / static_cast<double>(count - 1));
    if (rms > 0 && peaks[k] > kOutlier * rms)
      return fmt::format(
          "one weight of channel {} is {:.0f} times the root mean square of the others: it sets the scale "
          "alone",
          k, peaks[k] / rms);
  }
  return "";
}

}  // namespace

void find_odd_scale(const Graph& graph, std::vector<Finding>& findings) {
  std::vector<std::pair<NodeId, double>> activations;
  for (const NodeId id : graph.topological_order()) {
    if (!ir::is_dequantize(graph.node(id))) continue;
    const auto pair = ir::quantized_behind(graph, graph.node(id).outputs[0]);
    if (!pair || pair->params.dtype == DType::Int32) continue;
    const float least = *std::min_element(pair->params.scale.begin(), pair->params.scale.end());
    if (least < std::numeric_limits<float>::min()) {
      findings.push_back({"", label(graph, id), fmt::format("a scale is {}, below the normal floats", least),
                          "treat the tensor as all zero: scale 1"});
      continue;
    }
    if (!is_constant_pair(graph, *pair)) {
      activations.emplace_back(id, static_cast<double>(pair->params.scale[0]));
    } else if (pair->source != ir::kNone) {
      const std::string outlier = outlier_in(*graph.constant(pair->source), pair->params);
      if (!outlier.empty())
        findings.push_back(
            {"", label(graph, id), outlier, "clip the outlier, or choose the scale by error (mse)"});
    }
  }
  if (activations.size() < 3) return;
  std::vector<double> scales;
  for (const auto& [id, scale] : activations) scales.push_back(scale);
  const double middle = median(scales);
  for (const auto& [id, scale] : activations) {
    if (scale <= kFar * middle && scale >= middle / kFar) continue;
    findings.push_back(
        {"", label(graph, id),
         fmt::format("its scale {:.3g} is far from the other activations' (median {:.3g})", scale, middle),
         "look at the tensor's range; a percentile or mse calibrator bounds outliers"});
  }
}

}  // namespace kvant::quant
