// SPDX-License-Identifier: Apache-2.0
// The internal operators of docs/lowered-ops.md, against hand-computed cases and the ONNX operators they
// stand for.
#include "base/random.h"
#include "ops/epilogue.h"
#include "ops/op_testing.h"

namespace kvant::ops {
namespace {

using Ints = std::vector<int64_t>;
using ::testing::HasSubstr;
constexpr int64_t kTurnBack[] = {0, 2, 3, 1};  // NCHW to NHWC

Tensor random_codes(DType dtype, Shape shape, uint64_t seed) {
  Tensor result(DType::Int32, std::move(shape));
  Random random(seed);
  const IntRange range = code_range(dtype);
  for (int32_t& code : result.mutable_data<int32_t>())
    code = range.low + static_cast<int32_t>(random.below(static_cast<uint64_t>(range.high - range.low + 1)));
  return result.cast(dtype);
}

Tensor dequantized(const Tensor& codes, Tensor scale, std::optional<Tensor> zero_point, int64_t axis = 0) {
  return run_op("DequantizeLinear", {{"axis", axis}}, {codes, std::move(scale), std::move(zero_point)})[0];
}

void expect_close_codes(const Tensor& actual, const Tensor& wanted) {
  ASSERT_EQ(actual.shape(), wanted.shape());
  ASSERT_EQ(actual.dtype(), wanted.dtype());
  EXPECT_LE(max_abs_difference(actual, wanted), 1);
  const auto a = actual.to_ints(), b = wanted.to_ints();
  int64_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += a[i] != b[i];
  EXPECT_LE(static_cast<double>(different), 1e-3 * static_cast<double>(a.size()));
}

// DequantizeLinear -> Conv (-> Add) (-> activation) -> QuantizeLinear, and the QConv made of the same
// numbers.
class QConvAgainstComposition : public ::testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  const float s_x = 0.02f, s_y = 0.05f, s_r = 0.04f;
  const int32_t z_x = 117, z_y = 12, z_r = -5;
  const Tensor x = random_codes(DType::UInt8, {2, 8, 10, 9}, 1),
               w = random_codes(DType::Int8, {16, 4, 3, 3}, 2);
  const Tensor r = random_codes(DType::Int8, {2, 16, 5, 9}, 3);
  Tensor w_scale = ramp({16}, 0.004f, 0.0002f), bias = ramp({16}, -0.7f, 0.1f);
  const ir::Attributes conv{{"group", int64_t{2}}, {"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 1}}};

  Tensor composition(const std::string& activation, bool residual) const {
    Tensor y = run_op("Conv", conv,
                      {dequantized(x, Tensor::scalar(s_x), Tensor::scalar(static_cast<uint8_t>(z_x))),
                       dequantized(w, w_scale, {}), bias})[0];
    if (residual) {
      const auto other =
          dequantized(r, Tensor::scalar(s_r), Tensor::scalar(static_cast<int8_t>(z_r))).to_floats();
      auto values = y.mutable_data<float>();
      for (size_t i = 0; i < other.size(); ++i) values[i] += other[i];
    }
    const auto kind = *activation_named(activation);
    auto values = y.mutable_data<float>();
    activate(kind, values, values, 0, 0);
    return run_op("QuantizeLinear", {},
                  {y, Tensor::scalar(s_y), Tensor::scalar(static_cast<uint8_t>(z_y))})[0];
  }

  Tensor lowered(const std::string& activation, bool residual) const {
    const bool folded = activation.empty() || activation == "Relu";
    const double divisor = folded ? s_y : 1.0;
    Tensor m(DType::Float32, {16}), b(DType::Float32, {16});
    for (size_t k = 0; k < 16; ++k) {
      m.mutable_data<float>()[k] =
          static_cast<float>(static_cast<double>(s_x) * w_scale.data<float>()[k] / divisor);
      b.mutable_data<float>()[k] = static_cast<float>(bias.data<float>()[k] / divisor);
    }
    ir::Attributes attributes = conv;
    attributes.set("output", std::string("u8"));
    attributes.set("x_zero_point", static_cast<int64_t>(z_x));
    attributes.set("y_zero_point", static_cast<int64_t>(z_y));
    attributes.set("low", activation == "Relu" ? int64_t{z_y} : int64_t{0});
    attributes.set("high", int64_t{255});
    attributes.set("activation", folded ? std::string() : activation);
    if (!folded) attributes.set("inverse_scale", 1 / s_y);
    attributes.set("residual_multiplier", static_cast<float>(s_r / divisor));
    attributes.set("residual_zero_point", static_cast<int64_t>(z_r));
    Inputs inputs{transpose(x, kTurnBack), transpose(w, kTurnBack), m, b};
    if (residual) inputs.emplace_back(transpose(r, kTurnBack));
    return run_op("QConv", attributes, inputs)[0];
  }
};

TEST_P(QConvAgainstComposition, CodesAgree) {
  const auto& [activation, residual] = GetParam();
  expect_close_codes(lowered(activation, residual), transpose(composition(activation, residual), kTurnBack));
}

INSTANTIATE_TEST_SUITE_P(Epilogues, QConvAgainstComposition,
                         ::testing::Combine(::testing::Values("", "Relu", "Silu", "HardSwish", "Sigmoid"),
                                            ::testing::Bool()));

const Tensor kPixel = Tensor::of<uint8_t>({1, 1, 1, 2}, {12, 9});
const Tensor kWeight = Tensor::of<int8_t>({1, 1, 1, 2}, {3, -5});
const Tensor kHalf = Tensor::vector<float>({0.5f}), kOne = Tensor::vector<float>({1.0f});

TEST(QConv, ThreeFormsByHand) {  // acc = 2 * 3 + 1 * 5 = 11, v = 11 * 0.5 + 1 = 6.5
  const auto run = [](ir::Attributes more, Inputs extra = {}) {
    more.set("x_zero_point", int64_t{10});
    Inputs inputs{kPixel, kWeight, kHalf, kOne};
    inputs.insert(inputs.end(), extra.begin(), extra.end());
    return run_op("QConv", std::move(more), inputs)[0];
  };
  EXPECT_EQ(run({{"output", std::string("i8")}, {"y_zero_point", int64_t{-3}}}),
            Tensor::of<int8_t>({1, 1, 1, 1}, {3}));
  EXPECT_EQ(run({{"output", std::string("i8")}, {"high", int64_t{2}}}),
            Tensor::of<int8_t>({1, 1, 1, 1}, {2}));
  EXPECT_EQ(
      run({{"output", std::string("u8")}, {"activation", std::string("LeakyRelu")}, {"inverse_scale", 4.0f}}),
      Tensor::of<uint8_t>({1, 1, 1, 1}, {26}));
  EXPECT_EQ(run({{"output", std::string("f32")}}), Tensor::of<float>({1, 1, 1, 1}, {6.5f}));
  const Tensor residual = Tensor::of<uint8_t>({1, 1, 1, 1}, {7});
  EXPECT_EQ(run({{"output", std::string("f32")},
                 {"residual_multiplier", 2.0f},
                 {"residual_zero_point", int64_t{5}}},
                {residual}),
            Tensor::of<float>({1, 1, 1, 1}, {10.5f}));
  EXPECT_EQ(run({{"output", std::string("f32")}, {"residual_multiplier", 2.0f}},
                {Tensor::of<float>({1, 1, 1, 1}, {0.25f})}),
            Tensor::of<float>({1, 1, 1, 1}, {7.0f}));
}

TEST(QConv, Refuses) {
  const Inputs inputs{kPixel, kWeight, kHalf, kOne};
  EXPECT_THAT(refusal("QConv", {{"output", std::string("i4")}}, inputs), HasSubstr("output is 'i4'"));
  EXPECT_THAT(refusal("QConv", {{"output", std::string("u8")}, {"activation", std::string("Silu")}}, inputs),
              HasSubstr("inverse_scale"));
  EXPECT_THAT(refusal("QConv", {{"output", std::string("u8")}, {"activation", std::string("Nope")}}, inputs),
              HasSubstr("'Nope' is unknown"));
  EXPECT_THAT(refusal("QConv", {{"output", std::string("u8")}, {"high", int64_t{256}}}, inputs),
              HasSubstr("not a range of u8"));
  EXPECT_THAT(refusal("QConv", {{"output", std::string("u8")}, {"y_zero_point", int64_t{1} << 40}}, inputs),
              HasSubstr("must fit 32 bits"));
  EXPECT_THAT(refusal("QConv", {{"output", std::string("u8")}}, {kPixel, kWeight, ramp({2}), kOne}),
              HasSubstr("multiplier is 2"));
  EXPECT_THAT(
      refusal("QConv", {{"output", std::string("u8")}}, {kPixel, kWeight, kHalf, kOne, ramp({1, 1, 1, 2})}),
      HasSubstr("residual is 1x1x1x2"));
}

TEST(QGemm, ByHand) {
  const Tensor x = Tensor::of<int8_t>({1, 2, 2}, {1, 2, 3, 4}), w = Tensor::of<int8_t>({1, 2}, {10, -1});
  const auto y = run_op(
      "QGemm", {{"output", std::string("i8")}, {"x_zero_point", int64_t{1}}, {"y_zero_point", int64_t{1}}},
      {x, w, kHalf, kOne});
  EXPECT_EQ(y[0], Tensor::of<int8_t>({1, 2, 1}, {1, 11}));  // acc -1 and 17: v 0.5 and 9.5, halves to even
  EXPECT_THAT(refusal("QGemm", {{"output", std::string("i8")}},
                      {x, Tensor::of<int8_t>({1, 3}, {1, 1, 1}), kHalf, kOne}),
              HasSubstr("last dimensions differ"));
}

ir::Attributes code_output(std::string output) {
  return {{"output", std::move(output)}, {"y_zero_point", int64_t{10}}};
}

TEST(QAddReal, ByHand) {  // (a - 2) * 0.5 + b, in steps of 0.25, from 10
  ir::Attributes attributes = code_output("u8");
  attributes.set("a_scale", 0.5f);
  attributes.set("a_zero_point", int64_t{2});
  attributes.set("y_scale", 0.25f);
  const Tensor a = Tensor::vector<uint8_t>({2, 5, 255, 0}), b = Tensor::vector<float>({0.125f, -1.0f, 0, -9});
  EXPECT_EQ(run_op("QAddReal", attributes, {a, b})[0], Tensor::vector<uint8_t>({10, 12, 255, 0}));
  EXPECT_THAT(refusal("QAddReal", attributes, {a, Tensor::vector<float>({1})}), HasSubstr("must be equal"));
  EXPECT_THAT(refusal("QAddReal", attributes, {a, a}), HasSubstr("b holds u8; f32 is needed"));
  attributes.set("y_scale", 0.0f);
  EXPECT_THAT(refusal("QAddReal", attributes, {a, b}), HasSubstr("y_scale is 0; it must be above 0"));
}

TEST(QAdd, ByHand) {
  ir::Attributes attributes = code_output("u8");
  for (const char* name : {"a_multiplier", "b_multiplier"}) attributes.set(name, 0.5f);
  attributes.set("a_zero_point", int64_t{2});
  const Tensor a = Tensor::vector<uint8_t>({2, 5, 255}), b = Tensor::vector<int8_t>({3, 0, 127});
  EXPECT_EQ(run_op("QAdd", attributes, {a, b})[0], Tensor::vector<uint8_t>({12, 12, 200}));
  EXPECT_THAT(refusal("QAdd", attributes, {a, Tensor::vector<int8_t>({1})}), HasSubstr("must be equal"));
}

TEST(QMul, EqualShapesAndChannelFactors) {
  ir::Attributes attributes = code_output("u8");
  attributes.set("multiplier", 0.5f);
  attributes.set("b_zero_point", int64_t{1});
  const Tensor a = Tensor::of<uint8_t>({1, 1, 2, 2}, {1, 2, 3, 4}),
               b = Tensor::of<uint8_t>({1, 1, 1, 2}, {3, 5});
  EXPECT_EQ(run_op("QMul", attributes, {a, b})[0], Tensor::of<uint8_t>({1, 1, 2, 2}, {11, 14, 13, 18}));
  EXPECT_EQ(run_op("QMul", attributes, {b, b})[0], Tensor::of<uint8_t>({1, 1, 1, 2}, {13, 20}));
  EXPECT_THAT(refusal("QMul", attributes, {b, a}), HasSubstr("b must be equal or [N,1,1,C]"));
}

TEST(QAveragePool, WindowsAndPlanes) {
  const Tensor x = Tensor::of<uint8_t>({1, 1, 3, 2}, {1, 10, 3, 20, 9, 30});
  ir::Attributes attributes = code_output("i8");
  attributes.set("multiplier", 2.0f);
  attributes.set("x_zero_point", int64_t{1});
  EXPECT_EQ(run_op("QGlobalAveragePool", attributes, {x})[0], Tensor::of<int8_t>({1, 1, 1, 2}, {17, 48}));
  attributes.set("kernel_shape", Ints{1, 2});
  attributes.set("pads", Ints{0, 1, 0, 0});
  EXPECT_EQ(run_op("QAveragePool", attributes, {x})[0],
            Tensor::of<int8_t>({1, 1, 3, 2}, {10, 28, 12, 38, 20, 58}));
  attributes.set("count_include_pad", int64_t{1});
  EXPECT_EQ(run_op("QAveragePool", attributes, {x})[0],
            Tensor::of<int8_t>({1, 1, 3, 2}, {10, 19, 12, 38, 20, 58}));
}

TEST(QLut, LooksUpTheByte) {
  Tensor table(DType::Float32, {256});
  for (size_t i = 0; i < 256; ++i) table.mutable_data<float>()[i] = static_cast<float>(i) * 0.5f;
  EXPECT_EQ(run_op("QLut", {}, {Tensor::vector<int8_t>({-1, 2}), table})[0],
            Tensor::vector<float>({127.5f, 1}));
  EXPECT_THAT(refusal("QLut", {}, {Tensor::vector<int8_t>({0}), ramp({16})}),
              HasSubstr("256 entries are needed"));
}

TEST(QConcat, CopiesAlongTheAxis) {
  const Tensor a = Tensor::of<uint8_t>({2, 1}, {1, 2}), b = Tensor::of<uint8_t>({2, 2}, {3, 4, 5, 6});
  EXPECT_EQ(run_op("QConcat", {{"axis", int64_t{-1}}}, {a, b})[0],
            Tensor::of<uint8_t>({2, 3}, {1, 3, 4, 2, 5, 6}));
  EXPECT_THAT(refusal("QConcat", {{"axis", int64_t{0}}}, {a, b}), HasSubstr("does not join"));
}

TEST(ConvNhwc, EqualsConvWithBiasResidualAndActivation) {
  const Tensor x = ramp({1, 2, 4, 3}, -6, 0.5f), w = ramp({2, 2, 2, 2}, -1, 0.125f),
               bias = Tensor::vector<float>({0.5f, -3});
  const ir::Attributes window{{"pads", Ints{0, 1, 1, 0}}};
  const Tensor plain = run_op("Conv", window, {x, w, bias})[0];
  const Tensor residual = ramp(plain.shape(), -2, 0.25f);
  ir::Attributes fused = window;
  fused.set("activation", std::string("Relu"));
  const Tensor y =
      run_op("ConvNhwc", fused, {transpose(x, kTurnBack), w, bias, transpose(residual, kTurnBack)})[0];
  Tensor wanted = plain;
  const auto values = wanted.mutable_data<float>();
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::max(values[i] + residual.data<float>()[i], 0.0f);
  EXPECT_LE(max_abs_difference(y, transpose(wanted, kTurnBack)), 1e-5);
}

TEST(Linear, EqualsMatMulOfTheTranspose) {
  const Tensor x = ramp({2, 1, 3}), w = Tensor::of<float>({2, 3}, {1, 0, 0, 1, 1, 1});
  expect_near(run_op("Linear", {}, {x, w})[0], {2, 1, 2}, {0, 3, 3, 12});
  expect_near(run_op("Linear", {{"activation", std::string("Clip")}, {"alpha", 1.0f}, {"beta", 5.0f}},
                     {x, w, Tensor::vector<float>({1, 1}), ramp({2, 1, 2})})[0],
              {2, 1, 2}, {1, 5, 5, 5});
  EXPECT_THAT(refusal("Linear", {{"activation", std::string("Nope")}}, {x, w}),
              HasSubstr("'Nope' is unknown"));
}

TEST(PoolsNhwc, EqualTheirNchwForms) {
  const Tensor x = ramp({2, 3, 5, 4}, -20, 0.7f), turned = transpose(x, kTurnBack);
  const ir::Attributes window{
      {"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 1}}, {"pads", Ints{1, 0, 1, 1}}};
  for (const std::string op : {"MaxPool", "AveragePool"})
    EXPECT_EQ(run_op(op + "Nhwc", window, {turned})[0], transpose(run_op(op, window, {x})[0], kTurnBack))
        << op;
  EXPECT_EQ(run_op("GlobalAveragePoolNhwc", {}, {turned})[0],
            transpose(run_op("GlobalAveragePool", {}, {x})[0], kTurnBack));
  EXPECT_THAT(refusal("MaxPoolNhwc", window, {ramp({2, 3})}), HasSubstr("2x3 is not [N,H,W,C]"));
}

TEST(QMatMul, IsTheProductOfTheRealsTransposedAsAsked) {
  const Tensor a = random_codes(DType::UInt8, {2, 5, 3, 4}, 1),
               b = random_codes(DType::Int8, {2, 6, 3, 4}, 2);
  const Ints a_perm{0, 2, 1, 3}, b_perm{0, 2, 3, 1}, y_perm{0, 2, 1, 3};
  const Tensor real_a = dequantized(a, Tensor::scalar(0.02f), Tensor::scalar(static_cast<uint8_t>(7))),
               real_b = dequantized(b, Tensor::scalar(0.03f), Tensor::scalar(static_cast<int8_t>(-9)));
  const Tensor product =
      transpose(run_op("MatMul", {}, {transpose(real_a, a_perm), transpose(real_b, b_perm)})[0], y_perm);
  ir::Attributes attributes{{"a_zero_point", int64_t{7}},
                            {"b_zero_point", int64_t{-9}},
                            {"a_perm", a_perm},
                            {"b_perm", b_perm},
                            {"y_perm", y_perm},
                            {"multiplier", 0.02f * 0.03f},
                            {"output", std::string("f32")}};
  EXPECT_LE(max_abs_difference(run_op("QMatMul", attributes, {a, b})[0], product), 1e-5f);
  for (const auto& [name, value] : ir::Attributes{{"output", std::string("u8")},
                                                  {"multiplier", static_cast<float>(0.02 * 0.03 / 0.05)},
                                                  {"y_zero_point", int64_t{90}},
                                                  {"low", int64_t{0}},
                                                  {"high", int64_t{255}}})
    attributes.set(name, value);
  expect_close_codes(run_op("QMatMul", attributes, {a, b})[0],
                     run_op("QuantizeLinear", {},
                            {product, Tensor::scalar(0.05f), Tensor::scalar(static_cast<uint8_t>(90))})[0]);
  attributes.set("a_perm", Ints{0, 2, 2, 3});
  EXPECT_THAT(
      [&] {
        run_op("QMatMul", attributes, {a, b});
      },
      testing::ThrowsMessage<Error>(HasSubstr("a_perm is no permutation of the 4 axes")));
}

TEST(QSoftmaxAndQLayerNormalization, AreTheQuantizedResults) {
  const Tensor x = ramp({7, 12}, -3.0f, 0.071f), gain = ramp({12}, 0.5f, 0.1f),
               bias = ramp({12}, -1.0f, 0.2f);
  const Tensor scale = Tensor::scalar(0.0123f), zero = Tensor::scalar(static_cast<uint8_t>(40));
  const ir::Attributes codes{{"output", std::string("u8")},
                             {"y_scale", 0.0123f},
                             {"y_zero_point", int64_t{40}},
                             {"low", int64_t{0}},
                             {"high", int64_t{255}}};
  EXPECT_EQ(run_op("QSoftmax", codes, {x})[0],
            run_op("QuantizeLinear", {}, {run_op("Softmax", {}, {x})[0], scale, zero})[0]);
  EXPECT_EQ(
      run_op("QLayerNormalization", codes, {x, gain, bias})[0],
      run_op("QuantizeLinear", {}, {run_op("LayerNormalization", {}, {x, gain, bias})[0], scale, zero})[0]);
  ir::Attributes absurd = codes;
  absurd.set("y_scale", 0.0f);
  EXPECT_THAT([&] { run_op("QSoftmax", absurd, {x}); },
              testing::ThrowsMessage<Error>(HasSubstr("y_scale is 0; it must be above 0")));
}

}  // namespace
}  // namespace kvant::ops
