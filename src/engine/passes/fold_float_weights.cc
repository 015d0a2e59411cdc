// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "ir/qdq.h"

namespace kvant::engine {

namespace {

size_t fold(ir::Graph& graph, const ir::OpTable& ops) {
  Edit edit(graph, ops);
  size_t changes = 0;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (!ir::is_dequantize(node) || graph.is_output(node.outputs[0])) continue;
    const Tensor* codes = graph.constant(node.inputs[0]);
    const auto params = codes != nullptr ? ir::params_of(graph, id) : std::nullopt;
    if (!params) continue;
    const DType real = graph.value(node.outputs[0]).type.dtype;
    edit.take_place(node.outputs[0], edit.constant("", dequantize(*codes, *params).cast(real)));
    ++changes;
  }
  graph.erase_dead();
  return changes;
}

}  // namespace

// Where no integer kernel reads them, codes are of no use: the float operator takes the numbers that they
// stand for.
ir::Pass fold_float_weights(const LoweringOptions&) {
  return {"fold-float-weights", "DQ(constant) => float constant", ir::Exactness::BitExact, fold};
}

// The same for weights that integer fusion left.
ir::Pass fold_leftover_weights(const LoweringOptions&) {
  return {"fold-leftover-weights", "DQ(constant) => float constant, after integer fusion",
          ir::Exactness::BitExact, fold};
}

}  // namespace kvant::engine
