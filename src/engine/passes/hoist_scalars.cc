// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

bool moves(const ir::Node& node) {
  return node.op == "Reshape" || node.op == "Transpose" || node.op == "Flatten" || node.op == "Squeeze" ||
         node.op == "Unsqueeze";
}

bool hoist(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const ir::Node node = graph.node(id);
  if (node.op != "Mul" && node.op != "Div") return false;
  const size_t scalar = node.op == "Mul" && graph.is_constant(node.inputs[0]) ? 0 : 1;
  const ir::ValueId x = node.inputs[1 - scalar];
  const Tensor* factor = graph.constant(node.inputs[scalar]);
  if (factor == nullptr || factor->size() != 1 || graph.is_constant(x)) return false;
  const ir::NodeId before = graph.value(x).producer;
  if (before == ir::kNone || !moves(graph.node(before)) || sole_user(graph, x) != id) return false;
  if (static_shape(graph, x) != static_shape(graph, node.outputs[0])) return false;
  const ir::Node movement = graph.node(before);
  const ir::ValueId number = factor->rank() == 0
                                 ? node.inputs[scalar]
                                 : edit.constant(graph.value(node.inputs[scalar]).name, factor->reshaped({}));
  graph.rename_node(id, node.name + "~");
  graph.rename_node(before, movement.name + "~");
  std::vector<ir::ValueId> operands = {movement.inputs[0], number};
  if (scalar == 0) std::swap(operands[0], operands[1]);
  std::vector<ir::ValueId> inputs = movement.inputs;
  inputs[0] = edit.value(node.op, node.name, std::move(operands), node.attributes, {id});
  edit.take_place(node.outputs[0],
                  edit.value(movement.op, movement.name, std::move(inputs), movement.attributes, {before}));
  return true;
}

}  // namespace

// c * move(x) => move(c * x): beside a product the factor joins its epilogue.
ir::Pass hoist_scalars(const LoweringOptions&) {
  return {"hoist-scalars", "move(x) * c => move(x * c), move being Reshape, Transpose and their like",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            size_t changes = 0;
            const auto at = [&edit](ir::NodeId id) { return hoist(edit, id); };
            while (const size_t more = fuse_each(graph, graph.topological_order(), at)) changes += more;
            return changes;
          }};
}

}  // namespace kvant::engine
