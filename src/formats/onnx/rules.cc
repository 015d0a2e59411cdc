// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <limits>

#include "formats/onnx/draft.h"

namespace kvant::formats {

constexpr int kAnyOpset = std::numeric_limits<int>::max();

#define KVANT_ENTRY(op, below, function) void function(Draft&, Importing&);
#include "formats/onnx/upgrades.inc"
#undef KVANT_ENTRY
#define KVANT_ENTRY(op, function) void function(Draft&, Importing&);
#include "formats/onnx/lifts.inc"
#undef KVANT_ENTRY

namespace {

struct ImportRule {
  std::string_view op;
  int below;
  DraftRule rule;
};

constexpr std::array kUpgrades{
#define KVANT_ENTRY(op, below, function) ImportRule{#op, below, &function},
#include "formats/onnx/upgrades.inc"
#undef KVANT_ENTRY
};

constexpr std::array kLifts{
#define KVANT_ENTRY(op, function) ImportRule{#op, kAnyOpset, &function},
#include "formats/onnx/lifts.inc"
#undef KVANT_ENTRY
};

template <class Table>
void apply(const Table& table, Draft& node, Importing& graph) {
  for (const ImportRule& entry : table) {
    if (node.op == entry.op && graph.opset() < entry.below && !node.constant) entry.rule(node, graph);
  }
}

}  // namespace

void Draft::set_input(size_t i, ir::ValueId value) {
  if (inputs.size() <= i) inputs.resize(i + 1, ir::kNone);
  inputs[i] = value;
}

void upgrade(Draft& node, Importing& graph) { apply(kUpgrades, node, graph); }
void lift(Draft& node, Importing& graph) { apply(kLifts, node, graph); }

}  // namespace kvant::formats
