// SPDX-License-Identifier: Apache-2.0
#include "quant/lint/reading.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "quant/placement/sites.h"
#include "quant/targets/target.h"

namespace kvant::quant {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

bool is_for_onnxruntime(const Graph& graph) {
  const auto found = graph.metadata.find(std::string(kTargetKey));
  return found != graph.metadata.end() && found->second == "onnxruntime";
}

bool takes_any_codes(const Graph& graph) {
  const auto found = graph.metadata.find(std::string(kTargetKey));
  return found != graph.metadata.end() && found->second != "tensorrt";
}

std::optional<ir::Quantized> pair_at(const Graph& graph, const Node& node, size_t index) {
  if (index >= node.inputs.size() || node.inputs[index] == kNone) return std::nullopt;
  return ir::quantized_behind(graph, node.inputs[index]);
}

namespace {

constexpr std::string_view kMoversBehindPair[] = {
    "MaxPool", "Reshape",  "Flatten", "Squeeze",      "Unsqueeze",    "Transpose",
    "Slice",   "Split",    "Gather",  "Expand",       "Tile",         "Pad",
    "Relu",    "Identity", "Dropout", "DepthToSpace", "SpaceToDepth", "GlobalMaxPool"};
constexpr int kDeepest = 16;

}  // namespace

bool is_quantized_tensor(const Graph& graph, ValueId value, int depth) {
  if (value == kNone || depth > kDeepest) return false;
  if (ir::quantized_behind(graph, value)) return true;
  const Node* producer = graph.producer(value);
  if (producer == nullptr) return false;
  if (producer->op == "Concat") {
    return std::all_of(producer->inputs.begin(), producer->inputs.end(),
                       [&](ValueId input) { return is_quantized_tensor(graph, input, depth + 1); });
  }
  const bool moves = std::find(std::begin(kMoversBehindPair), std::end(kMoversBehindPair), producer->op) !=
                     std::end(kMoversBehindPair);
  return moves && is_quantized_tensor(graph, producer->inputs[0], depth + 1);
}

bool is_integer_layer(const Graph& graph, const Node& node) {
  return is_weighted(node) && is_quantized_tensor(graph, node.inputs[0]) && pair_at(graph, node, 1);
}

std::vector<size_t> data_inputs_of(const Graph& graph, const Node& node) {
  std::vector<size_t> inputs;
  const bool many =
      node.op == "Concat" || node.op == "Sum" || node.op == "Mean" || node.op == "Max" || node.op == "Min";
  const bool two = node.op == "Add" || node.op == "Mul" || node.op == "Sub" || node.op == "Div" ||
                   node.op == "MatMul" || node.op == "Pow";
  const size_t limit = many ? node.inputs.size() : (two ? 2 : 1);
  for (size_t i = 0; i < std::min(limit, node.inputs.size()); ++i) {
    if (node.inputs[i] != kNone && !graph.is_constant(node.inputs[i])) inputs.push_back(i);
  }
  return inputs;
}

bool reads_pairs_only(const Graph& graph, const Node& node) {
  const std::vector<size_t> inputs = data_inputs_of(graph, node);
  return !inputs.empty() && std::all_of(inputs.begin(), inputs.end(), [&](size_t i) {
    const auto pair = pair_at(graph, node, i);
    return pair && pair->params.per_tensor();
  });
}

namespace {

// The node that takes `value` into the epilogue of the layer before it, or kNone.
NodeId next_in_epilogue(const Graph& graph, ValueId value) {
  const std::vector<ir::Use>& uses = graph.value(value).uses;
  if (graph.is_output(value) || uses.empty()) return kNone;
  const Node& first = graph.node(uses[0].node);
  if (uses.size() == 1) {
    const bool fuses = is_activation(first) || first.op == "BatchNormalization" || first.op == "Add";
    return fuses && (uses[0].index == 0 || first.op == "Add") ? uses[0].node : kNone;
  }
  if (uses.size() != 2) return kNone;
  for (const ir::Use& use : uses) {
    if (is_swish(graph, graph.node(use.node))) return use.node;
  }
  return kNone;
}

}  // namespace

ValueId epilogue_end(const Graph& graph, NodeId id) {
  ValueId value = graph.node(id).outputs[0];
  for (int steps = 0; steps < 16; ++steps) {
    const NodeId next = next_in_epilogue(graph, value);
    if (next == kNone) break;
    value = graph.node(next).outputs[0];
  }
  return value;
}

Readers readers_of(const Graph& graph, ValueId value) {
  Readers readers;
  for (const ir::Use& use : graph.value(value).uses) {
    if (ir::is_quantize(graph.node(use.node)) && use.index == 0) {
      readers.quantizers.push_back(use.node);
    } else {
      readers.others.push_back(label(graph, use.node));
    }
  }
  if (graph.is_output(value)) readers.others.push_back("the network's output " + graph.value(value).name);
  return readers;
}

}  // namespace kvant::quant
