// SPDX-License-Identifier: Apache-2.0
// L3, L4: findings on what fuses into a layer.
#include "base/error.h"
#include "quant/lint/lint.h"
#include "quant/lint/reading.h"
#include "quant/placement/sites.h"
#include "quant/targets/output_pairs.h"

namespace kvant::quant {

using ir::Graph;
using ir::Node;
using ir::NodeId;

namespace {

// Whether input `index` of the addition is the float result of an integer layer, behind what fuses into it.
bool is_layer_branch(const Graph& graph, const Node& add, size_t index) {
  ir::ValueId value = add.inputs[index];
  for (int steps = 0; steps < 8 && value != ir::kNone; ++steps) {
    const NodeId producer = graph.value(value).producer;
    if (producer == ir::kNone || graph.use_count(value) != 1) return false;
    const Node& node = graph.node(producer);
    if (is_weighted(node)) return is_integer_layer(graph, node);
    if (!is_activation(node) && node.op != "BatchNormalization") return false;
    value = node.inputs[0];
  }
  return false;
}

}  // namespace

void find_float_shortcut(const Graph& graph, std::vector<Finding>& findings) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Add" || data_inputs_of(graph, node).size() != 2) continue;
    if (readers_of(graph, epilogue_end(graph, id)).quantizers.empty()) continue;
    for (const size_t branch : {size_t{0}, size_t{1}}) {
      if (!is_layer_branch(graph, node, branch) || pair_at(graph, node, 1 - branch)) continue;
      findings.push_back(
          {"", label(graph, id),
           fmt::format("residual addition with a float shortcut (input {}): the layer before it writes "
                       "float too",
                       1 - branch),
           "quantize the shortcut"});
      break;
    }
  }
}

// The fix tells: what it would take away is what there is to find.
void find_split_fusion(const Graph& graph, std::vector<Finding>& findings) {
  if (is_for_onnxruntime(graph)) return;
  for (const std::string& name : splitting_pairs(graph)) {
    findings.push_back({"", name,
                        "the pair on its result splits it from what would fuse into it, and rounds once more",
                        "take the pair off (--fix does)"});
  }
}

int64_t join_split_fusions(Graph& graph) {
  if (is_for_onnxruntime(graph)) return 0;
  TargetReport report;
  drop_output_pairs(graph, report);
  return report.output_pairs_dropped;
}

}  // namespace kvant::quant
