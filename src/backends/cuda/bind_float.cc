// SPDX-License-Identifier: Apache-2.0
// Elementwise float operators: of two operands with broadcasting, functions, activations.
#include <cmath>

#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/elementwise/elementwise.h"

namespace kvant::backends::cuda {
namespace {

constexpr std::pair<std::string_view, Binary> kPairs[] = {
    {"Add", Binary::Add}, {"Sub", Binary::Sub}, {"Mul", Binary::Mul}, {"Div", Binary::Div},
    {"Min", Binary::Min}, {"Max", Binary::Max}, {"Pow", Binary::Pow}};

constexpr std::pair<std::string_view, Unary> kFunctions[] = {{"Erf", Unary::Erf},
                                                             {"Sqrt", Unary::Sqrt},
                                                             {"Exp", Unary::Exp},
                                                             {"Log", Unary::Log},
                                                             {"Neg", Unary::Neg},
                                                             {"Abs", Unary::Abs},
                                                             {"Reciprocal", Unary::Reciprocal},
                                                             {"Floor", Unary::Floor},
                                                             {"Ceil", Unary::Ceil},
                                                             {"Round", Unary::Round}};

template <class Table>
auto named(const engine::NodeView& view, const Table& table) {
  for (const auto& [op, kind] : table) {
    if (op == view.node.op) return kind;
  }
  fail("cuda: no CUDA kernel for {}", view.node.op);
}

// Steps of an operand along the result's axes; 0 where it is repeated.
void set_steps(const engine::NodeView& view, const Shape& x, const Shape& y,
               std::array<int64_t, BinaryDesc::kMaxRank>& steps) {
  const std::vector<int64_t> own = strides_of(x);
  require(view, x.size() <= y.size(), "an operand has more axes than the result");
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t at = y.size() - x.size() + i;
    require(view, x[i] == y[at] || x[i] == 1, "the shapes do not fit");
    steps[at] = x[i] == 1 ? 0 : own[i];
  }
}

BinaryDesc describe_pair_of_floats(const engine::NodeView& view, const Operands& operands) {
  require(view, view.node.inputs.size() == 2 && view.outputs.size() == 1, "only two operands");
  for (const size_t i : {size_t{0}, size_t{1}})
    require(view, operands.dtype(i) == DType::Float32, "only f32");
  const Shape& y = output_shape(view);
  require(view, view.outputs[0].dtype == DType::Float32, "only f32");
  require(view, y.size() <= static_cast<size_t>(BinaryDesc::kMaxRank), "too many axes");
  BinaryDesc d;
  d.op = named(view, kPairs);
  d.rank = static_cast<int32_t>(y.size());
  for (size_t i = 0; i < y.size(); ++i) d.shape[i] = y[i];
  set_steps(view, operands.shape(0), y, d.a_stride);
  set_steps(view, operands.shape(1), y, d.b_stride);
  if (d.rank == 0) d.rank = 1, d.shape[0] = 1;
  return d;
}

std::vector<std::string> binary_tactics(const engine::NodeView& view, int, std::string&) {
  describe_pair_of_floats(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> binary_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const BinaryDesc d = describe_pair_of_floats(view, operands);
  return launch_step(operands.take(), [d](const Places& p, const auto& launch) {
    launch(binary_launch(d, p.in(0), p.in(1), p.out()));
  });
}

Unary describe_function(const engine::NodeView& view, const Operands& operands) {
  require(view, operands.dtype(0) == DType::Float32 && operands.shape(0) == output_shape(view), "only f32");
  return named(view, kFunctions);
}

std::vector<std::string> function_tactics(const engine::NodeView& view, int, std::string&) {
  describe_function(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> function_load(const engine::NodeView& view, std::string_view tactic,
                                            std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const Unary kind = describe_function(view, operands);
  const int64_t count = element_count(output_shape(view));
  return launch_step(operands.take(), [kind, count](const Places& p, const auto& launch) {
    launch(unary_launch(kind, count, p.in(0), p.out()));
  });
}

struct Activating {
  Activation activation = Activation::None;
  float alpha = 0, beta = 0;
};

Activating describe_activation(const engine::NodeView& view, const Operands& operands) {
  const ir::Attributes& attributes = view.node.attributes;
  const std::string& op = view.node.op;
  const auto known = activation_named(op);
  require(view, known.has_value(), "not an activation");
  require(view, operands.dtype(0) == DType::Float32 && operands.shape(0) == output_shape(view), "only f32");
  Activating d{*known};
  if (op == "Clip") {
    d.alpha = operands.has(1) ? operands.required(1, "the lower bound").to_floats().at(0) : -INFINITY;
    d.beta = operands.has(2) ? operands.required(2, "the upper bound").to_floats().at(0) : INFINITY;
  } else if (op == "LeakyRelu") {
    d.alpha = attributes.real("alpha", 0.01f);
  } else if (op == "Elu") {
    d.alpha = attributes.real("alpha", 1.0f);
  } else if (op == "HardSigmoid") {
    d.alpha = attributes.real("alpha", 0.2f);
    d.beta = attributes.real("beta", 0.5f);
  } else if (op == "Gelu" && attributes.text("approximate", "none") == "tanh") {
    d.activation = Activation::GeluTanh;
  }
  return d;
}

std::vector<std::string> activation_tactics(const engine::NodeView& view, int, std::string&) {
  describe_activation(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> activation_load(const engine::NodeView& view, std::string_view tactic,
                                              std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const Activating d = describe_activation(view, operands);
  const int64_t count = element_count(output_shape(view));
  return launch_step(operands.take(), [d, count](const Places& p, const auto& launch) {
    launch(activation_launch(d.activation, d.alpha, d.beta, count, p.in(0), p.out()));
  });
}

Binding binary(std::string_view op) { return {op, binary_tactics, pack_constants, binary_load}; }
Binding function(std::string_view op) { return {op, function_tactics, pack_constants, function_load}; }
Binding unary(std::string_view op) { return {op, activation_tactics, pack_constants, activation_load}; }

}  // namespace

Binding bind_add() { return binary("Add"); }
Binding bind_sub() { return binary("Sub"); }
Binding bind_mul() { return binary("Mul"); }
Binding bind_div() { return binary("Div"); }
Binding bind_min() { return binary("Min"); }
Binding bind_max() { return binary("Max"); }
Binding bind_pow() { return binary("Pow"); }
Binding bind_erf() { return function("Erf"); }
Binding bind_sqrt() { return function("Sqrt"); }
Binding bind_exp() { return function("Exp"); }
Binding bind_log() { return function("Log"); }
Binding bind_neg() { return function("Neg"); }
Binding bind_abs() { return function("Abs"); }
Binding bind_reciprocal() { return function("Reciprocal"); }
Binding bind_floor() { return function("Floor"); }
Binding bind_ceil() { return function("Ceil"); }
Binding bind_round() { return function("Round"); }
Binding bind_relu() { return unary("Relu"); }
Binding bind_clip() { return unary("Clip"); }
Binding bind_leaky_relu() { return unary("LeakyRelu"); }
Binding bind_elu() { return unary("Elu"); }
Binding bind_sigmoid() { return unary("Sigmoid"); }
Binding bind_hard_sigmoid() { return unary("HardSigmoid"); }
Binding bind_hard_swish() { return unary("HardSwish"); }
Binding bind_tanh() { return unary("Tanh"); }
Binding bind_gelu() { return unary("Gelu"); }
Binding bind_softplus() { return unary("Softplus"); }
Binding bind_mish() { return unary("Mish"); }

}  // namespace kvant::backends::cuda
