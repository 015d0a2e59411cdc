// SPDX-License-Identifier: Apache-2.0
#include "choose/layers.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "ir/qdq.h"

namespace kvant::choose {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

constexpr std::string_view kMoves[] = {
    "Reshape", "Flatten",      "Squeeze", "Unsqueeze",    "Identity", "Dropout",      "Transpose",
    "Slice",   "Split",        "Gather",  "GatherND",     "Expand",   "Concat",       "GatherElements",
    "Tile",    "DepthToSpace", "Pad",     "SpaceToDepth", "MaxPool",  "GlobalMaxPool"};

bool moves(const Node& node) {
  return std::find(std::begin(kMoves), std::end(kMoves), node.op) != std::end(kMoves);
}

bool is_pair_part(const Graph& graph, const Node& node) {
  if (ir::is_quantize(node) || ir::is_dequantize(node)) return true;
  if (node.op != "Clip") return false;  // the one that keeps fewer than 8 bits in range
  const auto forms = ir::quantized_forms(graph, node.inputs[0]);
  return std::any_of(forms.begin(), forms.end(), [&](const ir::Quantized& pair) {
    return pair.clip != kNone && graph.node(pair.clip).name == node.name;
  });
}

bool reads_pair(const Graph& graph, const Node& node) {
  return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
    const auto pair = ir::quantized_behind(graph, input);
    return pair && pair->params.dtype != DType::Int32 && !graph.is_constant(pair->codes) &&
           !graph.is_constant(pair->source);
  });
}

// Every reader of the node's results is a pair that only nodes of `names` read, or such a node.
bool serves_only(const Graph& graph, const Node& node, const std::set<std::string>& names, int depth = 0) {
  if (depth > 16) return false;
  for (const ValueId output : node.outputs) {
    if (output == kNone) continue;
    if (graph.is_output(output) || graph.value(output).uses.empty()) return false;
    for (const ir::Use& use : graph.value(output).uses) {
      const Node& reader = graph.node(use.node);
      if (names.contains(reader.name)) continue;
      const bool passes = is_pair_part(graph, reader) || moves(reader);
      if (!passes || !serves_only(graph, reader, names, depth + 1)) return false;
    }
  }
  return true;
}

// The float tensor that a pair stands on.
ValueId float_behind(Graph& graph, const ir::Quantized& pair) {
  if (pair.source != kNone) return pair.source;
  if (!graph.is_constant(pair.codes)) return pair.result;  // codes from elsewhere: nothing else is known
  Tensor value =
      dequantize(*graph.constant(pair.codes), pair.params).cast(graph.value(pair.result).type.dtype);
  return graph.add_constant(graph.value(pair.result).name + "_value", std::move(value));
}

}  // namespace

std::vector<std::string> quantized_layers(const Graph& qdq) {
  std::vector<std::string> names;
  for (const NodeId id : qdq.topological_order()) {
    const Node& node = qdq.node(id);
    if (node.name.empty() || moves(node) || is_pair_part(qdq, node) || !reads_pair(qdq, node)) continue;
    names.push_back(node.name);
  }
  return names;
}

void keep_layers(Graph& qdq, const std::set<std::string>& names) {
  std::vector<std::pair<ir::Use, ir::Quantized>> bypassed;  // looked up before anything changes
  for (const NodeId id : qdq.topological_order()) {
    const Node& node = qdq.node(id);
    if (names.contains(node.name) || is_pair_part(qdq, node)) continue;
    if (moves(node) && serves_only(qdq, node, names)) continue;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto pair = ir::quantized_behind(qdq, node.inputs[i]);
      if (pair && pair->params.dtype != DType::Int32) bypassed.push_back({{id, static_cast<int>(i)}, *pair});
    }
  }
  for (const auto& [use, pair] : bypassed) qdq.set_input(use.node, use.index, float_behind(qdq, pair));
  qdq.erase_dead();
}

}  // namespace kvant::choose
