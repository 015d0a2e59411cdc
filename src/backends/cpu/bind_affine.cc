// SPDX-License-Identifier: Apache-2.0
// QChannelAffine (a batch norm between codes and codes) and QAddReal (codes and floats summed to codes).
#include "backends/cpu/node_epilogue.h"
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kAffineGrain = 4096;
constexpr size_t kAffineMultiplier = 1, kAffineBias = 2;

CodeRange affine_range(const engine::NodeView& view) {
  CodeRange range;
  const Code code = is_signed_code(view, view.outputs.at(0).dtype) ? Code::I8 : Code::U8;
  range.zero_point = code_attribute(view, "y_zero_point", 0, code);
  read_clamp(view, code, range.low, range.high);
  return range;
}

float scale_above_zero(const engine::NodeView& view, const std::string& which) {
  const float scale = view.node.attributes.real(which, 1.0f);
  require(view, scale > 0, fmt::format("{} is not above 0", which));
  return scale;
}

AffineDesc describe_affine(const engine::NodeView& view, const Operands& operands) {
  const Shape& x = operands.shape(0);
  require(view, operands.constant(0) == nullptr, "x is constant");
  require(view, x == output_shape(view) && !x.empty(), "x and y differ in shape");
  for (const size_t i : {kAffineMultiplier, kAffineBias}) {
    const Tensor& values = operands.required(i, i == kAffineBias ? "the bias" : "the multiplier");
    require(view, values.dtype() == DType::Float32 && values.shape() == Shape{x.back()},
            "multiplier and bias have not one f32 for each channel");
  }
  const std::string activation = view.node.attributes.text("activation", "");
  require(view, activation.empty() || activation == "Relu", "only Relu is an activation");
  AffineDesc d;
  d.relu = !activation.empty();
  d.x_signed = is_signed_code(view, operands.dtype(0));
  d.x_zero_point = code_attribute(view, "x_zero_point", 0, d.x_signed ? Code::I8 : Code::U8);
  d.x_scale = scale_above_zero(view, "x_scale");
  d.y_scale = scale_above_zero(view, "y_scale");
  d.out = affine_range(view);
  return d;
}

std::vector<std::string> affine_tactics(const engine::NodeView& view, std::string&) {
  describe_affine(view, Operands(view));
  return isa_tactics("qchannelaffine");
}

std::unique_ptr<engine::Step> affine_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  Operands operands(view, std::move(packed));
  const AffineDesc d = describe_affine(view, operands);
  const auto fn = kernels_of(view, "qchannelaffine", tactic).affine;
  const int64_t channels = operands.shape(0).back();
  const int64_t rows = channels == 0 ? 0 : element_count(operands.shape(0)) / channels;
  return function_step([=, multiplier = *operands.take(kAffineMultiplier),
                        bias = *operands.take(kAffineBias)](const engine::RunArgs& args) {
    const auto* x = reinterpret_cast<const uint8_t*>(args.inputs[0]);
    auto* y = reinterpret_cast<uint8_t*>(args.outputs[0]);
    const float *m = multiplier.data<float>().data(), *b = bias.data<float>().data();
    spread_range(args.team, rows, kAffineGrain / (channels + 1) + 1, [&](int64_t row, int64_t end) {
      for (; row < end; ++row) fn(d, x + row * channels, m, b, y + row * channels, channels);
    });
  });
}

AddRealDesc describe_add_real(const engine::NodeView& view, const Operands& operands) {
  const Shape &a = operands.shape(0), &b = operands.shape(1);
  require(view, operands.dtype(1) == DType::Float32, "b is not f32");
  require(view, a == b && a == output_shape(view),
          fmt::format("a is [{}], b [{}]; they must be equal", to_string(a), to_string(b)));
  AddRealDesc d;
  d.a_signed = is_signed_code(view, operands.dtype(0));
  d.a_zero_point = code_attribute(view, "a_zero_point", 0, d.a_signed ? Code::I8 : Code::U8);
  d.a_scale = scale_above_zero(view, "a_scale");
  d.y_scale = scale_above_zero(view, "y_scale");
  d.out = affine_range(view);
  return d;
}

std::vector<std::string> add_real_tactics(const engine::NodeView& view, std::string&) {
  describe_add_real(view, Operands(view));
  return isa_tactics("qaddreal");
}

std::unique_ptr<engine::Step> add_real_load(const engine::NodeView& view, std::string_view tactic,
                                            std::vector<Tensor> packed) {
  Operands operands(view, std::move(packed));
  const AddRealDesc d = describe_add_real(view, operands);
  const auto fn = kernels_of(view, "qaddreal", tactic).add_real;
  const int64_t count = element_count(operands.shape(0));
  return function_step([=, a = operands.take(0), b = operands.take(1)](const engine::RunArgs& args) {
    const auto* codes = reinterpret_cast<const uint8_t*>(Operands::pointer(a, args, 0));
    const auto* reals = reinterpret_cast<const float*>(Operands::pointer(b, args, 1));
    auto* y = reinterpret_cast<uint8_t*>(args.outputs[0]);
    spread_range(args.team, count, kAffineGrain,
                 [&](int64_t i, int64_t end) { fn(d, codes + i, reals + i, y + i, end - i); });
  });
}

}  // namespace

Binding bind_qchannel_affine() { return {"QChannelAffine", affine_tactics, pack_constants, affine_load}; }
Binding bind_qadd_real() { return {"QAddReal", add_real_tactics, pack_constants, add_real_load}; }

}  // namespace kvant::backends::cpu
