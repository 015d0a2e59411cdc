// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels in the emulator against the operators' reference evaluation.
#include "backends/cuda/kernels/elementwise/elementwise.h"

#include <gtest/gtest.h>

#include <limits>

#include "backends/cuda/kernels/emulated_run.h"
#include "ops/run_op.h"

namespace kvant::backends::cuda {
namespace {

using ir::Attributes;

const std::vector<Shape> kShapes = {{3}, {4}, {7, 9}, {2, 5, 5, 24}};

TEST(CudaElementwise, AddAndMultiplyCodes) {
  Random random(1);
  for (const Shape& shape : kShapes) {
    for (const bool is_signed : {false, true}) {
      const DType type = is_signed ? DType::Int8 : DType::UInt8;
      const Tensor a = random_codes(type, shape, random), b = random_codes(DType::UInt8, shape, random);
      CodePairDesc desc;
      desc.a_signed = is_signed;
      desc.a_multiplier = 0.37f, desc.b_multiplier = 0.91f;
      desc.a_zero_point = is_signed ? -7 : 100, desc.b_zero_point = 31;
      desc.out = is_signed ? CodeRange{4, -128, 120} : CodeRange{90, 90, 255};
      Attributes attributes{{"a_multiplier", desc.a_multiplier},
                            {"b_multiplier", desc.b_multiplier},
                            {"a_zero_point", int64_t{desc.a_zero_point}},
                            {"b_zero_point", int64_t{desc.b_zero_point}},
                            {"y_zero_point", int64_t{desc.out.zero_point}},
                            {"low", int64_t{desc.out.low}},
                            {"high", int64_t{desc.out.high}},
                            {"output", std::string(is_signed ? "i8" : "u8")}};
      Tensor y(type, shape);
      emulate(add_codes_launch(desc, a.size(), a.raw(), b.raw(), y.mutable_raw()));
      EXPECT_EQ(y, ops::run_op("QAdd", {a, b}, attributes));
      attributes.set("multiplier", 0.011f);
      desc.a_multiplier = 0.011f;
      emulate(multiply_codes_launch(desc, a.size(), a.raw(), b.raw(), y.mutable_raw()));
      EXPECT_EQ(y, ops::run_op("QMul", {a, b}, attributes));
      if (shape.size() != 4) continue;
      const Tensor gate = random_codes(DType::UInt8, {shape[0], 1, 1, shape[3]}, random);
      emulate(multiply_channels_launch(desc, shape[0], shape[1] * shape[2], shape[3], a.raw(), gate.raw(),
                                       y.mutable_raw()));
      EXPECT_EQ(y, ops::run_op("QMul", {a, gate}, attributes));
    }
  }
}

TEST(CudaElementwise, AddRealsToCodes) {
  Random random(6);
  for (const Shape& shape : kShapes) {
    Tensor b = random_reals(shape, random, -3, 3);
    b.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
    b.mutable_data<float>()[1] = std::numeric_limits<float>::infinity();
    for (const bool is_signed : {false, true}) {
      const DType type = is_signed ? DType::Int8 : DType::UInt8;
      const Tensor a = random_codes(type, shape, random);
      AddRealDesc desc;
      desc.a_signed = is_signed, desc.a_scale = 0.013f, desc.y_scale = 0.021f;
      desc.a_zero_point = is_signed ? -7 : 100;
      desc.out = is_signed ? CodeRange{4, -128, 120} : CodeRange{90, 5, 255};
      Tensor y(type, shape);
      emulate(add_real_launch(desc, a.size(), a.raw(), b.raw(), y.mutable_raw()));
      EXPECT_EQ(y, ops::run_op("QAddReal", {a, b},
                               {{"a_scale", desc.a_scale},
                                {"y_scale", desc.y_scale},
                                {"a_zero_point", int64_t{desc.a_zero_point}},
                                {"y_zero_point", int64_t{desc.out.zero_point}},
                                {"low", int64_t{desc.out.low}},
                                {"high", int64_t{desc.out.high}},
                                {"output", std::string(is_signed ? "i8" : "u8")}}));
    }
  }
}

TEST(CudaElementwise, QuantizeAndBack) {
  Random random(2);
  for (const Shape& shape : kShapes) {
    Tensor x = random_reals(shape, random, -3, 3);
    x.mutable_data<float>()[0] = 0.25f;  // a tie at scale 0.1 is not exact; at 0.5 it is
    for (const bool is_signed : {false, true}) {
      const Tensor zero = is_signed ? Tensor::scalar<int8_t>(-3) : Tensor::scalar<uint8_t>(130);
      const float scale = is_signed ? 0.5f : 0.0217f;
      const CodeRange out = is_signed ? CodeRange{-3, -128, 127} : CodeRange{130, 0, 255};
      Tensor codes(zero.dtype(), shape), back(DType::Float32, shape);
      emulate(quantize_launch(scale, out, x.size(), x.raw(), codes.mutable_raw()));
      EXPECT_EQ(codes, ops::run_op("QuantizeLinear", {x, Tensor::scalar(scale), zero}));
      emulate(dequantize_launch(scale, out.zero_point, is_signed, x.size(), codes.raw(), back.mutable_raw()));
      EXPECT_EQ(back, ops::run_op("DequantizeLinear", {codes, Tensor::scalar(scale), zero}));
    }
  }
}

TEST(CudaElementwise, Tables) {
  Random random(3);
  for (const DType type : {DType::UInt8, DType::Int8, DType::Float32}) {
    const Tensor table =
        type == DType::Float32 ? random_reals({256}, random) : random_codes(type, {256}, random);
    for (const Shape& shape : kShapes) {
      const Tensor x = random_codes(DType::Int8, shape, random);
      Tensor y(type, shape);
      emulate(
          look_up_launch(type == DType::Float32 ? 4 : 1, x.size(), table.raw(), x.raw(), y.mutable_raw()));
      EXPECT_EQ(y, ops::run_op("QLut", {x, table}));
    }
  }
}

TEST(CudaElementwise, Activations) {
  Random random(4);
  const Tensor x = random_reals({3, 77}, random, -6, 6);
  for (int kind = 0; kind <= static_cast<int>(Activation::Mish); ++kind) {
    Tensor y(DType::Float32, x.shape());
    emulate(activation_launch(static_cast<Activation>(kind), 0.2f, 0.5f, x.size(), x.raw(), y.mutable_raw()));
    const auto in = x.data<float>(), out = y.data<float>();
    for (size_t i = 0; i < in.size(); ++i)
      EXPECT_NEAR(out[i], activate(static_cast<Activation>(kind), in[i], 0.2f, 0.5f), 1e-6)
          << name(static_cast<Activation>(kind));
  }
}

TEST(CudaElementwise, UnaryAndBinaryFloats) {
  Random random(5);
  const Tensor x = random_reals({5, 3, 1, 7}, random, 0.1f, 5),
               other = random_reals({3, 4, 1}, random, 0.1f, 3);
  const char* unary[] = {"Erf", "Sqrt", "Exp", "Log", "Neg", "Abs", "Reciprocal", "Floor", "Ceil", "Round"};
  for (int op = 0; op < 10; ++op) {
    Tensor y(DType::Float32, x.shape());
    emulate(unary_launch(static_cast<Unary>(op), x.size(), x.raw(), y.mutable_raw()));
    const Tensor wanted = ops::run_op(unary[op], {x});
    for (size_t i = 0; i < y.data<float>().size(); ++i)
      EXPECT_FLOAT_EQ(y.data<float>()[i], wanted.data<float>()[i]) << unary[op];
  }
  const char* binary[] = {"Add", "Sub", "Mul", "Div", "Min", "Max", "Pow"};
  for (int op = 0; op < 7; ++op) {
    const Tensor wanted = ops::run_op(binary[op], {x, other});
    ASSERT_EQ(wanted.shape(), (Shape{5, 3, 4, 7}));
    BinaryDesc desc;
    desc.op = static_cast<Binary>(op);
    desc.rank = 4;
    desc.shape = {5, 3, 4, 7};
    desc.a_stride = {21, 7, 0, 1};
    desc.b_stride = {0, 4, 1, 0};
    Tensor y(DType::Float32, wanted.shape());
    emulate(binary_launch(desc, x.raw(), other.raw(), y.mutable_raw()));
    for (size_t i = 0; i < y.data<float>().size(); ++i)
      EXPECT_FLOAT_EQ(y.data<float>()[i], wanted.data<float>()[i]) << binary[op];
  }
}

}  // namespace
}  // namespace kvant::backends::cuda
