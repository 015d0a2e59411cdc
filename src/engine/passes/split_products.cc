// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "ir/qdq.h"

namespace kvant::engine {
namespace {

// `count` indices of `axis` from `first` on.
Tensor part_of(const Tensor& x, size_t axis, int64_t first, int64_t count) {
  Shape shape = x.shape();
  const int64_t size = shape[axis];
  shape[axis] = count;
  Tensor result(x.dtype(), shape);
  int64_t rows = 1, inner = static_cast<int64_t>(size_of(x.dtype()));
  for (size_t i = 0; i < axis; ++i) rows *= shape[i];
  for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  for (int64_t row = 0; row < rows; ++row)
    std::copy_n(x.raw() + (row * size + first) * inner, count * inner,
                result.mutable_raw() + row * count * inner);
  return result;
}

// A product with a quantized constant, and what is added to it, up to a Split of its output channels.
struct SplitProduct {
  ir::NodeId product = ir::kNone, add = ir::kNone;
  ir::NodeId weight = ir::kNone;  // the DQ
  size_t axis = 1;                // of the output channels in the weight
};

class SplitProducts {
 public:
  SplitProducts(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    size_t changes = 0;
    for (const ir::NodeId id : graph_.topological_order()) {
      const auto match = match_at(id);
      if (!match) continue;
      rewrite(id, *match);
      ++changes;
    }
    graph_.erase_dead();
    return changes;
  }

 private:
  // Operands of the product beside its weight: one number a channel, or one for all.
  bool is_bias(ir::ValueId id, int64_t channels) const {
    const Tensor* bias = graph_.constant(id);
    return bias != nullptr &&
           (bias->size() == 1 || (bias->size() == channels && bias->shape().back() == channels));
  }

  std::optional<SplitProduct> match_at(ir::NodeId id) const {
    const ir::Node& split = graph_.node(id);
    if (split.erased || split.op != "Split") return std::nullopt;
    const auto shape = static_shape(graph_, split.inputs[0]);
    if (!shape || normalize_axis(split.attributes.integer("axis", 0), shape->size()) + 1 !=
                      static_cast<int64_t>(shape->size()))
      return std::nullopt;
    for (const ir::ValueId output : split.outputs) {
      if (!static_shape(graph_, output)) return std::nullopt;
    }
    SplitProduct match;
    ir::ValueId value = split.inputs[0];
    if (sole_user(graph_, value) != id) return std::nullopt;
    const ir::Node* node = graph_.producer(value);
    if (node != nullptr && node->op == "Add") {
      const size_t bias = graph_.is_constant(node->inputs[0]) ? 0 : 1;
      if (!is_bias(node->inputs[bias], shape->back())) return std::nullopt;
      match.add = graph_.value(value).producer;
      value = node->inputs[1 - bias];
      if (sole_user(graph_, value) != match.add) return std::nullopt;
      node = graph_.producer(value);
    }
    if (node == nullptr || (node->op != "MatMul" && node->op != "Gemm")) return std::nullopt;
    match.product = graph_.value(value).producer;
    if (node->op == "Gemm" && input_at(*node, 2) != ir::kNone && !is_bias(node->inputs[2], shape->back()))
      return std::nullopt;
    const bool transposed = node->op == "Gemm" && node->attributes.integer("transB", 0) != 0;
    match.axis = transposed ? 0 : 1;
    return weight_fits(*node, match) ? std::optional(match) : std::nullopt;
  }

  bool weight_fits(const ir::Node& product, SplitProduct& match) const {
    const ir::Node* dq = graph_.producer(product.inputs[1]);
    if (dq == nullptr || !ir::is_dequantize(*dq) || !graph_.is_constant(dq->inputs[0])) return false;
    match.weight = graph_.value(product.inputs[1]).producer;
    const auto params = ir::params_of(graph_, match.weight);
    return params && graph_.constant(dq->inputs[0])->rank() == 2 &&
           (params->per_tensor() || params->axis == static_cast<int64_t>(match.axis));
  }

  ir::ValueId part_constant(ir::ValueId id, size_t axis, int64_t first, int64_t count) {
    if (id == ir::kNone || graph_.constant(id)->size() == 1) return id;
    const std::string name = graph_.value(id).name;
    return edit_.constant(name, part_of(*graph_.constant(id), axis, first, count));
  }

  void rewrite(ir::NodeId id, const SplitProduct& match) {
    const ir::Node split = graph_.node(id), product = graph_.node(match.product),
                   dq = graph_.node(match.weight);
    int64_t first = 0;
    for (const ir::ValueId output : split.outputs) {
      const int64_t count = static_shape(graph_, output)->back();
      std::vector<ir::ValueId> weight = {part_constant(dq.inputs[0], match.axis, first, count)};
      for (size_t i = 1; i < dq.inputs.size(); ++i)
        weight.push_back(part_constant(dq.inputs[i], 0, first, count));
      std::vector<ir::ValueId> inputs = product.inputs;
      inputs[1] = edit_.value("DequantizeLinear", dq.name, std::move(weight), dq.attributes, {match.weight});
      if (inputs.size() > 2) inputs[2] = bias_part(inputs[2], first, count);
      ir::ValueId y =
          edit_.value(product.op, product.name, std::move(inputs), product.attributes, {match.product, id});
      if (match.add != ir::kNone) {
        const ir::Node add = graph_.node(match.add);
        const size_t bias = graph_.is_constant(add.inputs[0]) ? 0 : 1;
        y = edit_.value("Add", add.name, {y, bias_part(add.inputs[bias], first, count)}, {}, {match.add});
      }
      edit_.take_place(output, y);
      first += count;
    }
  }

  ir::ValueId bias_part(ir::ValueId id, int64_t first, int64_t count) {
    if (id == ir::kNone) return id;
    return part_constant(id, graph_.constant(id)->rank() - 1, first, count);
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

// Split(op(x, DQ(w)) + b) => op(x, DQ(part of w)) + part of b, for each part: its Q can then be taken in.
ir::Pass split_products(const LoweringOptions&) {
  return {"split-products", "Split(MatMul|Gemm(x, DQ(w)) + b) => a product for each part",
          ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable& ops) { return SplitProducts(graph, ops).run(); }};
}

}  // namespace kvant::engine
