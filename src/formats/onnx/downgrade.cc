// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/downgrade.h"

#include <algorithm>
#include <array>

namespace kvant::formats {

#define KVANT_ENTRY(op, below, function) bool function(ir::Graph&, ir::NodeId);
#include "formats/onnx/downgrades.inc"
#undef KVANT_ENTRY

namespace {

struct Entry {
  std::string_view op;
  int below;
  bool (*rule)(ir::Graph& graph, ir::NodeId node);
};

constexpr std::array kDowngrades{
#define KVANT_ENTRY(op, below, function) Entry{#op, below, &function},
#include "formats/onnx/downgrades.inc"
#undef KVANT_ENTRY
};

// bfloat16 came to the operators one by one; this is where the last of those that kvant has took it.
constexpr int kBFloat16Opset = 22;

bool has_bfloat16(const ir::Graph& graph) {
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const ir::Value& value = graph.value(static_cast<ir::ValueId>(i));
    if (!value.erased && value.type.dtype == DType::BFloat16) return true;
  }
  return false;
}

}  // namespace

int least_opset(const ir::Graph& graph, int wish) {
  int least = has_bfloat16(graph) ? std::max(wish, kBFloat16Opset) : wish;
  ir::Graph trial = graph;
  for (const ir::NodeId id : graph.topological_order()) {
    for (const Entry& entry : kDowngrades) {
      if (entry.op != graph.node(id).op || entry.below <= least) continue;
      if (!entry.rule(trial, id)) least = entry.below;
    }
  }
  return least;
}

void downgrade(ir::Graph& graph, int opset) {
  for (const ir::NodeId id : graph.topological_order()) {
    for (const Entry& entry : kDowngrades) {
      if (entry.op != graph.node(id).op || entry.below <= opset) continue;
      KVANT_CHECK(entry.rule(graph, id), "the opset chosen does not hold " + graph.node(id).op);
    }
  }
}

int ir_version_of(int opset) {
  struct Step {
    int opset, ir_version;
  };
  constexpr std::array<Step, 8> steps{
      {{28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}, {0, 7}}};
  return std::find_if(steps.begin(), steps.end(), [&](Step s) { return s.opset <= opset; })->ir_version;
}

}  // namespace kvant::formats
