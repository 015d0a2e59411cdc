// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "engine/run/probes.h"

namespace kvant::engine {
namespace {

bool same_constant(const ir::Graph& graph, ir::ValueId a, ir::ValueId b) {
  const Tensor* x = graph.constant(a);
  const Tensor* y = graph.constant(b);
  return x != nullptr && y != nullptr && *x == *y;
}

bool same_node(const ir::Graph& graph, const ir::Node& a, const ir::Node& b) {
  if (a.op != b.op || a.inputs.size() != b.inputs.size() || a.outputs.size() != b.outputs.size())
    return false;
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    if (a.inputs[i] != b.inputs[i] && !same_constant(graph, a.inputs[i], b.inputs[i])) return false;
  }
  return a.attributes == b.attributes;
}

size_t merge(ir::Graph& graph, const ir::OpTable& ops) {
  std::map<std::pair<std::string, ir::ValueId>, std::vector<ir::NodeId>> seen;
  size_t changes = 0;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.inputs.empty() || node.outputs.size() != 1 || ops.get(node.op).is(ir::Trait::Random)) continue;
    auto& others = seen[{node.op, node.inputs[0]}];
    const auto equal =
        std::ranges::find_if(others, [&](ir::NodeId o) { return same_node(graph, graph.node(o), node); });
    if (equal == others.end() || graph.is_output(node.outputs[0])) {
      others.push_back(id);
      continue;
    }
    const ir::ValueId kept = graph.node(*equal).outputs[0];
    record_probe(graph, graph.value(node.outputs[0]).name,
                 {.value = graph.value(kept).name, .permutation = {}});
    graph.replace_uses(node.outputs[0], kept);
    ++changes;
  }
  graph.erase_dead();
  return changes;
}

}  // namespace

// Two Qs of one tensor with equal parameters, two DQs of one tensor, two equal Transposes ... => one
ir::Pass merge_equal_nodes(const LoweringOptions&) {
  return {"merge-equal-nodes", "f(x), f(x) => one f(x) with two users", ir::Exactness::BitExact, merge};
}

// The same for what lowering left behind.
ir::Pass merge_leftovers(const LoweringOptions&) {
  return {"merge-leftovers", "f(x), f(x) => one f(x) with two users, after lowering", ir::Exactness::BitExact,
          merge};
}

}  // namespace kvant::engine
