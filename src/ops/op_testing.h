// SPDX-License-Identifier: Apache-2.0
// For tests of operators: runs one node and holds its type rule to what the evaluation gave, with all
// dimensions known and with none.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "ops/ops.h"

namespace kvant::ops {

using Inputs = std::vector<std::optional<Tensor>>;

struct OneNode {
  ir::Node node;
  std::vector<ir::Type> types;
  std::vector<const Tensor*> values;

  OneNode(const std::string& op, ir::Attributes attributes, const Inputs& inputs, int outputs) {
    node.op = op;
    node.attributes = std::move(attributes);
    for (size_t i = 0; i < inputs.size(); ++i) {
      node.inputs.push_back(inputs[i] ? static_cast<ir::ValueId>(i) : ir::kNone);
      types.push_back(inputs[i] ? ir::Type{inputs[i]->dtype(), inputs[i]->shape()} : ir::Type{});
      values.push_back(inputs[i] ? &*inputs[i] : nullptr);
    }
    for (int i = 0; i < outputs; ++i) node.outputs.push_back(100 + i);
  }
};

inline void expect_rule_fits(const std::vector<ir::Type>& rule, const std::vector<Tensor>& results) {
  ASSERT_GE(rule.size(), results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(rule[i].dtype, results[i].dtype()) << "output " << i;
    if (!rule[i].shape) continue;
    ASSERT_EQ(rule[i].shape->size(), results[i].rank()) << "output " << i;
    for (size_t d = 0; d < results[i].rank(); ++d) {
      if ((*rule[i].shape)[d] == kUnknownDim) continue;
      EXPECT_EQ((*rule[i].shape)[d], results[i].dim(d)) << "output " << i << " dimension " << d;
    }
  }
}

inline std::vector<Tensor> run_op(const std::string& op, ir::Attributes attributes, const Inputs& inputs,
                                  int outputs = 1) {
  OneNode one(op, std::move(attributes), inputs, outputs);
  const ir::OpDef& def = standard().get(op);
  const std::vector<Tensor> results = def.evaluate({one.node, one.values});
  expect_rule_fits(def.infer({one.node, one.types, one.values}), results);
  const std::vector<const Tensor*> unknown(one.values.size(), nullptr);
  for (ir::Type& type : one.types)
    if (type.shape) type.shape->assign(type.shape->size(), kUnknownDim);
  expect_rule_fits(def.infer({one.node, one.types, unknown}), results);
  for (ir::Type& type : one.types) type.shape = std::nullopt;
  expect_rule_fits(def.infer({one.node, one.types, unknown}), results);
  return results;
}

// The type rule alone.
inline std::vector<ir::Type> infer_op(const std::string& op, ir::Attributes attributes,
                                      std::vector<ir::Type> types) {
  OneNode one(op, std::move(attributes), Inputs(types.size(), Tensor()), 1);
  const std::vector<const Tensor*> unknown(types.size(), nullptr);
  return standard().get(op).infer({one.node, types, unknown});
}

// The message of the Error that the type rule or else the evaluation throws; "" when neither does.
inline std::string refusal(const std::string& op, ir::Attributes attributes, const Inputs& inputs) {
  OneNode one(op, std::move(attributes), inputs, 1);
  const ir::OpDef& def = standard().get(op);
  std::string by_rule;
  try {
    def.infer({one.node, one.types, one.values});
  } catch (const Error& error) {
    by_rule = error.what();
  }
  try {
    def.evaluate({one.node, one.values});
  } catch (const Error& error) {
    return by_rule.empty() ? error.what() : by_rule;
  }
  return by_rule.empty() ? "" : by_rule + " (by the type rule only)";
}

inline void expect_near(const Tensor& actual, const Shape& shape, const std::vector<float>& wanted,
                        float tolerance = 1e-5f) {
  ASSERT_EQ(actual.shape(), shape);
  const std::vector<float> values = actual.to_floats();
  ASSERT_EQ(values.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (std::isinf(wanted[i]))
      EXPECT_EQ(values[i], wanted[i]) << "element " << i;
    else
      EXPECT_NEAR(values[i], wanted[i], tolerance) << "element " << i;
  }
}

// 0, 1, 2 ... as f32.
inline Tensor ramp(Shape shape, float first = 0, float step = 1) {
  Tensor result(DType::Float32, std::move(shape));
  float value = first;
  for (float& element : result.mutable_data<float>()) {
    element = value;
    value += step;
  }
  return result;
}

}  // namespace kvant::ops
