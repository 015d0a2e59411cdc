// SPDX-License-Identifier: Apache-2.0
// L1, L2, L11: findings on weighted layers.
#include "base/error.h"
#include "quant/lint/lint.h"
#include "quant/lint/reading.h"
#include "quant/placement/sites.h"

namespace kvant::quant {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

// A constant behind a pair, or codes that are one.
bool pairs_constant(const Graph& graph, const ir::Quantized& pair) {
  return graph.is_constant(pair.codes) || (pair.source != ir::kNone && graph.is_constant(pair.source));
}

bool is_constant_operand(const Graph& graph, ValueId value) {
  const auto pair = ir::quantized_behind(graph, value);
  return graph.is_constant(value) || (pair && pairs_constant(graph, *pair));
}

}  // namespace

void find_half_quantized(const Graph& graph, std::vector<Finding>& findings) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_weighted(node) || !is_constant_operand(graph, node.inputs[1])) continue;
    const bool data = is_quantized_tensor(graph, node.inputs[0]),
               weight = pair_at(graph, node, 1).has_value();
    if (data == weight) continue;
    findings.push_back(data
                           ? Finding{"", label(graph, id),
                                     "its activation is quantized and its weight is not: it runs in float",
                                     "quantize the weight too, or take the pair off its input"}
                           : Finding{"", label(graph, id),
                                     "its weight is quantized and its activation is not: it runs in float",
                                     "quantize the activation too; --fix makes the weight a float constant"});
  }
}

// DQ(Q(w)) of a layer with a float activation => the constant that it is: the same values.
int64_t fold_lone_weights(Graph& graph) {
  int64_t count = 0;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_weighted(node) || is_quantized_tensor(graph, node.inputs[0])) continue;
    const auto pair = pair_at(graph, node, 1);
    if (!pair || !pairs_constant(graph, *pair)) continue;
    const Tensor codes = graph.is_constant(pair->codes)
                             ? *graph.constant(pair->codes)
                             : quantize(*graph.constant(pair->source), pair->params);
    Tensor value = dequantize(codes, pair->params).cast(graph.value(pair->result).type.dtype);
    graph.set_input(id, 1, graph.add_constant(graph.value(pair->result).name + "_folded", std::move(value)));
    ++count;
  }
  graph.erase_dead();
  return count;
}

void find_forked_result(const Graph& graph, std::vector<Finding>& findings) {
  for (const NodeId id : graph.topological_order()) {
    if (!is_integer_layer(graph, graph.node(id))) continue;
    const Readers readers = readers_of(graph, epilogue_end(graph, id));
    if (readers.quantizers.empty() || readers.others.empty()) continue;
    findings.push_back(
        {"", label(graph, id),
         fmt::format("its result is read quantized and, by {}, in float: it writes float and Q is a "
                     "pass of its own",
                     readers.others.front()),
         "let " + readers.others.front() + " read the quantized tensor too"});
  }
}

void find_unaligned_channels(const Graph& graph, std::vector<Finding>& findings) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Conv" || !is_integer_layer(graph, node)) continue;
    const auto& weight = graph.value(node.inputs[1]).type.shape;
    const int64_t groups = node.attributes.integer("group", 1);
    if (!weight || weight->size() < 2 || groups < 1) continue;
    const int64_t in = (*weight)[1], out = (*weight)[0] / groups;
    const auto pair = pair_at(graph, node, 0);
    const bool first = pair && pair->source != ir::kNone && graph.value(pair->source).producer == ir::kNone;
    if (first || (groups > 1 && in == 1)) continue;  // the image's channels, and depthwise layers
    const int64_t unit = groups > 1 ? 4 : 16;
    if (in % unit == 0 && out % unit == 0) continue;
    findings.push_back(
        {"", label(graph, id),
         fmt::format("{} to {} channels{}: integer kernels work on multiples of {} and pad the rest", in, out,
                     groups > 1 ? " in a group" : "", unit),
         "choose a width that is a multiple, or accept it"});
  }
}

}  // namespace kvant::quant
