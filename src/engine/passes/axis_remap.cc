// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/axis_remap.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "ir/qdq.h"

namespace kvant::engine {
namespace {

struct Context {
  Edit& edit;
  const ir::Node& node;
  const std::vector<ir::ValueId>& sources;
  const std::vector<int64_t>& permutation;

  ir::Graph& graph() const { return edit.graph(); }
  size_t rank() const { return permutation.size(); }
  int64_t axis(int64_t a) const { return permutation[static_cast<size_t>(normalize_axis(a, rank()))]; }
  const Tensor* constant(size_t i) const { return graph().constant(input_at(node, i)); }
  // Inputs with the sources in place of the transposed ones.
  std::vector<ir::ValueId> replaced() const {
    std::vector<ir::ValueId> result = node.inputs;
    for (size_t i = 0; i < result.size(); ++i) {
      if (sources[i] != ir::kNone) result[i] = sources[i];
    }
    return result;
  }
};

using Result = std::optional<Remapped>;

// An operand that broadcasts against the transposed tensors, brought to their new axes.
ir::ValueId follow(const Context& c, ir::ValueId operand) {
  const auto shape = static_shape(c.graph(), operand);
  if (!shape) return ir::kNone;
  if (element_count(*shape) == 1 && shape->size() <= 1) return operand;
  const std::vector<int64_t> back = inverse(c.permutation);
  if (const Tensor* constant = c.graph().constant(operand)) {
    if (constant->rank() > c.rank()) return ir::kNone;
    Shape padded(c.rank() - constant->rank(), 1);
    padded.insert(padded.end(), constant->shape().begin(), constant->shape().end());
    return c.edit.constant(c.graph().value(operand).name + "_permuted",
                           transpose(constant->reshaped(padded), back));
  }
  // Moving a small tensor costs nothing worth speaking of; a large one stays, and so does the node.
  const auto long_axes = std::ranges::count_if(*shape, [](int64_t dim) { return dim != 1; });
  if (shape->size() != c.rank() || long_axes > 2 || (long_axes == 2 && (*shape)[0] == 1)) return ir::kNone;
  return c.edit.value("Transpose", c.graph().value(operand).name + "_permuted", {operand}, {{"perm", back}},
                      {});
}

Result elementwise(const Context& c) {
  Remapped result{c.replaced(), c.node.attributes};
  for (size_t i = 0; i < result.inputs.size(); ++i) {
    if (c.sources[i] != ir::kNone || result.inputs[i] == ir::kNone) continue;
    result.inputs[i] = follow(c, result.inputs[i]);
    if (result.inputs[i] == ir::kNone) return std::nullopt;
  }
  return result;
}

Result first_input_only(const Context& c) {
  if (c.sources[0] == ir::kNone) return std::nullopt;
  return Remapped{c.replaced(), c.node.attributes};
}

Result quantizer(const Context& c) {
  const Tensor* scale = c.constant(1);
  if (scale == nullptr || scale->size() != 1) return std::nullopt;
  return first_input_only(c);
}

bool all_transposed(const Context& c) {
  return std::ranges::none_of(c.sources, [](ir::ValueId id) { return id == ir::kNone; });
}

Result equal_shapes(const Context& c) {
  if (!all_transposed(c) || static_shape(c.graph(), c.sources[0]) != static_shape(c.graph(), c.sources[1]))
    return std::nullopt;
  return Remapped{c.replaced(), c.node.attributes};
}

// One attribute `axis`.
Result with_axis(const Context& c, int64_t fallback) {
  Remapped result{c.replaced(), c.node.attributes};
  result.attributes.set("axis", c.axis(c.node.attributes.integer("axis", fallback)));
  return result;
}

Result concat(const Context& c) { return all_transposed(c) ? with_axis(c, 0) : std::nullopt; }
Result split(const Context& c) { return c.sources[0] != ir::kNone ? with_axis(c, 0) : std::nullopt; }
Result softmax(const Context& c) { return with_axis(c, -1); }

Result gather(const Context& c) {
  const Tensor* indices = c.constant(1);
  return indices != nullptr && indices->rank() == 1 ? with_axis(c, 0) : std::nullopt;
}

Result pad(const Context& c) {
  const Tensor* pads = c.constant(1);
  if (pads == nullptr || input_at(c.node, 3) != ir::kNone ||
      pads->size() != static_cast<int64_t>(2 * c.rank()))
    return std::nullopt;
  const std::vector<int64_t> old = pads->to_ints();
  std::vector<int64_t> fresh(old.size());
  for (size_t k = 0; k < c.rank(); ++k) {
    const auto to = static_cast<size_t>(c.permutation[k]);
    fresh[to] = old[k];
    fresh[to + c.rank()] = old[k + c.rank()];
  }
  Remapped result{c.replaced(), c.node.attributes};
  result.inputs[1] = c.edit.constant(c.node.name + "_pads", Tensor::vector<int64_t>(fresh));
  return result;
}

Result slice(const Context& c) {
  const Tensor* starts = c.constant(1);
  if (starts == nullptr) return std::nullopt;
  std::vector<int64_t> axes(static_cast<size_t>(starts->size()));
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  if (input_at(c.node, 3) != ir::kNone) {
    if (c.constant(3) == nullptr) return std::nullopt;
    axes = c.constant(3)->to_ints();
  }
  for (int64_t& axis : axes) axis = c.axis(axis);
  Remapped result{c.replaced(), c.node.attributes};
  if (result.inputs.size() < 4) result.inputs.resize(4, ir::kNone);
  result.inputs[3] =
      c.edit.constant(c.node.name + "_axes", Tensor::vector<int64_t>(axes).cast(starts->dtype()));
  return result;
}

// Whether axes that differ in size keep their order, so that interpolation sums in the same order.
bool keeps_order(const Context& c) {
  const auto x = static_shape(c.graph(), c.node.inputs[0]), y = static_shape(c.graph(), c.node.outputs[0]);
  if (!x || !y || x->size() != c.rank() || y->size() != c.rank()) return false;
  int64_t last = -1;
  for (size_t d = 0; d < c.rank(); ++d) {
    if ((*x)[d] == (*y)[d]) continue;
    if (c.permutation[d] < last) return false;
    last = c.permutation[d];
  }
  return true;
}

// Scales or sizes, one for each axis, or for each that `axes` names.
Result resize(const Context& c) {
  const ir::Attributes& attributes = c.node.attributes;
  if (attributes.text("coordinate_transformation_mode", "") == "tf_crop_and_resize") return std::nullopt;
  if (attributes.text("mode", "nearest") != "nearest" && !keeps_order(c)) return std::nullopt;
  Remapped result{c.replaced(), attributes};
  if (attributes.has("axes")) {
    std::vector<int64_t> axes = attributes.integers("axes");
    for (int64_t& axis : axes) axis = c.axis(axis);
    result.attributes.set("axes", std::move(axes));
  }
  if (result.inputs.size() > 1) result.inputs[1] = ir::kNone;
  for (size_t i = 2; i < result.inputs.size(); ++i) {
    const Tensor* given = c.constant(i);
    if (result.inputs[i] == ir::kNone || (given != nullptr && given->size() == 0)) {
      result.inputs[i] = ir::kNone;
      continue;
    }
    if (attributes.has("axes")) continue;
    if (given == nullptr || given->size() != static_cast<int64_t>(c.rank())) return std::nullopt;
    const std::vector<int64_t> back = inverse(c.permutation);
    Tensor permuted(given->dtype(), given->shape());
    const size_t width = size_of(given->dtype());
    for (size_t k = 0; k < c.rank(); ++k) {
      const std::byte* from = given->raw() + static_cast<size_t>(back[k]) * width;
      std::copy(from, from + width, permuted.mutable_raw() + k * width);
    }
    result.inputs[i] = c.edit.constant(c.node.name + "_permuted", std::move(permuted));
  }
  return result;
}

}  // namespace

std::vector<int64_t> inverse(const std::vector<int64_t>& permutation) {
  std::vector<int64_t> result(permutation.size());
  for (size_t i = 0; i < result.size(); ++i)
    result[static_cast<size_t>(permutation[i])] = static_cast<int64_t>(i);
  return result;
}

std::optional<Remapped> remap(Edit& edit, ir::NodeId id, const std::vector<ir::ValueId>& sources,
                              const std::vector<int64_t>& permutation) {
  static const std::map<std::string, Result (*)(const Context&), std::less<>> kRules = {
      {"QLut", first_input_only},
      {"QuantizeLinear", quantizer},
      {"DequantizeLinear", quantizer},
      {"QAdd", equal_shapes},
      {"QMul", equal_shapes},
      {"Concat", concat},
      {"QConcat", concat},
      {"Split", split},
      {"Softmax", softmax},
      {"Gather", gather},
      {"Pad", pad},
      {"Slice", slice},
      {"Resize", resize},
      {"LogSoftmax", softmax},
  };
  // A copy: rules add constants and nodes, and must not be left with a reference into the graph.
  const ir::Node node = edit.graph().node(id);
  const Context context{edit, node, sources, permutation};
  const auto rule = kRules.find(node.op);
  if (rule != kRules.end()) return rule->second(context);
  const ir::OpDef& op = edit.ops().get(node.op);
  if (op.is(ir::Trait::Elementwise) && node.outputs.size() == 1) return elementwise(context);
  return std::nullopt;
}

}  // namespace kvant::engine
