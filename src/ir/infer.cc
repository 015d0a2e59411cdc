// SPDX-License-Identifier: Apache-2.0
#include "ir/infer.h"

#include <algorithm>

#include "base/error.h"

namespace kvant::ir {
namespace {

// Tensors of shape arithmetic are small; anything larger is not worth evaluating here.
constexpr int64_t kMaxKnownElements = 4096;

bool is_qdq(const Node& node) { return node.op == "QuantizeLinear" || node.op == "DequantizeLinear"; }

bool fits(const Type& declared, const Shape& shape) {
  if (!declared.shape) return true;
  if (declared.shape->size() != shape.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t dim = (*declared.shape)[i];
    if (dim != kUnknownDim && dim != shape[i]) return false;
  }
  return true;
}

}  // namespace

const Tensor* Inference::known(ValueId id) const {
  if (id == kNone) return nullptr;
  if (const Tensor* constant = graph_.constant(id)) return constant;
  const auto slot = known_.find(id);
  return slot == known_.end() ? nullptr : &slot->second;
}

void Inference::infer(NodeId id) {
  const Node& node = graph_.node(id);
  const OpDef& op = ops_.get(node.op);
  std::vector<Type> types;
  std::vector<const Tensor*> constants;
  for (const ValueId input : node.inputs) {
    types.push_back(input == kNone ? Type{} : graph_.value(input).type);
    constants.push_back(known(input));
  }
  const std::vector<Type> outputs = op.infer({node, types, constants});
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == kNone) continue;
    KVANT_CHECK(i < outputs.size(), "type rule of " + node.op + " gives too few outputs");
    graph_.set_type(node.outputs[i], outputs[i]);
  }
  evaluate_if_small(node, op, types, constants);
}

// Shape of a static tensor is known without its value; other small integer results if all their inputs are.
void Inference::evaluate_if_small(const Node& node, const OpDef& op, const std::vector<Type>& types,
                                  const std::vector<const Tensor*>& constants) {
  if (node.outputs.size() != 1 || node.outputs[0] == kNone || op.is(Trait::Random) || is_qdq(node)) return;
  const Type& type = graph_.value(node.outputs[0]).type;
  if (!type.is_static() || element_count(*type.shape) > kMaxKnownElements) return;
  std::vector<Tensor> stand_ins(constants.size());
  std::vector<const Tensor*> inputs = constants;
  if (node.op == "Shape" || node.op == "Size") {
    if (!types[0].is_static()) return;
    // Only its shape is read: one byte viewed as a tensor of any size would do, but an owner is enough.
    stand_ins[0] = Tensor(types[0].dtype, *types[0].shape, nullptr);
    inputs[0] = &stand_ins[0];
  } else if (is_float(type.dtype) && std::ranges::any_of(node.inputs, [&](ValueId v) {
                                       return v != kNone && !graph_.is_constant(v);
                                     }) == false) {
    return;  // float constants of constants are fold_constants' business
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (node.inputs[i] != kNone && inputs[i] == nullptr) return;
  }
  std::vector<Tensor> result = op.evaluate({node, inputs});
  known_.insert_or_assign(node.outputs[0], std::move(result[0]));
}

void infer_types(Graph& graph, const OpTable& ops) {
  Inference inference(graph, ops);
  for (const NodeId id : graph.topological_order()) {
    const auto where = [&] {
      return fmt::format("while inferring the type of {} '{}'", graph.node(id).op, graph.node(id).name);
    };
    noting(where, [&] { inference.infer(id); });
  }
}

void bind_shapes(Graph& graph, const OpTable& ops, const std::map<std::string, Shape>& shapes) {
  for (const auto& [name, shape] : shapes) {
    const ValueId id = graph.find_value(name);
    if (id == kNone || std::ranges::find(graph.inputs(), id) == graph.inputs().end()) {
      fail("the model has no input '{}'", name);
    }
    const Type& declared = graph.value(id).type;
    if (!fits(declared, shape)) {
      fail("input '{}' takes shape {}, not {}", name, to_string(*declared.shape), to_string(shape));
    }
    element_count(shape);
    graph.set_type(id, {declared.dtype, shape});
  }
  infer_types(graph, ops);
}

Shape batched_shape(const Graph& graph, size_t index, int64_t batch) {
  const Value& input = graph.value(graph.inputs()[index]);
  if (!input.type.shape) fail("the shape of input '{}' is not declared: give it explicitly", input.name);
  Shape shape = *input.type.shape;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != kUnknownDim) continue;
    if (i != 0)
      fail("dimension {} of input '{}' ({}) is not fixed: give the shape explicitly", i, input.name,
           to_string(shape));
    shape[i] = batch;
  }
  return shape;
}

size_t fold_constants(Graph& graph, const OpTable& ops) {
  size_t folded = 0;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (is_qdq(node)) continue;
    const OpDef& op = ops.get(node.op);
    if (op.is(Trait::Random)) continue;
    std::vector<const Tensor*> inputs;
    std::vector<Tensor> stand_ins(node.inputs.size());
    bool all_known = true;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      const Tensor* tensor = input == kNone ? nullptr : graph.constant(input);
      const bool shape_only = (node.op == "Shape" || node.op == "Size") && i == 0;
      if (tensor == nullptr && shape_only && graph.value(input).type.is_static()) {
        stand_ins[i] = Tensor(graph.value(input).type.dtype, *graph.value(input).type.shape, nullptr);
        tensor = &stand_ins[i];
      }
      if (input != kNone && tensor == nullptr) all_known = false;
      inputs.push_back(tensor);
    }
    // A graph output must stay a node's result: that result is folded for the nodes that read it too, once.
    const auto is_read = [&](ValueId v) { return v != kNone && !graph.value(v).uses.empty(); };
    if (!all_known || std::ranges::none_of(node.outputs, is_read)) continue;
    std::vector<Tensor> results =
        noting([&] { return fmt::format("while folding {} '{}'", node.op, node.name); },
               [&] {
                 return op.evaluate({node, inputs});
               });
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId output = node.outputs[i];
      if (!is_read(output)) continue;
      // The constant takes the node's place and, once the node is gone, its name.
      const std::string name = graph.value(output).name;
      const ValueId constant = graph.add_constant(name, std::move(results[i]));
      const bool was_output = graph.is_output(output);
      graph.replace_uses(output, constant, false);
      if (!was_output) {
        graph.rename_value(output, name + "_folded");
        graph.rename_value(constant, name);
      }
    }
    ++folded;
  }
  if (folded > 0) graph.erase_dead();
  return folded;
}

}  // namespace kvant::ir
