// SPDX-License-Identifier: Apache-2.0
// Functions of tensors, element by element, with broadcasting.
#include <ATen/ops/abs.h>
#include <ATen/ops/add.h>
#include <ATen/ops/ceil.h>
#include <ATen/ops/celu.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/div.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/elu.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/erf.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/floor.h>
#include <ATen/ops/ge.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gt.h>
#include <ATen/ops/hardswish.h>
#include <ATen/ops/hardtanh.h>
#include <ATen/ops/le.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/log.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/logical_not.h>
#include <ATen/ops/logical_or.h>
#include <ATen/ops/lt.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/mish.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/round.h>
#include <ATen/ops/selu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/threshold.h>
#include <ATen/ops/where.h>

#include <map>

#include "train/torch/kernel.h"

namespace kvant::train::plugin {

namespace {

using T = const at::Tensor&;

}  // namespace

Kernel make_relu(const NodeView& node) {
  if (node.may_overwrite) {
    return [](Frame& frame) {
      at::Tensor x = frame.in(0);
      frame.out(0, at::relu_(x));
    };
  }
  return [](Frame& frame) { frame.out(0, at::relu(frame.in(0))); };
}

Kernel make_clip(const NodeView& node) {
  return [overwrite = node.may_overwrite](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    if (x.is_floating_point() && frame.has(1) && frame.has(2) && frame.in(1).numel() == 1 &&
        frame.in(2).numel() == 1 && frame.scalar(1) < frame.scalar(2)) {
      // Its backward pass is one loop; clamp's are four.
      const double low = frame.scalar(1), high = frame.scalar(2);
      at::Tensor y = x;
      return frame.out(0, overwrite ? at::hardtanh_(y, low, high) : at::hardtanh(y, low, high));
    }
    at::Tensor y = x;
    if (frame.has(1)) y = at::maximum(y, frame.in(1));
    if (frame.has(2)) y = at::minimum(y, frame.in(2));
    frame.out(0, y);
  };
}

Kernel make_dropout(const NodeView&) {
  return [](Frame& frame) {
    const double ratio = frame.has(1) ? frame.scalar(1) : 0.5;
    frame.out(0, frame.mode.training ? at::dropout(frame.in(0), ratio, true) : frame.in(0));
  };
}

Kernel make_cast(const NodeView& node) {
  // TensorProto.DataType.
  static const std::map<int64_t, at::ScalarType> types{{1, at::kFloat},  {2, at::kByte}, {3, at::kChar},
                                                       {6, at::kInt},    {7, at::kLong}, {9, at::kBool},
                                                       {11, at::kDouble}};
  const auto type = types.find(node.integer("to", 1));
  if (type == types.end()) refuse("this element type is not supported in training");
  return [to = type->second](Frame& frame) { frame.out(0, frame.in(0).to(to)); };
}

namespace {

using UnaryFunction = std::function<at::Tensor(const at::Tensor&)>;

std::map<std::string, UnaryFunction> unary_functions(const NodeView& node) {
  const double alpha = node.real("alpha", node.op() == "LeakyRelu"     ? 0.01
                                          : node.op() == "HardSigmoid" ? 0.2
                                                                       : 1.0);
  const double beta = node.real("beta", 0.5);
  const std::string approximate = node.text("approximate", "none");
  return {
      {"LeakyRelu", [=](T x) { return at::leaky_relu(x, alpha); }},
      {"Elu", [=](T x) { return at::elu(x, alpha); }},
      {"Selu", [](T x) { return at::selu(x); }},
      {"Sigmoid", [](T x) { return at::sigmoid(x); }},
      {"HardSigmoid", [=](T x) { return at::clamp(x * alpha + beta, 0.0, 1.0); }},
      {"HardSwish", [](T x) { return at::hardswish(x); }},
      {"Tanh", [](T x) { return at::tanh(x); }},
      {"Gelu", [=](T x) { return at::gelu(x, approximate); }},
      {"Erf", [](T x) { return at::erf(x); }},
      {"Softplus", [](T x) { return at::softplus(x); }},
      {"Celu", [=](T x) { return at::celu(x, alpha); }},
      {"ThresholdedRelu", [=](T x) { return at::threshold(x, alpha, 0.0); }},
      {"Softsign", [](T x) { return x / (1 + at::abs(x)); }},
      {"Mish", [](T x) { return at::mish(x); }},
      {"Sqrt", [](T x) { return at::sqrt(x); }},
      {"Exp", [](T x) { return at::exp(x); }},
      {"Log", [](T x) { return at::log(x); }},
      {"Neg", [](T x) { return at::neg(x); }},
      {"Abs", [](T x) { return at::abs(x); }},
      {"Sign", [](T x) { return at::sign(x); }},
      {"Sin", [](T x) { return at::sin(x); }},
      {"Cos", [](T x) { return at::cos(x); }},
      {"Not", [](T x) { return at::logical_not(x); }},
      {"Reciprocal", [](T x) { return at::reciprocal(x); }},
      {"Floor", [](T x) { return at::floor(x); }},
      {"Ceil", [](T x) { return at::ceil(x); }},
      {"Round", [](T x) { return at::round(x); }},
      {"Identity", [](T x) { return x; }},
  };
}

}  // namespace

Kernel make_unary(const NodeView& node) {
  return
      [function = unary_functions(node).at(node.op())](Frame& frame) { frame.out(0, function(frame.in(0))); };
}

namespace {

using BinaryFunction = at::Tensor (*)(T, T);

const std::map<std::string, BinaryFunction>& binary_functions() {
  static const std::map<std::string, BinaryFunction> table{
      {"Add", [](T a, T b) { return at::add(a, b); }},
      {"Sub", [](T a, T b) { return at::sub(a, b); }},
      {"Mul", [](T a, T b) { return at::mul(a, b); }},
      // ONNX divides integers toward zero.
      {"Div", [](T a, T b) { return a.is_floating_point() ? at::div(a, b) : at::div(a, b, "trunc"); }},
      {"Pow", [](T a, T b) { return b.numel() == 1 ? at::pow(a, b.item()) : at::pow(a, b); }},
      {"PRelu", [](T a, T b) { return at::where(a < 0, a * b, a); }},
      {"Equal", [](T a, T b) { return at::eq(a, b); }},
      {"Less", [](T a, T b) { return at::lt(a, b); }},
      {"LessOrEqual", [](T a, T b) { return at::le(a, b); }},
      {"GreaterOrEqual", [](T a, T b) { return at::ge(a, b); }},
      {"And", [](T a, T b) { return at::logical_and(a, b); }},
      {"Or", [](T a, T b) { return at::logical_or(a, b); }},
      {"Greater", [](T a, T b) { return at::gt(a, b); }},
      {"Max", [](T a, T b) { return at::maximum(a, b); }},
      {"Min", [](T a, T b) { return at::minimum(a, b); }},
      {"Sum", [](T a, T b) { return at::add(a, b); }},
      {"Mean", [](T a, T b) { return at::add(a, b); }},
  };
  return table;
}

}  // namespace

Kernel make_binary(const NodeView& node) {
  return [function = binary_functions().at(node.op())](Frame& frame) {
    frame.out(0, function(frame.in(0), frame.in(1)));
  };
}

Kernel make_variadic(const NodeView& node) {
  const bool mean = node.op() == "Mean";
  return [mean, function = binary_functions().at(node.op())](Frame& frame) {
    at::Tensor y = frame.in(0);
    for (size_t i = 1; i < frame.size(); ++i) y = function(y, frame.in(i));
    frame.out(0, mean ? y / static_cast<double>(frame.size()) : y);
  };
}

Kernel make_where(const NodeView&) {
  return [](Frame& frame) { frame.out(0, at::where(frame.in(0), frame.in(1), frame.in(2))); };
}

}  // namespace kvant::train::plugin
