// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/run_op.h"

namespace kvant::ops {
namespace {

using ::testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();
const ir::Attributes kDrop = {{"keepdims", int64_t{0}}};

Tensor cube() { return Tensor::of<float>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}); }
Tensor axes(std::initializer_list<int64_t> values) { return Tensor::vector<int64_t>(values); }

struct ReduceCase {
  const char* op;
  float over_rows[4];  // of cube() over axis 1
};

TEST(Reduce, GivesTheDefinitionsValues) {
  const ReduceCase cases[] = {
      {"ReduceSum", {4, 6, 12, 14}},
      {"ReduceMean", {2, 3, 6, 7}},
      {"ReduceMax", {3, 4, 7, 8}},
      {"ReduceMin", {1, 2, 5, 6}},
      {"ReduceProd", {3, 8, 35, 48}},
      {"ReduceL1", {4, 6, 12, 14}},
      {"ReduceL2", {3.1622777f, 4.4721360f, 8.6023253f, 10.0f}},
      {"ReduceSumSquare", {10, 20, 74, 100}},
      {"ReduceLogSum", {1.3862944f, 1.7917595f, 2.4849066f, 2.6390573f}},
      {"ReduceLogSumExp", {3.1269280f, 4.1269280f, 7.1269280f, 8.1269280f}},
  };
  for (const ReduceCase& c : cases) {
    const Tensor kept = run_op(c.op, {cube(), axes({1})}),
                 dropped = run_op(c.op, {cube(), axes({-2})}, kDrop);
    EXPECT_EQ(kept.shape(), (Shape{2, 1, 2})) << c.op;
    EXPECT_EQ(dropped.shape(), (Shape{2, 2})) << c.op;
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(kept.data<float>()[i], c.over_rows[i], 1e-6 * c.over_rows[i]) << c.op;
      EXPECT_EQ(kept.data<float>()[i], dropped.data<float>()[i]) << c.op;
    }
  }
}

TEST(Reduce, TakesAllAxesOrNoneWhenTheyAreEmpty) {
  EXPECT_EQ(run_op("ReduceSum", {cube()}, kDrop), Tensor::scalar(36.0f));
  EXPECT_EQ(run_op("ReduceSum", {cube(), axes({0, 2})}, kDrop), Tensor::vector({14.0f, 22.0f}));
  const ir::Attributes noop = {{"noop_with_empty_axes", int64_t{1}}};
  EXPECT_EQ(run_op("ReduceSum", {cube(), axes({})}, noop), cube());
  EXPECT_EQ(run_op("ReduceSumSquare", {Tensor::vector({3.0f})}, noop), Tensor::vector({9.0f}));
}

TEST(Reduce, IntegersTruncateAndBoolsAreOrdered) {
  EXPECT_EQ(run_op("ReduceMean", {Tensor::vector<int32_t>({-3, -4})}, kDrop), Tensor::scalar<int32_t>(-3));
  EXPECT_EQ(run_op("ReduceMax", {Tensor::vector<uint8_t>({3, 200, 7})}, kDrop), Tensor::scalar<uint8_t>(200));
  EXPECT_EQ(run_op("ReduceMin", {Tensor::vector<int8_t>({3, -100})}, kDrop), Tensor::scalar<int8_t>(-100));
  EXPECT_EQ(run_op("ReduceMax", {Tensor::vector({false, true})}, kDrop), Tensor::scalar(true));
  EXPECT_EQ(run_op("ReduceMin", {Tensor::vector({false, true})}, kDrop), Tensor::scalar(false));
}

TEST(Reduce, OfNothingIsTheNeutralElement) {
  const Tensor none(DType::Float32, {2, 0});
  const Tensor over = axes({1});
  EXPECT_EQ(run_op("ReduceSum", {none, over}, kDrop), Tensor::vector({0.0f, 0.0f}));
  EXPECT_EQ(run_op("ReduceProd", {none, over}, kDrop), Tensor::vector({1.0f, 1.0f}));
  EXPECT_EQ(run_op("ReduceMax", {none, over}, kDrop), Tensor::vector({-kInf, -kInf}));
  EXPECT_EQ(run_op("ReduceLogSumExp", {none, over}, kDrop), Tensor::vector({-kInf, -kInf}));
}

TEST(Reduce, SumsInDoubleAndDoesNotOverflowExponentials) {
  Tensor many = Tensor::full({1 << 20}, 0.1f);
  many.mutable_data<float>()[0] = 1e8f;
  EXPECT_FLOAT_EQ(run_op("ReduceSum", {many}, kDrop).data<float>()[0], 100104857.5f);
  EXPECT_FLOAT_EQ(run_op("ReduceLogSumExp", {Tensor::vector({1000.0f, 1000.0f})}, kDrop).data<float>()[0],
                  1000.6931f);
  EXPECT_EQ(run_op("ReduceLogSumExp", {Tensor::vector({-kInf, 2.0f})}, kDrop), Tensor::scalar(2.0f));
}

TEST(Reduce, InfersWithUnknownDimensionsAndAxes) {
  const Known x(DType::Float32, Shape{kUnknownDim, 3, 5}), unknown_axes(DType::Int64, Shape{1});
  EXPECT_EQ(infer_op("ReduceMean", {x, Known(axes({-1}))}), "f32[?,3,1]");
  EXPECT_EQ(infer_op("ReduceMean", {x, Known(axes({-1}))}, kDrop), "f32[?,3]");
  EXPECT_EQ(infer_op("ReduceMean", {x, unknown_axes}), "f32[?,?,?]");
  EXPECT_EQ(infer_op("ReduceMean", {x, unknown_axes}, kDrop), "f32");
  EXPECT_EQ(error_of([&] {
              infer_op("ReduceMean", {x, Known(axes({3}))});
            }),
            "ReduceMean: axis 3 is outside a tensor of 3 dimensions");
  EXPECT_EQ(error_of([&] {
              infer_op("ReduceMean", {x, Known(axes({1, -2}))});
            }),
            "ReduceMean: axis 1 is given twice");
  EXPECT_THAT(error_of([&] {
                run_op("ReduceMean", {cube(), Tensor::vector({1.0f})});
              }),
              HasSubstr("input axes must hold i64 or i32, not f32"));
}

TEST(ArgMax, PicksTheFirstOrTheLast) {
  const Tensor x = Tensor::of<float>({2, 3}, {5, 1, 5, 2, 2, 0});
  EXPECT_EQ(run_op("ArgMax", {x}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}}), axes({0, 0}));
  EXPECT_EQ(run_op("ArgMax", {x},
                   {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}, {"select_last_index", int64_t{1}}}),
            axes({2, 1}));
  EXPECT_EQ(run_op("ArgMin", {x}), Tensor::of<int64_t>({1, 3}, {1, 0, 1}));
  EXPECT_EQ(infer_op("ArgMax", {Known(DType::UInt8, Shape{kUnknownDim, 10})}, {{"axis", int64_t{1}}}),
            "i64[?,1]");
  EXPECT_THAT(error_of([] { run_op("ArgMax", {Tensor(DType::Float32, {0})}); }), HasSubstr("no elements"));
}

TEST(CumSum, RunsBothWaysWithOrWithoutItself) {
  const Tensor x = Tensor::of<int32_t>({2, 3}, {1, 2, 3, 4, 5, 6}), axis = Tensor::scalar<int64_t>(1);
  const ir::Attributes back = {{"exclusive", int64_t{1}}, {"reverse", int64_t{1}}};
  EXPECT_EQ(run_op("CumSum", {x, axis}), Tensor::of<int32_t>({2, 3}, {1, 3, 6, 4, 9, 15}));
  EXPECT_EQ(run_op("CumSum", {x, axis}, back), Tensor::of<int32_t>({2, 3}, {5, 3, 0, 11, 6, 0}));
  EXPECT_EQ(run_op("CumSum", {x, Tensor::scalar<int32_t>(-2)}),
            Tensor::of<int32_t>({2, 3}, {1, 2, 3, 5, 7, 9}));
}

}  // namespace
}  // namespace kvant::ops
