// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/integer_epilogue.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

bool fuse(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const ir::Node node = graph.node(id);
  if (node.op != "Softmax" && node.op != "LayerNormalization") return false;
  for (size_t i = 1; i < node.outputs.size(); ++i) {  // mean and deviation
    if (node.outputs[i] != ir::kNone &&
        (graph.use_count(node.outputs[i]) > 0 || graph.is_output(node.outputs[i])))
      return false;
  }
  const ir::NodeId quantize = sole_user(graph, node.outputs[0]);
  const auto params = tensor_quantizer(graph, quantize);
  if (!params) return false;
  ir::Attributes attributes = node.attributes;
  attributes.erase("stash_type");
  attributes.set("y_scale", params->scale[0]);
  set_code_output(attributes, *params, code_range(params->dtype));
  graph.rename_node(id, node.name + "~");
  edit.take_place(graph.node(quantize).outputs[0],
                  edit.value("Q" + node.op, node.name, node.inputs, std::move(attributes), {id, quantize}));
  return true;
}

}  // namespace

// Q(Softmax(x)) => QSoftmax(x); Q(LayerNormalization(x, ...)) => QLayerNormalization(x, ...)
ir::Pass fuse_rows(const LoweringOptions&) {
  return {"fuse-rows", "Q(Softmax|LayerNormalization(x ...)) => QSoftmax|QLayerNormalization(x ...)",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            return fuse_each(graph, graph.topological_order(),
                             [&edit](ir::NodeId id) { return fuse(edit, id); });
          }};
}

}  // namespace kvant::engine
