// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "ir/qdq.h"

namespace kvant::engine {
namespace {

std::string reason_for(const ir::Graph& graph, const ir::Node& node) {
  if (ir::is_quantize(node)) {
    const ir::Node* producer = graph.producer(node.inputs[0]);
    if (producer == nullptr) return "quantizes a float input of the network";
    if (graph.use_count(node.inputs[0]) > 1) return "separate: what it quantizes is read in float too";
    return "separate: " + producer->op + " before it has no kernel that writes codes";
  }
  if (ir::is_dequantize(node)) {
    if (graph.is_output(node.outputs[0])) return "makes a float output of the network";
    const auto& uses = graph.value(node.outputs[0]).uses;
    return uses.empty() ? "unused" : "separate: " + graph.node(uses[0].node).op + " after it runs in float";
  }
  if (graph.value(node.outputs[0]).type.dtype != DType::Float32) return "";  // it quantizes its own result
  bool reads_codes = false;
  for (const ir::ValueId input : node.inputs) {
    const ir::Node* producer = graph.producer(input);
    reads_codes = reads_codes || (producer != nullptr && ir::is_dequantize(*producer));
  }
  if (!reads_codes) return "";
  return "float: its inputs are quantized, but no Q with one scale alone reads its result";
}

}  // namespace

// Every Q, DQ and float layer beside them that is left says why it is.
ir::Pass explain_float(const LoweringOptions&) {
  return {"explain-float", "a node that stayed outside the integer region => the same with its reason",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable&) {
            size_t changes = 0;
            for (const ir::NodeId id : graph.topological_order()) {
              if (!graph.node(id).reason.empty()) continue;
              std::string reason = reason_for(graph, graph.node(id));
              if (reason.empty()) continue;
              graph.set_reason(id, std::move(reason));
              ++changes;
            }
            return changes;
          }};
}

}  // namespace kvant::engine
