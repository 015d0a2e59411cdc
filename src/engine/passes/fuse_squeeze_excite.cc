// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/fuse_squeeze_excite.h"

#include "engine/passes/edit.h"
#include "ops/squeeze_excite.h"

namespace kvant::engine {
namespace {

using ops::ExcitePart;

constexpr size_t kProductWeight = 1, kProductBias = 3, kProductResidual = 4, kProductTable = 5;

// The node of `op` that makes `value` for `user` alone, else nullptr.
const ir::Node* excite_maker(const ir::Graph& graph, ir::ValueId value, std::string_view op,
                             ir::NodeId user) {
  const ir::NodeId id = graph.value(value).producer;
  if (id == ir::kNone || graph.node(id).op != op || sole_user(graph, value) != user) return nullptr;
  return &graph.node(id);
}

// A 1x1 convolution of one pixel to codes, all of its operands constant.
bool is_excite_product(const ir::Graph& graph, const ir::Node& node) {
  const auto w = static_shape(graph, node.inputs[kProductWeight]);
  if (!w || w->size() != 4 || (*w)[1] != 1 || (*w)[2] != 1) return false;
  for (size_t i = kProductWeight; i <= kProductBias; ++i) {
    if (!graph.is_constant(node.inputs[i])) return false;
  }
  const ir::ValueId table = input_at(node, kProductTable);
  for (const int64_t pad : node.attributes.integers("pads")) {
    if (pad != 0) return false;
  }
  return node.attributes.integer("group", 1) == 1 && node.attributes.text("output", "") != "f32" &&
         input_at(node, kProductResidual) == ir::kNone && (table == ir::kNone || graph.is_constant(table));
}

void add_excite_part(const ir::Node& node, ExcitePart part, ir::Attributes& attributes) {
  for (const auto& [name, value] : node.attributes)
    attributes.set(std::string(ops::excite_prefix(part)) + name, value);
}

bool excite_accepted(const ir::Graph& graph, const ir::OpTable& ops, const ir::Node& node,
                     const HasKernel& has) {
  std::vector<ir::Type> inputs;
  std::vector<const Tensor*> constants;
  for (const ir::ValueId input : node.inputs) {
    inputs.push_back(input == ir::kNone ? ir::Type{DType::Float32, std::nullopt} : graph.value(input).type);
    constants.push_back(input == ir::kNone ? nullptr : graph.constant(input));
  }
  const std::vector<ir::Type> outputs = ops.get(node.op).infer({node, inputs, constants});
  return has({node, inputs, outputs, constants});
}

bool fuse_excite(ir::Graph& graph, Edit& edit, const HasKernel& has, ir::NodeId id) {
  const ir::Node& scale = graph.node(id);
  if (scale.op != "QMul") return false;
  const ir::ValueId x = scale.inputs[0];
  const auto shape = static_shape(graph, x);
  if (!shape || shape->size() != 4 || (*shape)[3] % 4 != 0) return false;
  const ir::Node* expand = excite_maker(graph, scale.inputs[1], "QConv", id);
  if (expand == nullptr || !is_excite_product(graph, *expand)) return false;
  const ir::NodeId expand_id = graph.value(scale.inputs[1]).producer;
  const ir::Node* reduce = excite_maker(graph, expand->inputs[0], "QConv", expand_id);
  if (reduce == nullptr || !is_excite_product(graph, *reduce)) return false;
  const ir::NodeId reduce_id = graph.value(expand->inputs[0]).producer;
  const ir::Node* pool = excite_maker(graph, reduce->inputs[0], "QGlobalAveragePool", reduce_id);
  if (pool == nullptr || pool->inputs[0] != x) return false;
  const ir::NodeId pool_id = graph.value(reduce->inputs[0]).producer;
  ir::Attributes attributes;
  add_excite_part(*pool, ExcitePart::Pool, attributes);
  add_excite_part(*reduce, ExcitePart::Reduce, attributes);
  add_excite_part(*expand, ExcitePart::Expand, attributes);
  add_excite_part(scale, ExcitePart::Scale, attributes);
  std::vector<ir::ValueId> inputs = {x};
  for (const ir::Node* product : {reduce, expand}) {
    for (size_t i = kProductWeight; i <= kProductBias; ++i) inputs.push_back(product->inputs[i]);
  }
  for (const ir::Node* product : {reduce, expand}) inputs.push_back(input_at(*product, kProductTable));
  while (inputs.back() == ir::kNone) inputs.pop_back();
  const std::string name = scale.name;
  ir::Node whole;
  whole.op = "QSqueezeExcite", whole.name = name, whole.inputs = inputs, whole.outputs = scale.outputs;
  whole.attributes = attributes;
  if (!excite_accepted(graph, edit.ops(), whole, has)) return false;
  graph.rename_node(id, name + "~");
  const ir::ValueId old = graph.node(id).outputs[0];
  edit.take_place(old, edit.value("QSqueezeExcite", name, std::move(inputs), std::move(attributes),
                                  {pool_id, reduce_id, expand_id, id}));
  return true;
}

}  // namespace

ir::Pass fuse_squeeze_excite(HasKernel has) {
  return {"fuse-squeeze-excite", "QMul(x, QConv(QConv(QGlobalAveragePool(x)))) => QSqueezeExcite(x)",
          ir::Exactness::BitExact, [has = std::move(has)](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            return fuse_each(graph, graph.topological_order(),
                             [&](ir::NodeId id) { return fuse_excite(graph, edit, has, id); });
          }};
}

}  // namespace kvant::engine
