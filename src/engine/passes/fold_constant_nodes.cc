// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "ir/infer.h"

namespace kvant::engine {
namespace {

// Identity(x) => x; Dropout(x) => x, as inference has it (its mask unused).
size_t remove_identities(ir::Graph& graph) {
  size_t removed = 0;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "Identity" && node.op != "Dropout") continue;
    if (node.outputs.size() > 1 && node.outputs[1] != ir::kNone && graph.use_count(node.outputs[1]) > 0)
      continue;
    const Tensor* training = graph.constant(input_at(node, 2));
    if (input_at(node, 2) != ir::kNone && (training == nullptr || training->to_ints()[0] != 0)) continue;
    // A graph output keeps its node, unless its input can take the name over.
    if (graph.is_output(node.outputs[0])) continue;
    graph.replace_uses(node.outputs[0], node.inputs[0]);
    ++removed;
  }
  return removed + graph.erase_dead();
}

}  // namespace

// f(constants) => constant; Identity(x), Dropout(x) => x; Shape(x of static shape) => constant
ir::Pass fold_constant_nodes(const LoweringOptions&) {
  return {"fold-constants", "f(constants) => constant; Identity(x), Dropout(x) => x", ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable& ops) {
            size_t changes = remove_identities(graph);
            while (const size_t folded = ir::fold_constants(graph, ops)) {
              changes += folded;
              ir::infer_types(graph, ops);
            }
            return changes;
          }};
}

}  // namespace kvant::engine
