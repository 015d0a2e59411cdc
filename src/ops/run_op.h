// SPDX-License-Identifier: Apache-2.0
// For tests: one operator of the table, evaluated or inferred without a graph around it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/ops.h"

namespace kvant::ops {

using Arguments = std::vector<std::optional<Tensor>>;

inline ir::Node node_of(std::string_view op, const std::vector<bool>& present, ir::Attributes attributes,
                        int outputs) {
  ir::Node node;
  node.op = op;
  node.attributes = std::move(attributes);
  for (size_t i = 0; i < present.size(); ++i)
    node.inputs.push_back(present[i] ? static_cast<int>(i) : ir::kNone);
  for (int i = 0; i < outputs; ++i) node.outputs.push_back(1000 + i);
  return node;
}

// All outputs of `op` for these inputs (nullopt: absent).
inline std::vector<Tensor> run_all(std::string_view op, const Arguments& inputs,
                                   ir::Attributes attributes = {}, int outputs = 1) {
  std::vector<bool> present;
  std::vector<const Tensor*> pointers;
  for (const auto& input : inputs) {
    present.push_back(input.has_value());
    pointers.push_back(input ? &*input : nullptr);
  }
  const ir::Node node = node_of(op, present, std::move(attributes), outputs);
  return standard().get(op).evaluate({node, pointers});
}

inline Tensor run_op(std::string_view op, const Arguments& inputs, ir::Attributes attributes = {}) {
  return run_all(op, inputs, std::move(attributes)).at(0);
}

// A shape inference input: a type, and the value when it is known.
struct Known {
  ir::Type type;
  std::optional<Tensor> value = {};
  Known(DType dtype, std::optional<Shape> shape) : type{dtype, std::move(shape)} {}
  Known(Tensor tensor) : type{tensor.dtype(), tensor.shape()}, value(std::move(tensor)) {}
};

inline std::vector<ir::Type> infer_all(std::string_view op, const std::vector<Known>& inputs,
                                       ir::Attributes attributes = {}, int outputs = 1) {
  std::vector<ir::Type> types;
  std::vector<const Tensor*> constants;
  for (const Known& input : inputs) {
    types.push_back(input.type);
    constants.push_back(input.value ? &*input.value : nullptr);
  }
  const ir::Node node = node_of(op, std::vector<bool>(inputs.size(), true), std::move(attributes), outputs);
  return standard().get(op).infer({node, types, constants});
}

// "f32[2,?]": dtype and shape of output 0; "f32" alone when the rank is unknown.
inline std::string infer_op(std::string_view op, const std::vector<Known>& inputs,
                            ir::Attributes attributes = {}) {
  const ir::Type type = infer_all(op, inputs, std::move(attributes)).at(0);
  std::string text(name(type.dtype));
  if (!type.shape) return text;
  text += '[';
  for (size_t i = 0; i < type.shape->size(); ++i) {
    const int64_t dim = (*type.shape)[i];
    text += (i > 0 ? "," : "") + (dim == kUnknownDim ? std::string("?") : std::to_string(dim));
  }
  return text + ']';
}

// The message of the Error that fn() throws; "" when it does not.
template <class Fn>
std::string error_of(Fn&& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace kvant::ops
