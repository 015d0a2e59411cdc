// SPDX-License-Identifier: Apache-2.0
#include "ir/statistics.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "ir/qdq.h"

namespace kvant::ir {
namespace {

constexpr std::string_view kConvLike[] = {"Conv", "ConvNhwc", "QConv"};
constexpr std::string_view kGemmLike[] = {"Gemm", "MatMul", "Linear", "QGemm"};

template <size_t N>
bool one_of(std::string_view op, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), op) != std::end(names);
}

bool is_weighted(const Node& node) {
  return one_of(node.op, kConvLike) || one_of(node.op, kGemmLike) || node.op == "ConvTranspose";
}

// Whether constant input `index` of the node is something learned.
bool is_parameter(const Node& node, int index) {
  if (is_quantize(node)) return index == 0;
  if (is_dequantize(node)) return index == 0;
  if (node.op == "BatchNormalization") return index == 1 || index == 2;
  if (node.op == "Clip" || node.op == "Resize" || node.op == "Upsample" || node.op == "Pad")
    return index == 0;
  if (node.op == "QConv" || node.op == "QGemm") return index == 1 || index == 3;
  if (node.op == "QLut") return false;
  return true;
}

std::optional<Shape> shape_of(const Graph& graph, ValueId id) {
  if (id == kNone) return std::nullopt;
  if (const Tensor* constant = graph.constant(id)) return constant->shape();
  std::optional<Shape> shape = graph.value(id).type.shape;
  if (!shape) return std::nullopt;
  if (!shape->empty() && shape->front() == kUnknownDim) shape->front() = 1;
  for (const int64_t dim : *shape) {
    if (dim < 0) return std::nullopt;
  }
  return shape;
}

int64_t inner_product_length(const Node& node, const Shape& x, const Shape& weight) {
  if (one_of(node.op, kConvLike)) return weight.at(0) == 0 ? 0 : element_count(weight) / weight[0];
  if (node.op == "Gemm") return node.attributes.integer("transA", 0) != 0 ? x.at(0) : x.at(x.size() - 1);
  return x.at(x.size() - 1);
}

std::optional<int64_t> macs_of(const Graph& graph, const Node& node) {
  if (node.inputs.size() < 2 || node.outputs.empty()) return std::nullopt;
  const auto x = shape_of(graph, node.inputs[0]);
  const auto weight = shape_of(graph, node.inputs[1]);
  const auto y = shape_of(graph, node.outputs[0]);
  if (!x || !weight || !y || x->empty() || weight->empty()) return std::nullopt;
  if (node.op == "ConvTranspose") {  // every input element meets a kernel's [K/g, ...]
    return (*weight)[0] == 0 ? 0 : element_count(*x) * (element_count(*weight) / (*weight)[0]);
  }
  return element_count(*y) * inner_product_length(node, *x, *weight);
}

bool is_code_clip_node(const Graph& graph, const Node& node) {
  if (node.op != "Clip" || node.outputs.empty()) return false;
  for (const Use& use : graph.value(node.outputs[0]).uses) {
    const Node& q = graph.node(use.node);
    if (!is_quantize(q) || use.index != 0) return false;
    for (const Use& dq : graph.value(q.outputs[0]).uses) {
      const Node& reader = graph.node(dq.node);
      if (!is_dequantize(reader)) return false;
      const auto view = quantized_behind(graph, reader.outputs[0]);
      if (!view || view->clip == kNone) return false;
    }
  }
  return !graph.value(node.outputs[0]).uses.empty();
}

bool reads_only_quantized(const Graph& graph, const Node& node) {
  bool any = false;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (id == kNone || (is_weighted(node) && i >= 2)) continue;
    const Node* producer = graph.producer(id);
    const bool quantized = producer != nullptr && is_dequantize(*producer);
    const bool parameter = graph.is_constant(id) && !(is_weighted(node) && i == 1);
    if (!quantized && !parameter) return false;
    any = any || quantized;
  }
  return any;
}

}  // namespace

int64_t count_parameters(const Graph& graph) {
  std::set<ValueId> seen;
  int64_t total = 0;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Tensor* constant = graph.constant(node.inputs[i]);
      if (constant == nullptr || constant->rank() == 0 || !is_parameter(node, static_cast<int>(i))) continue;
      const bool codes = is_dequantize(node) || node.op == "QConv" || node.op == "QGemm";
      if (!is_float(constant->dtype()) && !codes) continue;
      if (seen.insert(node.inputs[i]).second) total += constant->size();
    }
  }
  return total;
}

std::optional<int64_t> count_macs(const Graph& graph, const Node& node) {
  return is_weighted(node) ? macs_of(graph, node) : 0;
}

std::optional<int64_t> count_macs(const Graph& graph) {
  int64_t total = 0;
  for (const NodeId id : graph.topological_order()) {
    const std::optional<int64_t> macs = count_macs(graph, graph.node(id));
    if (!macs) return std::nullopt;
    total += *macs;
  }
  return total;
}

std::map<std::string, int64_t> count_operators(const Graph& graph) {
  std::map<std::string, int64_t> counts;
  for (const NodeId id : graph.topological_order()) ++counts[graph.node(id).op];
  return counts;
}

QdqSummary summarize_qdq(const Graph& graph) {
  QdqSummary summary;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (is_quantize(node)) continue;
    if (is_dequantize(node)) {
      const auto view = quantized_behind(graph, node.outputs[0]);
      const bool constant = view && (graph.is_constant(view->codes) || graph.is_constant(view->source));
      ++(constant ? summary.weight_pairs : summary.activation_pairs);
      continue;
    }
    if (is_code_clip_node(graph, node)) continue;
    const std::string name = node.name.empty() ? graph.value(node.outputs.at(0)).name : node.name;
    (reads_only_quantized(graph, node) ? summary.quantized_nodes : summary.float_nodes).push_back(name);
  }
  return summary;
}

}  // namespace kvant::ir
