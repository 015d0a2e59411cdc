// SPDX-License-Identifier: Apache-2.0
// QChannelAffine.
#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/affine/affine.h"

namespace kvant::backends::cuda {
namespace {

constexpr size_t kAffineMultiplier = 1, kAffineBias = 2;

AffineDesc describe_affine(const engine::NodeView& view, const Operands& operands) {
  const Shape& x = input_shape(view, 0);
  require(view, operands.constant(0) == nullptr, "x is constant");
  require(view, view.outputs.size() == 1 && x == output_shape(view) && !x.empty() && element_count(x) > 0,
          "x and y differ in shape");
  AffineDesc d;
  d.count = element_count(x), d.channels = x.back();
  for (const size_t i : {kAffineMultiplier, kAffineBias}) {
    const Tensor& values = operands.required(i, i == kAffineBias ? "the bias" : "the multiplier");
    require(view, values.dtype() == DType::Float32 && values.shape() == Shape{d.channels},
            "multiplier and bias have not one f32 for each channel");
  }
  const Activation activation = activation_of(view);
  require(view, activation == Activation::None || activation == Activation::Relu,
          "only Relu is an activation");
  d.relu = activation == Activation::Relu;
  d.x_signed = is_signed_code(view, view.inputs[0].dtype);
  d.x_zero_point = code_attribute(view, "x_zero_point", 0, d.x_signed ? Code::I8 : Code::U8);
  d.x_scale = view.node.attributes.real("x_scale", 1.0f);
  d.y_scale = view.node.attributes.real("y_scale", 1.0f);
  require(view, d.y_scale > 0, "y_scale is not above 0");
  d.out = range_of(view, is_signed_code(view, view.outputs[0].dtype) ? Code::I8 : Code::U8);
  return d;
}

std::vector<std::string> affine_tactics(const engine::NodeView& view, int, std::string&) {
  describe_affine(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> affine_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const AffineDesc d = describe_affine(view, operands);
  return launch_step(operands.take(), [d](const Places& p, const auto& launch) {
    launch(affine_launch(d, p.in(0), p.in(kAffineMultiplier), p.in(kAffineBias), p.out()));
  });
}

}  // namespace

Binding bind_qchannel_affine() { return {"QChannelAffine", affine_tactics, pack_constants, affine_load}; }

}  // namespace kvant::backends::cuda
