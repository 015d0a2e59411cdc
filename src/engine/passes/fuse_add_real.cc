// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/fuse_add_real.h"

#include "engine/passes/edit.h"
#include "engine/passes/integer_epilogue.h"

namespace kvant::engine {
namespace {

bool fuse_sum(ir::Graph& graph, Edit& edit, const HasKernel& has, ir::NodeId id) {
  const auto y = tensor_quantizer(graph, id);
  if (!y) return false;
  const ir::ValueId result = graph.node(id).outputs[0], sum = graph.node(id).inputs[0];
  const ir::NodeId add = graph.value(sum).producer;
  if (add == ir::kNone || graph.node(add).op != "Add" || sole_user(graph, sum) != id) return false;
  const auto shape = static_shape(graph, result);
  for (size_t i = 0; i < 2; ++i) {
    const ir::ValueId a = graph.node(add).inputs[i], b = graph.node(add).inputs[1 - i];
    const auto x = dequantized(graph, a);
    if (!x || sole_user(graph, a) != add || graph.is_constant(b)) continue;
    if (!shape || static_shape(graph, a) != shape || static_shape(graph, b) != shape) continue;
    ir::Attributes attributes{
        {"a_scale", x->scale()}, {"a_zero_point", int64_t{x->zero_point()}}, {"y_scale", y->scale[0]}};
    set_code_output(attributes, *y, code_range(y->dtype));
    const std::string name = graph.node(id).name;
    ir::Node whole;
    whole.op = "QAddReal", whole.name = name, whole.attributes = attributes;
    whole.inputs = {0, 0}, whole.outputs = {0};
    if (!has({whole,
              {graph.value(x->codes).type, graph.value(b).type},
              {graph.value(result).type},
              {nullptr, nullptr}}))
      continue;
    graph.rename_node(id, name + "~");
    edit.take_place(result,
                    edit.value("QAddReal", name, {x->codes, b}, std::move(attributes), {x->node, add, id}));
    return true;
  }
  return false;
}

}  // namespace

ir::Pass fuse_add_real(HasKernel has) {
  return {"fuse-add-real", "Q(Add(DQ(a), b)) => QAddReal(a, b)", ir::Exactness::BitExact,
          [has = std::move(has)](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            return fuse_each(graph, graph.topological_order(),
                             [&](ir::NodeId id) { return fuse_sum(graph, edit, has, id); });
          }};
}

}  // namespace kvant::engine
