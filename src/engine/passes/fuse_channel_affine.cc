// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/fuse_channel_affine.h"

#include "engine/passes/edit.h"
#include "engine/passes/integer_epilogue.h"

namespace kvant::engine {
namespace {

// The node of `op` that makes `value` for `user` alone.
ir::NodeId affine_maker(const ir::Graph& graph, ir::ValueId value, std::string_view op, ir::NodeId user) {
  const ir::NodeId id = graph.value(value).producer;
  return id != ir::kNone && graph.node(id).op == op && sole_user(graph, value) == user ? id : ir::kNone;
}

// Which of two operands is a constant with one f32 for each of `channels`, along the last axis; else 2.
size_t affine_operand(const ir::Graph& graph, const ir::Node& node, int64_t channels) {
  for (size_t i = 0; i < 2 && node.inputs.size() == 2; ++i) {
    const Tensor* values = graph.constant(node.inputs[i]);
    if (values != nullptr && values->dtype() == DType::Float32 && values->size() == channels &&
        values->rank() > 0 && values->shape().back() == channels)
      return i;
  }
  return 2;
}

bool fuse_affine(ir::Graph& graph, Edit& edit, const HasKernel& has, ir::NodeId id) {
  const auto y = tensor_quantizer(graph, id);
  if (!y) return false;
  const ir::ValueId result = graph.node(id).outputs[0];
  const auto shape = static_shape(graph, result);
  if (!shape || shape->empty()) return false;
  std::vector<ir::NodeId> nodes = {id};
  ir::ValueId at = graph.node(id).inputs[0];
  std::string activation;
  if (const ir::NodeId relu = affine_maker(graph, at, "Relu", id); relu != ir::kNone) {
    activation = "Relu";
    nodes.push_back(relu);
    at = graph.node(relu).inputs[0];
  }
  Tensor constants[2];  // of Add, of Mul
  for (const size_t step : {size_t{0}, size_t{1}}) {
    const ir::NodeId next = affine_maker(graph, at, step == 0 ? "Add" : "Mul", nodes.back());
    if (next == ir::kNone) return false;
    const size_t which = affine_operand(graph, graph.node(next), shape->back());
    if (which == 2) return false;
    nodes.push_back(next);
    constants[step] = graph.constant(graph.node(next).inputs[which])->reshaped({shape->back()});
    at = graph.node(next).inputs[1 - which];
  }
  const auto x = dequantized(graph, at);
  if (!x || sole_user(graph, at) != nodes.back() || static_shape(graph, at) != shape) return false;
  nodes.push_back(x->node);
  ir::Attributes attributes{{"x_scale", x->scale()},
                            {"x_zero_point", int64_t{x->zero_point()}},
                            {"activation", activation},
                            {"y_scale", y->scale[0]}};
  set_code_output(attributes, *y, code_range(y->dtype));
  const ir::Type x_type = graph.value(x->codes).type;
  const ir::Type row{DType::Float32, Shape{shape->back()}};
  const std::string name = graph.node(id).name;
  ir::Node whole;
  whole.op = "QChannelAffine", whole.name = name, whole.attributes = attributes;
  whole.inputs = {0, 0, 0}, whole.outputs = {0};
  if (!has({whole, {x_type, row, row}, {graph.value(result).type}, {nullptr, &constants[1], &constants[0]}}))
    return false;
  graph.rename_node(id, name + "~");
  const ir::ValueId multiplier = edit.constant(name + "/multiplier", constants[1]);
  const ir::ValueId bias = edit.constant(name + "/bias", constants[0]);
  std::ranges::reverse(nodes);
  edit.take_place(
      result, edit.value("QChannelAffine", name, {x->codes, multiplier, bias}, std::move(attributes), nodes));
  return true;
}

}  // namespace

ir::Pass fuse_channel_affine(HasKernel has) {
  return {"fuse-channel-affine", "Q([Relu](Add(Mul(DQ(x), m), b))) => QChannelAffine(x, m, b)",
          ir::Exactness::BitExact, [has = std::move(has)](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            return fuse_each(graph, graph.topological_order(),
                             [&](ir::NodeId id) { return fuse_affine(graph, edit, has, id); });
          }};
}

}  // namespace kvant::engine
