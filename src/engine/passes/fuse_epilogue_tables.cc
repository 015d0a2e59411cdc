// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

constexpr size_t kResidual = 4, kTable = 5;

// The table of a QLut from codes to codes.
ir::ValueId code_table(const ir::Graph& graph, const ir::Node& node) {
  if (node.op != "QLut") return ir::kNone;
  const Tensor* table = graph.constant(node.inputs[1]);
  return table != nullptr && table->dtype() != DType::Float32 ? node.inputs[1] : ir::kNone;
}

bool takes_table(const ir::Node& node) {
  return (node.op == "QConv" || node.op == "QGemm") && input_at(node, kTable) == ir::kNone &&
         node.attributes.text("output", "") != "f32";
}

bool fuse(ir::Graph& graph, Edit& edit, ir::NodeId id) {
  const ir::Node node = graph.node(id);
  const ir::ValueId table = code_table(graph, node);
  const ir::NodeId producer = table == ir::kNone ? ir::kNone : graph.value(node.inputs[0]).producer;
  if (producer == ir::kNone || sole_user(graph, node.inputs[0]) != id) return false;
  const ir::Node layer = graph.node(producer);
  if (!takes_table(layer)) return false;
  std::vector<ir::ValueId> inputs = layer.inputs;
  inputs.resize(kResidual + 1, ir::kNone);
  inputs.push_back(table);
  graph.rename_node(producer, layer.name + "~");
  const ir::ValueId y = edit.value(layer.op, layer.name, std::move(inputs), layer.attributes, {producer, id});
  edit.take_place(node.outputs[0], y);
  return true;
}

}  // namespace

// Codes that a layer wrote for a table alone go through it on their way to memory.
ir::Pass fuse_epilogue_tables(const LoweringOptions&) {
  return {"fuse-epilogue-tables", "QLut(QConv | QGemm) => QConv | QGemm with the table",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            return fuse_each(graph, graph.topological_order(),
                             [&](ir::NodeId id) { return fuse(graph, edit, id); });
          }};
}

}  // namespace kvant::engine
