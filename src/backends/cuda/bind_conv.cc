// SPDX-License-Identifier: Apache-2.0
// QConv and QGemm. Packed constants: the kernel's own blob, and the weights' shape (i64) so that nothing
// about the packed-away inputs has to be known at load.
#include "backends/cuda/parts.h"

namespace kvant::backends::cuda {
namespace {

constexpr size_t kWeight = 1, kMultiplier = 2, kBias = 3, kResidual = 4, kTable = 5;

ConvShape window_shape(const engine::NodeView& view, const Shape& weight) {
  const Shape &x = input_shape(view, 0), &y = output_shape(view);
  require(view, x.size() == 4 && y.size() == 4 && weight.size() == 4, "x, w and y have rank 4");
  for (const Shape* shape : {&x, &y, &weight}) {
    for (const int64_t dim : *shape)
      require(view, dim >= 1 && dim <= INT32_MAX, "a dimension is zero or absurd");
  }
  ConvShape s;
  s.n = x[0], s.h = x[1], s.w = x[2], s.c = x[3];
  s.k = weight[0], s.kh = weight[1], s.kw = weight[2];
  s.group = view.node.attributes.integer("group", 1);
  require(
      view, s.group >= 1 && s.c % s.group == 0 && s.k % s.group == 0 && weight[3] == s.c / s.group,
      fmt::format("{} groups do not divide {} channels into {} outputs of {}", s.group, s.c, s.k, weight[3]));
  const auto strides = numbers(view, "strides", 2, 1, {1, 1});
  const auto dilations = numbers(view, "dilations", 2, 1, {1, 1});
  const auto pads = numbers(view, "pads", 4, 0, {0, 0, 0, 0});
  s.stride_h = strides[0], s.stride_w = strides[1];
  s.dilation_h = dilations[0], s.dilation_w = dilations[1];
  s.top = pads[0], s.left = pads[1];
  s.ho = (s.h + pads[0] + pads[2] - s.dilation_h * (s.kh - 1) - 1) / s.stride_h + 1;
  s.wo = (s.w + pads[1] + pads[3] - s.dilation_w * (s.kw - 1) - 1) / s.stride_w + 1;
  require(view, y == Shape{s.n, s.ho, s.wo, s.k},
          fmt::format("the result is [{}] where [{}x{}x{}x{}] belongs", to_string(y), s.n, s.ho, s.wo, s.k));
  return s;
}

// A product of matrices as a 1x1 convolution over one row of pixels.
ConvShape product_shape(const engine::NodeView& view, const Shape& weight) {
  const Shape &x = input_shape(view, 0), &y = output_shape(view);
  require(view, !x.empty() && weight.size() == 2, "x has rank 1 or more, w has rank 2");
  const int64_t size = element_count(x);
  require(view, size > 0 && weight[0] >= 1 && weight[1] == x.back(),
          "x and w differ in their inner dimension");
  Shape expected = x;
  expected.back() = weight[0];
  require(view, y == expected,
          fmt::format("the result is [{}] where [{}] belongs", to_string(y), to_string(expected)));
  ConvShape s;
  s.c = weight[1], s.k = weight[0];
  s.w = s.wo = size / s.c;
  return s;
}

}  // namespace

ConvDesc describe_conv(const engine::NodeView& view, const Shape& weight) {
  ConvDesc desc;
  desc.shape = view.node.op == "QGemm" ? product_shape(view, weight) : window_shape(view, weight);
  desc.x_signed = is_signed_code(view, view.inputs.at(0).dtype);
  desc.x_zero_point = code_attribute(view, "x_zero_point", 0, desc.x_signed ? Code::I8 : Code::U8);
  desc.epilogue = epilogue_of(view, kResidual, kTable);
  desc.table = view.has(kTable);
  require(view, view.constants.size() <= kResidual || view.constants[kResidual] == nullptr,
          "the residual is constant");
  require(view, view.constants.empty() || view.constants[0] == nullptr, "x is constant");
  return desc;
}

namespace {

const Tensor& constant_of(const engine::NodeView& view, size_t i, std::string_view what) {
  require(view, i < view.constants.size() && view.constants[i] != nullptr,
          fmt::format("{} is not constant", what));
  return *view.constants[i];
}

}  // namespace

// The constants, checked against each other.
ConvDesc describe_constants(const engine::NodeView& view) {
  const Tensor& w = constant_of(view, kWeight, "the weight");
  const Tensor& multiplier = constant_of(view, kMultiplier, "the multiplier");
  const Tensor& bias = constant_of(view, kBias, "the bias");
  require(view, w.dtype() == DType::Int8, "the weight is not i8");
  const ConvDesc desc = describe_conv(view, w.shape());
  const Shape per_channel{desc.shape.k};
  require(view, multiplier.dtype() == DType::Float32 && multiplier.shape() == per_channel,
          "the multiplier is not f32 with one value per output channel");
  require(view, bias.dtype() == DType::Float32 && bias.shape() == per_channel,
          "the bias is not f32 with one value per output channel");
  if (desc.table) {
    const Tensor& table = constant_of(view, kTable, "the table");
    require(view, table.dtype() == view.outputs[0].dtype && table.shape() == Shape{256},
            "the table is not of 256 codes of the result's type");
  }
  return desc;
}

namespace {

std::vector<std::string> conv_tactics_of(const engine::NodeView& view, int sm, std::string& why) {
  return conv_tactics(describe_constants(view), sm, why);
}

std::vector<Tensor> pack_conv_node(const engine::NodeView& view, std::string_view tactic) {
  const ConvDesc desc = describe_constants(view);
  Tensor blob(DType::UInt8, {static_cast<int64_t>(conv_packed_bytes(desc, tactic))});
  const Tensor& w = *view.constants[kWeight];
  pack_conv(desc, tactic,
            {w.data<int8_t>().data(), view.constants[kMultiplier]->data<float>().data(),
             view.constants[kBias]->data<float>().data(),
             desc.table ? reinterpret_cast<const uint8_t*>(view.constants[kTable]->raw()) : nullptr},
            blob.mutable_raw());
  return {std::move(blob), Tensor::vector(w.shape())};
}

std::unique_ptr<engine::Step> load_conv(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  require(view, packed.size() == 2,
          fmt::format("{} packed constants where 2 belong; build the plan anew", packed.size()));
  require(view, packed[1].dtype() == DType::Int64 && packed[1].rank() == 1 && packed[1].size() <= 4,
          "the packed weight has no shape");
  const ConvDesc desc = describe_conv(view, packed[1].to_ints());
  const size_t bytes = conv_packed_bytes(desc, tactic);
  require(view, packed[0].byte_size() == bytes,
          fmt::format("{} bytes of packed weights where tactic '{}' has {}", packed[0].byte_size(), tactic,
                      bytes));
  std::vector<std::optional<Tensor>> constants(kWeight + 1);
  constants[kWeight] = std::move(packed[0]);
  const bool residual = desc.epilogue.residual != Code::None;
  const Room room = conv_room(desc, tactic);
  return launch_step(
      std::move(constants),
      [desc, residual, name = std::string(tactic)](const Places& places, const auto& launch) {
        launch(conv_launch(desc, name,
                           {.packed = places.in(kWeight),
                            .x = places.in(0),
                            .residual = residual ? places.in(kResidual) : nullptr,
                            .y = places.out(),
                            .scratch = places.scratch(),
                            .counters = places.counters()}));
      },
      room);
}

}  // namespace

Binding bind_qconv() { return {"QConv", conv_tactics_of, pack_conv_node, load_conv}; }
Binding bind_qgemm() { return {"QGemm", conv_tactics_of, pack_conv_node, load_conv}; }

}  // namespace kvant::backends::cuda
