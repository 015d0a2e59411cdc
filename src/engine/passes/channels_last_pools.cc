// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/layout.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

// The channels-last operator for a pool, with its attributes; "" when it has none.
std::string channels_last_form(const ir::Graph& graph, const ir::Node& node, ir::Attributes& attributes) {
  const auto shape = static_shape(graph, node.inputs[0]);
  if (!shape || shape->size() != 4 || node.outputs.size() != 1) return "";
  const bool is_float = graph.value(node.inputs[0]).type.dtype == DType::Float32;
  if (is_float &&
      (node.op == "GlobalAveragePool" || (node.op == "ReduceMean" && reduces_plane(graph, node)))) {
    return "GlobalAveragePoolNhwc";
  }
  if (node.op != "MaxPool" && !(node.op == "AveragePool" && is_float)) return "";
  const auto window = window_of(graph, node, {});
  if (!window) return "";
  set_window(attributes, *window);
  attributes.set("kernel_shape", window->kernel);
  if (node.op == "MaxPool") return "MaxPoolNhwc";
  const int64_t counts_padding = node.attributes.integer("count_include_pad", 0);
  if (window->widened && counts_padding != 0) return "";
  attributes.set("count_include_pad", counts_padding);
  return "AveragePoolNhwc";
}

bool convert(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  ir::Attributes attributes;
  const std::string op = channels_last_form(graph, graph.node(id), attributes);
  if (op.empty()) return false;
  const ir::Node node = graph.node(id);
  const Shape shape = *static_shape(graph, node.outputs[0]);
  graph.rename_node(id, node.name + "~");
  const ir::NodeId pool =
      edit.node(op, node.name, {to_nhwc(edit, node.inputs[0])}, std::move(attributes), {id});
  graph.set_reason(pool, node.reason);
  ir::ValueId y = to_nchw(edit, graph.node(pool).outputs[0], {id});
  if (shape.size() == 2) {
    y = edit.value("Reshape", node.name + "_flat", {y, edit.constant("", Tensor::vector<int64_t>(shape))}, {},
                   {id});
  }
  edit.take_place(node.outputs[0], y);
  return true;
}

}  // namespace

// pool(x) => Transpose(pool_nhwc(Transpose(x)))
ir::Pass channels_last_pools(const LoweringOptions&) {
  return {"channels-last-pools", "pool(x) => Transpose(pool_nhwc(Transpose(x)))", ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            size_t changes = 0;
            for (const ir::NodeId id : graph.topological_order()) changes += convert(edit, id);
            graph.erase_dead();
            return changes;
          }};
}

}  // namespace kvant::engine
