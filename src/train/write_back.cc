// SPDX-License-Identifier: Apache-2.0
// From trained values to graph constants.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "train/program.h"

namespace kvant::train {
namespace {

// Whether only these nodes read `value`.
bool read_only_by(const ir::Graph& graph, ir::ValueId value, const std::set<ir::NodeId>& nodes) {
  const std::vector<ir::Use>& uses = graph.value(value).uses;
  return std::all_of(uses.begin(), uses.end(), [&](const ir::Use& use) { return nodes.contains(use.node); });
}

void write_scale(ir::Graph& graph, const ir::Quantized& pair, const std::vector<float>& scales) {
  if (scales == pair.params.scale) return;
  QuantParams params = pair.params;
  params.scale = scales;
  std::vector<ir::Quantized> forms;  // every DQ of this Q
  std::set<ir::NodeId> group{pair.quantize};
  for (const ir::Quantized& form : ir::quantized_forms(graph, pair.source)) {
    if (form.quantize != pair.quantize) continue;
    forms.push_back(form);
    group.insert(form.dequantize);
  }
  const ir::ValueId scale = graph.node(pair.dequantize).inputs[1];
  if (pair.clip == ir::kNone && read_only_by(graph, scale, group)) {
    graph.set_constant(scale, Tensor::of<float>(graph.constant(scale)->shape(), scales));
    return;
  }
  for (const ir::Quantized& form : forms) ir::set_params(graph, form, params);
}

// Weights whose code would leave the range that was trained with (a learned or frozen scale) move onto its
// edge: the value that training gave them.
void clamp_to_codes(std::vector<float>& weights, const Shape& shape, const ir::Quantized& pair,
                    const std::vector<float>& scales) {
  const int64_t axis = pair.params.per_tensor() ? 0 : pair.params.axis;
  int64_t inner = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) inner *= shape[i];
  const int64_t channels = shape.empty() ? 1 : shape[static_cast<size_t>(axis)];
  const auto high = static_cast<float>(pair.range.high);
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto channel = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
    const float scale = scales[scales.size() == 1 ? 0 : channel];
    const float code = weights[i] / scale;
    if (code >= high + 0.5f) weights[i] = high * scale;
    if (code <= -high - 0.5f) weights[i] = -high * scale;
  }
}

}  // namespace

void Program::write_back(ir::Graph& graph, const std::vector<std::vector<float>>& values) const {
  KVANT_CHECK(values.size() == slots_.size(), "one list of values for each slot");
  std::vector<std::vector<float>> final_values = values;
  for (size_t s = 0; s < slots_.size(); ++s) {
    const ir::Quantized& pair = slots_[s].pair;
    if (slots_[s].constant != ir::kNone || !pair.params.zero_point.empty()) continue;
    for (size_t w = 0; w < slots_.size(); ++w) {
      if (slots_[w].constant == pair.source && slots_[w].constant != ir::kNone) {
        clamp_to_codes(final_values[w], slots_[w].shape, pair, values[s]);
      }
    }
  }
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].constant == ir::kNone) {
      write_scale(graph, slots_[s].pair, values[s]);
    } else {
      graph.set_constant(slots_[s].constant, Tensor::of<float>(slots_[s].shape, final_values[s]));
    }
  }
}

size_t unfold_integer_constants(ir::Graph& graph) {
  size_t count = 0;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (!ir::is_dequantize(node) || !graph.is_constant(node.inputs[0])) continue;
    const auto params = ir::params_of(graph, id);
    if (!params) continue;
    const std::string name = graph.value(node.inputs[0]).name;
    const ir::ValueId real =
        graph.add_constant(name + "_float", dequantize(*graph.constant(node.inputs[0]), *params));
    ++count;
    if (params->dtype == DType::Int32) {
      graph.replace_uses(node.outputs[0], real);
      continue;
    }
    std::vector<ir::ValueId> inputs = node.inputs;
    inputs[0] = real;
    const ir::NodeId quantize = graph.add_node("QuantizeLinear", name + "_QuantizeLinear", inputs,
                                               {name + "_quantized"}, node.attributes);
    const ir::ValueId codes = graph.node(quantize).outputs[0];
    graph.set_type(codes, {params->dtype, graph.constant(real)->shape()});
    graph.set_input(id, 0, codes);
  }
  if (count > 0) graph.erase_dead();
  return count;
}

}  // namespace kvant::train
