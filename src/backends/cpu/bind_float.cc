// SPDX-License-Identifier: Apache-2.0
// Elementwise float operators (Min and Max of codes too): those of two operands with the broadcasts that
// networks use, functions, activations.
#include <algorithm>
#include <cmath>
#include <cstring>

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

bool is_code(DType dtype) { return dtype == DType::Int8 || dtype == DType::UInt8; }

Broadcasting describe_binary(const engine::NodeView& view, const Operands& operands) {
  const DType dtype = operands.dtype(0);
  const bool bounds = view.node.op == "Min" || view.node.op == "Max";
  require(view, operands.dtype(1) == dtype && (dtype == DType::Float32 || (bounds && is_code(dtype))),
          bounds ? "only f32, i8 and u8" : "only f32");
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
                                    {"Min", "min", Binary::Min},     {"Max", "max", Binary::Max},
                                    {"Pow", "pow_f32", Binary::Pow}, {"PRelu", "prelu_f32", Binary::PRelu}};

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

// One row for all, so short that most of a run would be the calls: it is laid out several times.
constexpr int64_t kLongRow = 2048;

std::optional<Tensor> several_rows(const Broadcasting& d, const std::optional<Tensor>& row) {
  const bool one_for_all =
      std::ranges::all_of(d.axes, [](const Broadcasting::Axis& axis) { return axis.step == 0; });
  if (!row || d.rows == 1 || d.single || !one_for_all || 2 * d.length > kLongRow) return std::nullopt;
  const int64_t times = std::min(d.rows, kLongRow / d.length);
  Tensor result(row->dtype(), {times * d.length});
  for (int64_t i = 0; i < times; ++i)
    std::memcpy(result.mutable_raw() + static_cast<size_t>(i) * row->byte_size(), row->raw(),
                row->byte_size());
  return result;
}

// fn(x, b, y, n): the whole operand x, the one that may be repeated, the result.
template <class Element, class Fn>
std::unique_ptr<engine::Step> by_rows(const Broadcasting& d, Operands& operands, const Fn& fn) {
  std::optional<Tensor> whole = operands.take(d.swapped ? 1 : 0), row = operands.take(d.swapped ? 0 : 1);
  const size_t whole_at = d.swapped ? 1 : 0, row_at = 1 - whole_at;
  const std::optional<Tensor> several = several_rows(d, row);
  if (several) {
    return function_step([=](const engine::RunArgs& args) {
      const auto* a = reinterpret_cast<const Element*>(Operands::pointer(whole, args, whole_at));
      const auto* b = reinterpret_cast<const Element*>(several->raw());
      auto* y = reinterpret_cast<Element*>(args.outputs[0]);
      const int64_t chunk = several->size();
      spread_range(args.team, d.rows * d.length, (kGrain + chunk - 1) / chunk * chunk,
                   [&](int64_t i, int64_t end) {
                     for (; i < end; i += chunk) fn(a + i, b, y + i, std::min(chunk, end - i));
                   });
    });
  }
  return function_step([=](const engine::RunArgs& args) {
    const auto* a = reinterpret_cast<const Element*>(Operands::pointer(whole, args, whole_at));
    const auto* b = reinterpret_cast<const Element*>(Operands::pointer(row, args, row_at));
    auto* y = reinterpret_cast<Element*>(args.outputs[0]);
    if (d.rows == 1) {
      spread_range(args.team, d.length, kGrain,
                   [&](int64_t i, int64_t end) { fn(a + i, d.single ? b : b + i, y + i, end - i); });
      return;
    }
    spread_range(args.team, d.rows, kGrain / d.length + 1, [&](int64_t row_index, int64_t end) {
      for (; row_index < end; ++row_index)
        fn(a + row_index * d.length, b + d.b_offset(row_index), y + row_index * d.length, d.length);
    });
  });
}

std::unique_ptr<engine::Step> binary_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, view.node.inputs.size() == 2, "only two operands");
  Operands operands(view, std::move(packed));
  const Broadcasting d = describe_binary(view, operands);
  const ElementKernels& k = kernels_of(view, binary_of(view).prefix, tactic);
  const Binary kind = binary_of(view).kind;
  const int64_t b_step = d.single ? 0 : 1;
  const bool above = kind == Binary::Min, swapped = d.swapped;
  if (operands.dtype(0) == DType::UInt8) {
    return by_rows<uint8_t>(d, operands, [=, &k](const uint8_t* x, const uint8_t* by, uint8_t* y, int64_t n) {
      k.bound_u8(above, x, by, b_step, y, n);
    });
  }
  if (operands.dtype(0) == DType::Int8) {
    return by_rows<int8_t>(d, operands, [=, &k](const int8_t* x, const int8_t* by, int8_t* y, int64_t n) {
      k.bound_i8(above, x, by, b_step, y, n);
    });
  }
  return by_rows<float>(d, operands, [=, &k](const float* x, const float* by, float* y, int64_t n) {
    if (swapped) {
      k.binary_f32(kind, by, b_step, x, 1, y, n);
    } else {
      k.binary_f32(kind, x, 1, by, b_step, y, n);
    }
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
                                       {"Round", Unary::Round},
                                       {"Sigmoid", Unary::Sigmoid}};

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
Binding bind_prelu() { return binary("PRelu"); }
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
Binding bind_sigmoid() { return function("Sigmoid"); }
Binding bind_hard_sigmoid() { return unary("HardSigmoid"); }
Binding bind_hard_swish() { return unary("HardSwish"); }
Binding bind_tanh() { return unary("Tanh"); }
Binding bind_gelu() { return unary("Gelu"); }
Binding bind_softplus() { return unary("Softplus"); }
Binding bind_mish() { return unary("Mish"); }

}  // namespace kvant::backends::cpu
