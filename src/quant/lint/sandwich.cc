// SPDX-License-Identifier: Apache-2.0
// L5, L6, L13: findings on operators without weights.
#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

#include "base/error.h"
#include "quant/lint/lint.h"
#include "quant/lint/reading.h"
#include "quant/placement/sites.h"

namespace kvant::quant {

using ir::Graph;
using ir::Node;
using ir::NodeId;

namespace {

constexpr std::string_view kSandwiches[] = {"AveragePool", "GlobalAveragePool", "Add", "Sub",
                                            "Mul",         "BatchNormalization"};
// Cheap operators without an integer form.
constexpr std::string_view kIslands[] = {"Softmax",
                                         "LayerNormalization",
                                         "InstanceNormalization",
                                         "GroupNormalization",
                                         "Resize",
                                         "ReduceMean",
                                         "ReduceSum",
                                         "Div",
                                         "Pow",
                                         "Sqrt",
                                         "Exp",
                                         "LpNormalization",
                                         "Erf"};

constexpr std::string_view kMovers[] = {"Flatten",   "Reshape", "Squeeze", "Unsqueeze",
                                        "Transpose", "MaxPool", "Slice",   "Identity"};

template <size_t N>
bool is_one_of(const Node& node, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), node.op) != std::end(names);
}

// Behind what fuses into `id` and behind data movement, which takes the type of its neighbours.
ir::ValueId result_end(const Graph& graph, NodeId id) {
  ir::ValueId value = epilogue_end(graph, id);
  for (int steps = 0; steps < 8; ++steps) {
    const std::vector<ir::Use>& uses = graph.value(value).uses;
    if (uses.size() != 1 || graph.is_output(value)) break;
    const Node& reader = graph.node(uses[0].node);
    if (uses[0].index != 0 || !is_one_of(reader, kMovers)) break;
    value = epilogue_end(graph, uses[0].node);
  }
  return value;
}

}  // namespace

void find_open_sandwich(const Graph& graph, std::vector<Finding>& findings) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_one_of(node, kSandwiches) || !reads_pairs_only(graph, node)) continue;
    const Readers readers = readers_of(graph, result_end(graph, id));
    if (!readers.quantizers.empty()) continue;
    const std::string reader = readers.others.empty() ? "nobody" : readers.others.front();
    findings.push_back(
        {"", label(graph, id),
         fmt::format("its inputs are quantized but {} reads its result in float: it runs in float behind "
                     "separate DQs",
                     reader),
         "quantize its result too, or take the pairs off its inputs"});
  }
}

void find_concat_scales(const Graph& graph, std::vector<Finding>& findings) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Concat") continue;
    std::set<float> scales;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto pair = pair_at(graph, node, i);
      if (pair && pair->params.per_tensor()) scales.insert(pair->params.scale[0]);
    }
    const size_t branches = scales.size();
    for (const NodeId q : readers_of(graph, node.outputs[0]).quantizers) {
      const auto params = ir::params_of(graph, q);
      if (branches > 0 && params && params->per_tensor()) scales.insert(params->scale[0]);
    }
    if (scales.size() < 2) continue;
    findings.push_back(
        {"", label(graph, id),
         fmt::format("{} different scales at its inputs and result: each branch is requantized",
                     scales.size()),
         "give all branches and the result one scale (the largest)"});
  }
}

void find_float_island(const Graph& graph, std::vector<Finding>& findings) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_one_of(node, kIslands) || !reads_pairs_only(graph, node)) continue;
    const Readers readers = readers_of(graph, node.outputs[0]);
    if (readers.quantizers.empty() || !readers.others.empty()) continue;
    findings.push_back({"", label(graph, id),
                        node.op + " runs in float between two quantized regions: DQ and Q around it "
                                  "are passes of their own",
                        "take the pair off its input, or accept it"});
  }
}

}  // namespace kvant::quant
