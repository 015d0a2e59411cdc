// SPDX-License-Identifier: Apache-2.0
#include "engine/plan/plan.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace kvant::engine {
namespace {

// Axes longer than 1 keep their order: the bytes do not move.
bool moves_only_unit_axes(const Shape& shape, const std::vector<int64_t>& permutation) {
  if (permutation.size() != shape.size()) return false;
  int64_t last = -1;
  for (const int64_t axis : permutation) {
    if (axis < 0 || axis >= static_cast<int64_t>(shape.size())) return false;
    if (shape[static_cast<size_t>(axis)] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

}  // namespace

size_t value_bytes(const ir::Graph& graph, ir::ValueId id) {
  const ir::Value& value = graph.value(id);
  if (!value.type.is_static()) {
    fail("the shape of '{}' depends on the data; an engine needs fixed shapes", value.name);
  }
  return static_cast<size_t>(element_count(*value.type.shape)) * size_of(value.type.dtype);
}

bool is_view(const ir::Graph& graph, const ir::Node& node) {
  static const std::set<std::string, std::less<>> kReshapes = {"Reshape", "Flatten", "Squeeze", "Unsqueeze",
                                                               "Identity"};
  if (node.inputs.empty() || node.inputs[0] == ir::kNone || node.outputs.size() != 1) return false;
  if (node.outputs[0] == ir::kNone) return false;
  const ir::Type& in = graph.value(node.inputs[0]).type;
  const ir::Type& out = graph.value(node.outputs[0]).type;
  if (!in.is_static() || !out.is_static() || in.dtype != out.dtype) return false;
  if (element_count(*in.shape) != element_count(*out.shape)) return false;
  if (kReshapes.contains(node.op)) return true;
  return node.op == "Transpose" && moves_only_unit_axes(*in.shape, node.attributes.integers("perm"));
}

std::vector<ir::ValueId> storage_roots(const Plan& plan) {
  std::vector<ir::ValueId> roots(plan.graph.value_capacity());
  for (size_t i = 0; i < roots.size(); ++i) roots[i] = static_cast<ir::ValueId>(i);
  for (const PlanStep& step : plan.steps) {
    if (step.backend != kView) continue;
    const ir::Node& node = plan.graph.node(step.node);
    roots[static_cast<size_t>(node.outputs[0])] = roots[static_cast<size_t>(node.inputs[0])];
  }
  return roots;
}

std::map<ir::ValueId, LiveRange> live_ranges(const Plan& plan) {
  const ir::Graph& graph = plan.graph;
  const std::vector<ir::ValueId> roots = storage_roots(plan);
  std::map<ir::ValueId, LiveRange> ranges;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const PlanStep& step = plan.steps[i];
    const ir::Node& node = graph.node(step.node);
    for (const ir::ValueId input : node.inputs) {
      if (input == ir::kNone) continue;
      const auto found = ranges.find(roots[static_cast<size_t>(input)]);
      if (found != ranges.end()) found->second.last = i;
    }
    if (step.backend == kView) continue;
    for (const ir::ValueId output : node.outputs) {
      if (output != ir::kNone && !graph.is_output(output)) ranges[output] = {i, i};
    }
  }
  return ranges;
}

void check_memory(const Plan& plan) {
  struct Block {
    size_t begin, end;
    LiveRange live;
    ir::ValueId value;
  };
  std::vector<Block> blocks;
  for (const auto& [id, range] : live_ranges(plan)) {
    const size_t bytes = value_bytes(plan.graph, id);
    const int64_t offset = plan.offsets[static_cast<size_t>(id)];
    const std::string& name = plan.graph.value(id).name;
    if (offset < 0 || offset % static_cast<int64_t>(kAlignment) != 0)
      fail("tensor '{}' has no place in the arena", name);
    const auto begin = static_cast<size_t>(offset);
    if (begin > plan.arena_bytes || bytes > plan.arena_bytes - begin)
      fail("tensor '{}' lies outside the arena", name);
    if (bytes > 0) blocks.push_back({begin, begin + bytes, range, id});
  }
  std::ranges::sort(blocks, {}, &Block::begin);
  for (size_t i = 0; i < blocks.size(); ++i) {
    for (size_t j = i + 1; j < blocks.size() && blocks[j].begin < blocks[i].end; ++j) {
      if (!blocks[i].live.overlaps(blocks[j].live)) continue;
      fail("tensors '{}' and '{}' overlap in the arena", plan.graph.value(blocks[i].value).name,
           plan.graph.value(blocks[j].value).name);
    }
  }
}

}  // namespace kvant::engine
