// SPDX-License-Identifier: Apache-2.0
// Elementwise float operators: those of two operands with the broadcasts that networks use, functions,
// activations.
#include <cmath>

#include "backends/cpu/operands.h"
#include "tensor/activation.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kGrain = 4096;

// y = a (op) b row by row: a has `rows` rows of `length` elements; b has a row for each of them, or one
// element
// (`single`). Which one is told by the axes before: neighbours that b has, or lacks, together are one Axis.
struct Broadcasting {
  struct Axis {
    int64_t size, step;  // step of b in elements; 0 where b is repeated
  };
  bool swapped = false;  // the broadcast operand is input 0
  bool single = false;
  int64_t rows = 1, length = 1;
  std::vector<Axis> axes;  // those before the row, outermost first

  int64_t b_offset(int64_t row) const {
    int64_t offset = 0;
    for (size_t i = axes.size(); i-- > 0; row /= axes[i].size) offset += row % axes[i].size * axes[i].step;
    return offset;
  }
};

// Whether `b` needs only be repeated to have the shape `a`.
bool repeats_to(const Shape& b, const Shape& a) {
  if (b.size() > a.size()) return false;
  for (size_t i = 1; i <= b.size(); ++i) {
    if (b[b.size() - i] != 1 && b[b.size() - i] != a[a.size() - i]) return false;
  }
  return true;
}

Broadcasting describe_binary(const engine::NodeView& view, const Operands& operands) {
  require(view, operands.dtype(0) == DType::Float32 && operands.dtype(1) == DType::Float32, "only f32");
  const Shape &first = operands.shape(0), &second = operands.shape(1), &y = output_shape(view);
  Broadcasting d;
  d.swapped = first != y;
  const Shape &a = d.swapped ? second : first, &b = d.swapped ? first : second;
  require(view, a == y && repeats_to(b, a) && element_count(a) > 0,
          fmt::format("broadcasting [{}] with [{}] is left to the reference", to_string(first),
                      to_string(second)));
  int64_t step = 1;
  std::vector<Broadcasting::Axis> axes;  // innermost first
  for (size_t i = 1; i <= a.size(); ++i) {
    const int64_t size = a[a.size() - i], of_b = i <= b.size() ? b[b.size() - i] : 1;
    if (size == 1) continue;
    const bool repeated = of_b == 1;
    if (!axes.empty() && (axes.back().step == 0) == repeated) {
      axes.back().size *= size;
    } else {
      axes.push_back({size, repeated ? 0 : step});
    }
    step *= of_b;
  }
  if (axes.empty()) axes.push_back({1, 1});
  d.single = axes[0].step == 0;
  d.length = axes[0].size;
  d.rows = element_count(a) / d.length;
  d.axes.assign(axes.rbegin(), axes.rend() - 1);
  return d;
}

struct BinaryName {
  std::string_view op, prefix;
  Binary kind;
};

constexpr BinaryName kBinaries[] = {{"Add", "add_f32", Binary::Add}, {"Sub", "sub_f32", Binary::Sub},
                                    {"Mul", "mul_f32", Binary::Mul}, {"Div", "div_f32", Binary::Div},
                                    {"Min", "min_f32", Binary::Min}, {"Max", "max_f32", Binary::Max},
                                    {"Pow", "pow_f32", Binary::Pow}};

const BinaryName& binary_of(const engine::NodeView& view) {
  for (const BinaryName& known : kBinaries) {
    if (known.op == view.node.op) return known;
  }
  fail("cpu: {} has not two operands", view.node.op);
}

std::vector<std::string> binary_tactics(const engine::NodeView& view, std::string&) {
  require(view, view.node.inputs.size() == 2, "only two operands");
  describe_binary(view, Operands(view));
  return isa_tactics(binary_of(view).prefix);
}

std::unique_ptr<engine::Step> binary_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, view.node.inputs.size() == 2, "only two operands");
  Operands operands(view, std::move(packed));
  const Broadcasting d = describe_binary(view, operands);
  const ElementKernels& k = kernels_of(view, binary_of(view).prefix, tactic);
  const Binary kind = binary_of(view).kind;
  return function_step(
      [=, &k, first = operands.take(0), second = operands.take(1)](const engine::RunArgs& args) {
        const auto* a = reinterpret_cast<const float*>(d.swapped ? Operands::pointer(second, args, 1)
                                                                 : Operands::pointer(first, args, 0));
        const auto* b = reinterpret_cast<const float*>(d.swapped ? Operands::pointer(first, args, 0)
                                                                 : Operands::pointer(second, args, 1));
        auto* y = reinterpret_cast<float*>(args.outputs[0]);
        const int64_t b_step = d.single ? 0 : 1;
        const auto run = [&](const float* from, const float* by, float* to, int64_t n) {
          if (d.swapped) {
            k.binary_f32(kind, by, b_step, from, 1, to, n);
          } else {
            k.binary_f32(kind, from, 1, by, b_step, to, n);
          }
        };
        if (d.rows == 1) {
          spread_range(args.team, d.length, kGrain,
                       [&](int64_t i, int64_t end) { run(a + i, d.single ? b : b + i, y + i, end - i); });
          return;
        }
        spread_range(args.team, d.rows, kGrain / d.length + 1, [&](int64_t row, int64_t end) {
          for (; row < end; ++row) run(a + row * d.length, b + d.b_offset(row), y + row * d.length, d.length);
        });
      });
}

Binding binary(std::string_view op) { return {op, binary_tactics, pack_constants, binary_load}; }

// ---- Functions of one number.
// -------------------------------------------------------------------------------------

struct FunctionName {
  std::string_view op;
  Unary kind;
};

constexpr FunctionName kFunctions[] = {{"Erf", Unary::Erf},
                                       {"Sqrt", Unary::Sqrt},
                                       {"Exp", Unary::Exp},
                                       {"Log", Unary::Log},
                                       {"Neg", Unary::Neg},
                                       {"Abs", Unary::Abs},
                                       {"Reciprocal", Unary::Reciprocal},
                                       {"Floor", Unary::Floor},
                                       {"Ceil", Unary::Ceil},
                                       {"Round", Unary::Round}};

Unary function_of(const engine::NodeView& view, const Operands& operands) {
  require(view, operands.dtype(0) == DType::Float32 && operands.shape(0) == output_shape(view), "only f32");
  for (const FunctionName& known : kFunctions) {
    if (known.op == view.node.op) return known.kind;
  }
  fail("cpu: {} is no function of one number", view.node.op);
}

std::vector<std::string> function_tactics(const engine::NodeView& view, std::string&) {
  function_of(view, Operands(view));
  return isa_tactics("function_f32");
}

std::unique_ptr<engine::Step> function_load(const engine::NodeView& view, std::string_view tactic,
                                            std::vector<Tensor> packed) {
  Operands operands(view, std::move(packed));
  const Unary kind = function_of(view, operands);
  const ElementKernels& k = kernels_of(view, "function_f32", tactic);
  const int64_t count = element_count(output_shape(view));
  return function_step([=, &k, x = operands.take(0)](const engine::RunArgs& args) {
    const auto* from = reinterpret_cast<const float*>(Operands::pointer(x, args, 0));
    auto* y = reinterpret_cast<float*>(args.outputs[0]);
    spread_range(args.team, count, kGrain,
                 [&](int64_t i, int64_t end) { k.unary_f32(kind, from + i, y + i, end - i); });
  });
}

Binding function(std::string_view op) { return {op, function_tactics, pack_constants, function_load}; }

// ---- Activations.
// ---------------------------------------------------------------------------------------------------

struct Activating {
  Activation activation = Activation::None;
  float alpha = 0, beta = 0;
  int64_t count = 0;
};

Activating describe_unary(const engine::NodeView& view, const Operands& operands) {
  const ir::Attributes& attributes = view.node.attributes;
  const std::string& op = view.node.op;
  const auto activation = activation_named(op);
  require(view, activation.has_value(), "not an activation");
  Activating d{*activation, 0.0f, 0.0f, element_count(output_shape(view))};
  require(view, operands.dtype(0) == DType::Float32 && operands.shape(0) == output_shape(view), "only f32");
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

std::vector<std::string> unary_tactics(const engine::NodeView& view, std::string&) {
  describe_unary(view, Operands(view));
  return {"activation_f32"};
}

std::unique_ptr<engine::Step> unary_load(const engine::NodeView& view, std::string_view tactic,
                                         std::vector<Tensor> packed) {
  require(view, tactic == "activation_f32", fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const Activating d = describe_unary(view, operands);
  return function_step([d, x = operands.take(0)](const engine::RunArgs& args) {
    const auto* from = reinterpret_cast<const float*>(Operands::pointer(x, args, 0));
    auto* y = reinterpret_cast<float*>(args.outputs[0]);
    spread_range(args.team, d.count, kGrain, [&](int64_t i, int64_t end) {
      const size_t n = static_cast<size_t>(end - i);
      activate(d.activation, std::span<const float>(from + i, n), std::span<float>(y + i, n), d.alpha,
               d.beta);
    });
  });
}

Binding unary(std::string_view op) { return {op, unary_tactics, pack_constants, unary_load}; }

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

}  // namespace kvant::backends::cpu
