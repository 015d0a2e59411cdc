// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

// Which input of a Min or Max of two is a constant with a bound for each channel or so.
std::optional<size_t> bound_input(const ir::Graph& graph, const ir::Node& node) {
  if ((node.op != "Min" && node.op != "Max") || node.inputs.size() != 2) return std::nullopt;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const Tensor* bound = graph.constant(node.inputs[i]);
    if (bound == nullptr || bound->size() < 2 || bound->dtype() != DType::Float32) continue;
    const auto numbers = bound->data<float>();
    if (std::ranges::none_of(numbers, [](float x) { return std::isnan(x); })) return i;
  }
  return std::nullopt;
}

bool bound_codes(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const auto params = tensor_quantizer(graph, id);
  if (!params) return false;
  const ir::Node quantize_node = graph.node(id);
  const ir::NodeId before = graph.value(quantize_node.inputs[0]).producer;
  if (before == ir::kNone || sole_user(graph, quantize_node.inputs[0]) != id) return false;
  const ir::Node node = graph.node(before);
  const auto i = bound_input(graph, node);
  if (!i) return false;
  const ir::ValueId x = node.inputs[1 - *i];
  if (graph.is_constant(x) || static_shape(graph, x) != static_shape(graph, node.outputs[0]) ||
      !static_shape(graph, x))
    return false;
  const Tensor codes = quantize(*graph.constant(node.inputs[*i]), *params);
  const IntRange range = code_range(params->dtype);
  const int64_t loosest = node.op == "Min" ? range.high : range.low;
  const auto numbers = codes.to_ints();
  graph.rename_node(id, quantize_node.name + "~");
  graph.rename_node(before, node.name + "~");
  std::vector<ir::ValueId> inputs = quantize_node.inputs;
  inputs[0] = x;
  ir::ValueId y =
      edit.value("QuantizeLinear", quantize_node.name, std::move(inputs), quantize_node.attributes, {id});
  if (std::ranges::any_of(numbers, [&](int64_t code) { return code != loosest; })) {
    std::vector<ir::ValueId> operands = {y, edit.constant(node.name + "_bound", codes)};
    if (*i == 0) std::swap(operands[0], operands[1]);
    y = edit.value(node.op, node.name, std::move(operands), {}, {before});
  }
  edit.take_place(quantize_node.outputs[0], y);
  return true;
}

}  // namespace

// Rounding keeps order, so the smaller of two numbers has the smaller of their codes. What cross-layer
// equalization makes of a ReLU6 is such a bound.
ir::Pass quantize_bounds(const LoweringOptions&) {
  return {"quantize-bounds", "Q(Min|Max(x, constants)) => Min|Max(Q(x), codes)", ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            return fuse_each(graph, upwards(graph), [&edit](ir::NodeId id) { return bound_codes(edit, id); });
          }};
}

}  // namespace kvant::engine
