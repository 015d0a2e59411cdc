// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "ir/infer.h"
#include "ir/qdq.h"

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

// Outputs of the network that depend on no input: made here, not at every run.
size_t fold_outputs(ir::Graph& graph, const ir::OpTable& ops) {
  std::vector<ir::ValueId> outputs(graph.outputs().begin(), graph.outputs().end());
  size_t folded = 0;
  for (ir::ValueId& output : outputs) {
    const ir::Node* node = graph.producer(output);
    if (node == nullptr || ir::is_quantize(*node) || ir::is_dequantize(*node)) continue;
    const ir::OpDef& op = ops.get(node->op);
    if (op.is(ir::Trait::Random)) continue;
    std::vector<const Tensor*> inputs;
    for (const ir::ValueId input : node->inputs) inputs.push_back(graph.constant(input));
    bool known = true;
    for (size_t i = 0; i < inputs.size(); ++i)
      known = known && (inputs[i] != nullptr || node->inputs[i] == ir::kNone);
    if (!known) continue;
    const auto position =
        static_cast<size_t>(std::ranges::find(node->outputs, output) - node->outputs.begin());
    const std::string name = graph.value(output).name;
    const std::vector<std::string> dims = graph.value(output).dim_names;
    const ir::ValueId constant = graph.add_constant(name, op.evaluate({*node, inputs})[position]);
    graph.rename_value(output, name + "~");
    graph.rename_value(constant, name);
    graph.set_dim_names(constant, dims);
    output = constant;
    ++folded;
  }
  if (folded > 0) graph.set_outputs(std::move(outputs));
  return folded;
}

}  // namespace

// f(constants) => constant, graph outputs included; Identity(x), Dropout(x) => x; Shape(x of static shape) =>
// constant
ir::Pass fold_constant_nodes(const LoweringOptions&) {
  return {"fold-constants", "f(constants) => constant; Identity(x), Dropout(x) => x", ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable& ops) {
            size_t changes = remove_identities(graph);
            while (const size_t folded = ir::fold_constants(graph, ops)) {
              changes += folded;
              ir::infer_types(graph, ops);
            }
            changes += fold_outputs(graph, ops);
            graph.erase_dead();
            return changes;
          }};
}

}  // namespace kvant::engine
