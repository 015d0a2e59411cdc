// SPDX-License-Identifier: Apache-2.0
// Unary, binary and logic operators. Numbers by hand or from the definitions in the ONNX operator reference.
#include "ops/elementwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/run_op.h"
#include "tensor/activation.h"

namespace kvant::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::nanf("");

struct UnaryCase {
  const char* op;
  float x;
  float y;
  ir::Attributes attributes = {};
};

TEST(Unary, GivesTheDefinitionsValues) {
  const UnaryCase cases[] = {
      {"Abs", -2.5f, 2.5f},
      {"Ceil", -1.5f, -1.0f},
      {"Floor", -1.5f, -2.0f},
      {"Round", 0.5f, 0.0f},
      {"Round", 1.5f, 2.0f},
      {"Round", -2.5f, -2.0f},
      {"Neg", 3.0f, -3.0f},
      {"Reciprocal", 4.0f, 0.25f},
      {"Sign", -7.0f, -1.0f},
      {"Sqrt", 9.0f, 3.0f},
      {"Exp", 1.0f, 2.7182818f},
      {"Log", 2.0f, 0.69314718f},
      {"Erf", 0.5f, 0.52049988f},
      {"Sin", 1.0f, 0.84147098f},
      {"Tanh", 0.5f, 0.46211716f},
      {"Sigmoid", 2.0f, 0.88079708f},
      {"Softplus", 100.0f, 100.0f},
      {"Softplus", 0.0f, 0.69314718f},
      {"Softsign", -3.0f, -0.75f},
      {"Relu", -0.5f, 0.0f},
      {"LeakyRelu", -2.0f, -0.02f},
      {"LeakyRelu", -2.0f, -0.5f, {{"alpha", 0.25f}}},
      {"Elu", -1.0f, -0.63212056f},
      {"Celu", -1.0f, -0.78693868f, {{"alpha", 2.0f}}},
      {"Selu", -1.0f, -1.1113307f},
      {"HardSigmoid", 1.0f, 0.7f},
      {"HardSwish", 1.0f, 0.66666667f},
      {"HardSwish", 4.0f, 4.0f},
      {"Mish", 1.0f, 0.86509839f},
      {"Gelu", 1.0f, 0.84134475f},
      {"Gelu", 1.0f, 0.84119199f, {{"approximate", std::string("tanh")}}},
      {"ThresholdedRelu", 1.0f, 0.0f},
  };
  for (const UnaryCase& c : cases) {
    const Tensor y = run_op(c.op, {Tensor::scalar(c.x)}, c.attributes);
    EXPECT_NEAR(y.data<float>()[0], c.y, 1e-6 * std::max(1.0f, std::abs(c.y))) << c.op << " of " << c.x;
  }
}

TEST(Unary, ComputesHalvesInFloatAndKeepsTheirType) {
  const Tensor y = run_op("Sqrt", {Tensor::vector({Half(2.0f), Half(9.0f)})});
  EXPECT_EQ(y, Tensor::vector({Half(std::sqrt(2.0f)), Half(3.0f)}));
  EXPECT_EQ(run_op("Relu", {Tensor::vector({BFloat16(-1.0f), BFloat16(2.0f)})}),
            Tensor::vector({BFloat16(0.0f), BFloat16(2.0f)}));
}

TEST(Unary, NanPassesThroughReluAndClip) {
  EXPECT_TRUE(std::isnan(run_op("Relu", {Tensor::scalar(kNan)}).data<float>()[0]));
  EXPECT_TRUE(std::isnan(
      run_op("Clip", {Tensor::scalar(kNan), Tensor::scalar(0.0f), Tensor::scalar(1.0f)}).data<float>()[0]));
}

TEST(Unary, IntegersWrapAround) {
  EXPECT_EQ(run_op("Abs", {Tensor::vector<int8_t>({-128, -5, 7})}), Tensor::vector<int8_t>({-128, 5, 7}));
  EXPECT_EQ(run_op("Neg", {Tensor::vector<int32_t>({INT32_MIN, 4})}),
            Tensor::vector<int32_t>({INT32_MIN, -4}));
  EXPECT_EQ(run_op("BitwiseNot", {Tensor::vector<uint8_t>({0, 0xF0})}),
            Tensor::vector<uint8_t>({0xFF, 0x0F}));
}

TEST(Unary, RefusesTypesThatTheOperatorDoesNotTake) {
  EXPECT_EQ(error_of([] { run_op("Exp", {Tensor::scalar<int32_t>(1)}); }),
            "Exp takes floats (f32, f64, f16, bf16), not i32");
  EXPECT_EQ(error_of([] { infer_op("Not", {Known(DType::Float32, Shape{1})}); }), "Not takes bool, not f32");
  EXPECT_THAT(error_of([] {
                run_op("Gelu", {Tensor::scalar(1.0f)}, {{"approximate", std::string("sigmoid")}});
              }),
              HasSubstr("approximate is \"sigmoid\""));
}

TEST(IsInf, LooksAtTheSignsAskedFor) {
  const Tensor x = Tensor::vector({-kInf, 1.0f, kInf, kNan});
  EXPECT_EQ(run_op("IsInf", {x}), Tensor::vector({true, false, true, false}));
  EXPECT_EQ(run_op("IsInf", {x}, {{"detect_negative", int64_t{0}}}),
            Tensor::vector({false, false, true, false}));
  EXPECT_EQ(run_op("IsNaN", {x}), Tensor::vector({false, false, false, true}));
}

TEST(Clip, TakesAbsentAndCrossingBounds) {
  const Tensor x = Tensor::vector({-3.0f, 0.5f, 9.0f});
  EXPECT_EQ(run_op("Clip", {x, std::nullopt, Tensor::scalar(6.0f)}), Tensor::vector({-3.0f, 0.5f, 6.0f}));
  EXPECT_EQ(run_op("Clip", {x}), x);
  EXPECT_EQ(run_op("Clip", {x, Tensor::scalar(2.0f), Tensor::scalar(1.0f)}),
            Tensor::vector({1.0f, 1.0f, 1.0f}));
  EXPECT_EQ(run_op("Clip", {Tensor::vector<uint8_t>({1, 200}), Tensor::scalar<uint8_t>(5)}),
            Tensor::vector<uint8_t>({5, 200}));
  EXPECT_THAT(error_of([&] {
                run_op("Clip", {x, Tensor::vector({1.0f, 2.0f})});
              }),
              HasSubstr("single numbers"));
}

TEST(Cast, ConvertsAndNamesTypesItDoesNotKnow) {
  const Tensor x = Tensor::vector({-1.7f, 0.0f, 2.9f});
  EXPECT_EQ(run_op("Cast", {x}, {{"to", int64_t{6}}}), Tensor::vector<int32_t>({-1, 0, 2}));
  EXPECT_EQ(run_op("Cast", {x}, {{"to", int64_t{9}}}), Tensor::vector({true, false, true}));
  EXPECT_EQ(run_op("Cast", {x}, {{"to", int64_t{10}}}).dtype(), DType::Float16);
  EXPECT_EQ(run_op("CastLike", {x, Tensor::scalar(BFloat16(0.0f))}).dtype(), DType::BFloat16);
  EXPECT_EQ(error_of([&] {
              run_op("Cast", {x}, {{"to", int64_t{8}}});
            }),
            "Cast: element type string is not supported");
  EXPECT_EQ(infer_op("Cast", {Known(DType::Float32, Shape{kUnknownDim, 3})}, {{"to", int64_t{3}}}),
            "i8[?,3]");
}

TEST(Dropout, IsIdentityWithAFullMask) {
  const Tensor x = Tensor::vector({1.0f, 2.0f});
  const auto outputs = run_all("Dropout", {x, Tensor::scalar(0.5f), Tensor::scalar(false)}, {}, 2);
  EXPECT_EQ(outputs[0], x);
  EXPECT_EQ(outputs[1], Tensor::vector({true, true}));
  EXPECT_THAT(error_of([&] {
                run_op("Dropout", {x, Tensor::scalar(0.5f), Tensor::scalar(true)});
              }),
              HasSubstr("training_mode is set"));
}

TEST(Binary, BroadcastsEveryWay) {
  const Tensor matrix = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(run_op("Add", {matrix, Tensor::vector({10.0f, 20.0f, 30.0f})}),
            Tensor::of<float>({2, 3}, {11, 22, 33, 14, 25, 36}));
  EXPECT_EQ(run_op("Sub", {Tensor::scalar(1.0f), matrix}),
            Tensor::of<float>({2, 3}, {0, -1, -2, -3, -4, -5}));
  EXPECT_EQ(run_op("Mul", {matrix, Tensor::of<float>({2, 1}, {1, 10})}),
            Tensor::of<float>({2, 3}, {1, 2, 3, 40, 50, 60}));
  EXPECT_EQ(run_op("Add", {Tensor::of<float>({2, 1}, {1, 2}), Tensor::of<float>({1, 2}, {10, 20})}),
            Tensor::of<float>({2, 2}, {11, 21, 12, 22}));
  EXPECT_EQ(run_op("Add", {Tensor(DType::Float32, {0, 3}), Tensor::scalar(1.0f)}).shape(), (Shape{0, 3}));
}

TEST(Binary, PlansMergeWhatIsOneWalk) {
  const Shape same[] = {{2, 3, 4}, {2, 3, 4}};
  EXPECT_THAT(plan_broadcast(same).extents, ElementsAre(24));
  const Shape channel[] = {{2, 3, 4, 5}, {3, 1, 1}};
  EXPECT_THAT(plan_broadcast(channel).extents, ElementsAre(2, 3, 20));
}

TEST(Binary, InfersPartlyKnownShapes) {
  const Known batch(DType::Float32, Shape{kUnknownDim, 3}), fixed(DType::Float32, Shape{4, 1});
  EXPECT_EQ(infer_op("Add", {batch, fixed}), "f32[4,3]");
  EXPECT_EQ(infer_op("Add", {batch, Known(DType::Float32, Shape{1, 3})}), "f32[?,3]");
  EXPECT_EQ(infer_op("Less", {batch, Known(DType::Float32, std::nullopt)}), "bool");
  EXPECT_EQ(error_of([&] {
              infer_op("Mul", {fixed, Known(DType::Float32, Shape{3, 1})});
            }),
            "Mul: shapes 4x1 and 3x1 do not broadcast");
  EXPECT_EQ(error_of([&] {
              infer_op("Mul", {fixed, Known(DType::Int8, Shape{1})});
            }),
            "Mul needs inputs of one element type, got f32 and i8; insert a Cast");
}

TEST(Binary, IntegersDivideAndTakeRemaindersBySpec) {
  const Tensor a = Tensor::vector<int32_t>({7, -7, INT32_MIN}), b = Tensor::vector<int32_t>({2, 2, -1});
  EXPECT_EQ(run_op("Div", {a, b}), Tensor::vector<int32_t>({3, -3, INT32_MIN}));
  EXPECT_EQ(run_op("Mod", {a, b}), Tensor::vector<int32_t>({1, 1, 0}));
  EXPECT_EQ(run_op("Mod", {a, b}, {{"fmod", int64_t{1}}}), Tensor::vector<int32_t>({1, -1, 0}));
  EXPECT_EQ(run_op("Mod", {Tensor::scalar(-4.5f), Tensor::scalar(2.0f)}, {{"fmod", int64_t{1}}}),
            Tensor::scalar(-0.5f));
  EXPECT_EQ(error_of([&] {
              run_op("Div", {a, Tensor::scalar<int32_t>(0)});
            }),
            "Div: division of an integer by zero");
  EXPECT_EQ(error_of([&] {
              run_op("Mod", {a, Tensor::scalar<int32_t>(0)});
            }),
            "Mod: remainder of an integer by zero");
}

TEST(Binary, PowKeepsTheBasesType) {
  EXPECT_EQ(run_op("Pow", {Tensor::vector({2.0f, 9.0f}), Tensor::vector<int64_t>({3, 2})}),
            Tensor::vector({8.0f, 81.0f}));
  EXPECT_EQ(run_op("Pow", {Tensor::vector<int32_t>({2, -3, 2}), Tensor::vector<int32_t>({10, 3, -1})}),
            Tensor::vector<int32_t>({1024, -27, 0}));
  EXPECT_EQ(run_op("Pow", {Tensor::scalar<int32_t>(4), Tensor::scalar(0.5f)}), Tensor::scalar<int32_t>(2));
}

TEST(Binary, ShiftsGoToZeroAtTheWidth) {
  const ir::Attributes left = {{"direction", std::string("LEFT")}},
                       right = {{"direction", std::string("RIGHT")}};
  EXPECT_EQ(run_op("BitShift", {Tensor::vector<uint8_t>({0x81, 1}), Tensor::vector<uint8_t>({1, 8})}, left),
            Tensor::vector<uint8_t>({2, 0}));
  EXPECT_EQ(run_op("BitShift", {Tensor::vector<int8_t>({-8, -8}), Tensor::vector<int8_t>({1, 9})}, right),
            Tensor::vector<int8_t>({-4, -1}));
  EXPECT_THAT(error_of([] {
                run_op("BitShift", {Tensor::scalar<uint8_t>(1), Tensor::scalar<uint8_t>(1)},
                       {{"direction", std::string("UP")}});
              }),
              HasSubstr("direction is \"UP\""));
}

TEST(Variadic, FoldsFromTheLeftAndLetsNanWin) {
  const Tensor x = Tensor::vector({1.0f, kNan}), y = Tensor::vector({3.0f, 2.0f}), z = Tensor::scalar(2.0f);
  const Tensor largest = run_op("Max", {x, y, z});
  EXPECT_EQ(largest.data<float>()[0], 3.0f);
  EXPECT_TRUE(std::isnan(largest.data<float>()[1]));
  EXPECT_TRUE(std::isnan(run_op("Min", {y, x}).data<float>()[1]));
  EXPECT_EQ(run_op("Mean", {y, z, z}).data<float>()[1], 2.0f);
  EXPECT_EQ(run_op("Max", {Tensor::vector<uint8_t>({1, 250}), Tensor::vector<uint8_t>({7, 3})}),
            Tensor::vector<uint8_t>({7, 250}));
}

TEST(Where, ChoosesOfAnyTypeWithBroadcasting) {
  EXPECT_EQ(run_op("Where", {Tensor::vector({true, false}), Tensor::of<int64_t>({2, 1}, {1, 2}),
                             Tensor::scalar<int64_t>(9)}),
            Tensor::of<int64_t>({2, 2}, {1, 9, 2, 9}));
}

TEST(PRelu, SlopeBroadcastsOneWay) {
  EXPECT_EQ(run_op("PRelu", {Tensor::of<float>({2, 2}, {-1, 2, -3, 4}), Tensor::vector({0.5f, 9.0f})}),
            Tensor::of<float>({2, 2}, {-0.5f, 2, -1.5f, 4}));
  EXPECT_EQ(error_of([] {
              run_op("PRelu", {Tensor::scalar(1.0f), Tensor::vector({1.0f, 2.0f})});
            }),
            "PRelu: slope of shape 2 does not broadcast to scalar");
}

TEST(Activations, AreTheOperatorsFormulas) {
  for (const float x : {-3.0f, -0.25f, 0.0f, 0.75f, 5.0f}) {
    for (const char* op : {"Relu", "Sigmoid", "HardSwish", "Tanh", "Gelu", "Softplus", "Mish"}) {
      EXPECT_EQ(run_op(op, {Tensor::scalar(x)}).data<float>()[0], activate(*activation_named(op), x, 0, 0))
          << op;
    }
  }
}

}  // namespace
}  // namespace kvant::ops
