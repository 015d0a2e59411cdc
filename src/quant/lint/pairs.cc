// SPDX-License-Identifier: Apache-2.0
// L7, L8, L9, L14: findings on pairs as such.
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
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

std::vector<NodeId> quantizers(const Graph& graph, ValueId value) {
  return value == kNone ? std::vector<NodeId>{} : readers_of(graph, value).quantizers;
}

bool equal_params(const Graph& graph, NodeId a, NodeId b) {
  const auto left = ir::params_of(graph, a), right = ir::params_of(graph, b);
  return left && right && *left == *right;
}

constexpr std::string_view kQuantizable[] = {
    "AveragePool", "GlobalAveragePool",  "Add",           "Sub", "Mul",
    "Concat",      "BatchNormalization", "Max",           "Min", "ReduceMean",
    "ReduceMax",   "ReduceMin",          "QuantizeLinear"};
constexpr std::string_view kMoves[] = {"MaxPool",      "GlobalMaxPool", "Reshape", "Flatten",  "Squeeze",
                                       "Unsqueeze",    "Transpose",     "Slice",   "Split",    "Gather",
                                       "Expand",       "Tile",          "Pad",     "Identity", "DepthToSpace",
                                       "SpaceToDepth", "Resize",        "Relu",    "Clip"};

template <size_t N>
bool one_of(const Node& node, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), node.op) != std::end(names);
}

// Whether something behind `value` can compute on its codes, or it leaves the network.
bool serves(const Graph& graph, ValueId value, int depth = 0) {
  if (graph.is_output(value) || depth > 8) return true;
  for (const ir::Use& use : graph.value(value).uses) {
    const Node& reader = graph.node(use.node);
    if (is_weighted(reader) && use.index < 2) return true;
    if (one_of(reader, kQuantizable)) return true;
    for (const ValueId output : reader.outputs) {
      if (output == kNone) continue;
      if (one_of(reader, kMoves) && serves(graph, output, depth + 1)) return true;
      // A table computes any unary function from codes to codes.
      if (is_activation(reader) && !readers_of(graph, output).quantizers.empty()) return true;
    }
  }
  return false;
}

bool is_dangling(const Graph& graph, const ir::Quantized& pair) {
  return pair.quantize != kNone && graph.use_count(pair.codes) == 1 &&
         !graph.value(pair.result).uses.empty() && !serves(graph, pair.result);
}

// A pair with one scale whose tensor a Pad with zeros makes, all of it for convolutions.
bool is_behind_pad(const Graph& graph, const ir::Quantized& pair) {
  if (pair.quantize == kNone || pair.clip != kNone || !pair.params.per_tensor()) return false;
  const Node* pad = graph.producer(pair.source);
  if (pad == nullptr || pad->op != "Pad" || graph.use_count(pair.source) != 1) return false;
  if (pad->attributes.text("mode", "constant") != "constant") return false;
  if (pad->inputs.size() > 2 && pad->inputs[2] != kNone) {
    const Tensor* value = graph.constant(pad->inputs[2]);
    if (value == nullptr || value->size() != 1 || value->to_floats()[0] != 0.0f) return false;
  }
  const std::vector<ir::Use>& uses = graph.value(pair.result).uses;
  return !uses.empty() && graph.use_count(pair.codes) == 1 && !graph.is_output(pair.result) &&
         std::all_of(uses.begin(), uses.end(),
                     [&](const ir::Use& use) { return graph.node(use.node).op == "Conv" && use.index == 0; });
}

// All pairs of the graph by their DQ, in topological order.
std::vector<ir::Quantized> pairs_of(const Graph& graph) {
  std::vector<ir::Quantized> pairs;
  for (const NodeId id : graph.topological_order()) {
    if (!ir::is_dequantize(graph.node(id))) continue;
    if (const auto pair = ir::quantized_behind(graph, graph.node(id).outputs[0])) pairs.push_back(*pair);
  }
  return pairs;
}

}  // namespace

void find_several_quantizers(const Graph& graph, std::vector<Finding>& findings) {
  std::set<ValueId> seen;
  for (const NodeId id : graph.topological_order()) {
    if (!ir::is_quantize(graph.node(id)) || !seen.insert(graph.node(id).inputs[0]).second) continue;
    const std::vector<NodeId> all = quantizers(graph, graph.node(id).inputs[0]);
    if (all.size() < 2) continue;
    const bool equal =
        std::all_of(all.begin(), all.end(), [&](NodeId other) { return equal_params(graph, id, other); });
    findings.push_back({"", label(graph, id),
                        fmt::format("{} Qs {} quantize '{}': each is a pass over it", all.size(),
                                    equal ? "of one scale" : "of different scales",
                                    graph.value(graph.node(id).inputs[0]).name),
                        equal ? "share one (--fix does)" : "share one pair with the wider range"});
  }
}

// Q(s), Q(s) of one tensor => one Q with both readers.
int64_t merge_quantizers(Graph& graph) {
  int64_t count = 0;
  for (const NodeId id : graph.topological_order()) {
    if (graph.node(id).erased || !ir::is_quantize(graph.node(id))) continue;
    for (const NodeId other : quantizers(graph, graph.node(id).inputs[0])) {
      const ValueId codes = graph.node(other).outputs[0];
      if (other == id || !equal_params(graph, id, other) || graph.is_output(codes)) continue;
      graph.replace_uses(codes, graph.node(id).outputs[0]);
      graph.erase_node(other);
      ++count;
    }
  }
  graph.erase_dead();
  return count;
}

void find_dangling_pair(const Graph& graph, std::vector<Finding>& findings) {
  for (const ir::Quantized& pair : pairs_of(graph)) {
    if (!is_dangling(graph, pair)) continue;
    findings.push_back(
        {"", label(graph, pair.quantize),
         fmt::format("it rounds for {}, which computes in float: time and accuracy for nothing",
                     readers_of(graph, pair.result).others.front()),
         "take the pair away (--fix does)"});
  }
}

int64_t drop_dangling_pairs(Graph& graph) {
  int64_t count = 0;
  for (const ir::Quantized& pair : pairs_of(graph)) {
    if (graph.node(pair.dequantize).erased || !is_dangling(graph, pair)) continue;
    graph.replace_uses(pair.result, pair.source);
    graph.erase_dead();
    ++count;
  }
  return count;
}

void find_pair_behind_pad(const Graph& graph, std::vector<Finding>& findings) {
  for (const ir::Quantized& pair : pairs_of(graph)) {
    if (!is_behind_pad(graph, pair)) continue;
    findings.push_back(
        {"", label(graph, pair.quantize),
         fmt::format("it stands between '{}' and its convolution, which cannot take the padding in",
                     graph.producer(pair.source)->name),
         "quantize before the Pad (--fix does)"});
  }
}

// Pad -> Q -> DQ -> Conv => Q -> DQ -> Pad -> Conv: exact, as 0 has a code.
int64_t move_pairs_before_pads(Graph& graph) {
  int64_t count = 0;
  for (const ir::Quantized& pair : pairs_of(graph)) {
    if (!is_behind_pad(graph, pair)) continue;
    const NodeId pad = graph.value(pair.source).producer;
    graph.set_input(pair.quantize, 0, graph.node(pad).inputs[0]);
    graph.replace_uses(pair.result, pair.source);
    graph.set_input(pad, 0, pair.result);
    for (const ValueId moved : {pair.codes, pair.result})
      graph.set_type(moved, {graph.value(moved).type.dtype,
                             graph.value(graph.node(pair.quantize).inputs[0]).type.shape});
    ++count;
  }
  return count;
}

void find_float_entry(const Graph& graph, std::vector<Finding>& findings) {
  for (const ValueId input : graph.inputs()) {
    const std::vector<NodeId> all = quantizers(graph, input);
    if (all.empty()) continue;
    findings.push_back(
        {"", label(graph, all.front()),
         fmt::format("the network's input '{}' comes as float and is quantized by a pass of its own",
                     graph.value(input).name),
         "feed the codes, if the source has them, and start with the DQ"});
  }
}

}  // namespace kvant::quant
