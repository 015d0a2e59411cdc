// SPDX-License-Identifier: Apache-2.0
// Gemm, MatMul and their integer forms.
#include "ops/op_testing.h"
#include "ops/panel_product.h"

namespace kvant::ops {
namespace {

using ::testing::HasSubstr;

const Tensor kA = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
const Tensor kB = Tensor::of<float>({3, 2}, {1, 0, 0, 1, 1, 1});

TEST(PanelProduct, RowsBeyondABlockAndPartialPanels) {
  // 5 rows and 9 columns are no multiple of any block.
  std::vector<double> a(5 * 4), b(4 * 9);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>(i % 7) - 3;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<double>(i % 5) - 2;
  const auto c = multiply({a.data(), 4, 1}, {b.data(), 9, 1}, 5, 9, 4);
  for (size_t i = 0; i < 5; ++i)
    for (size_t j = 0; j < 9; ++j) {
      double sum = 0;
      for (size_t k = 0; k < 4; ++k) sum += a[i * 4 + k] * b[k * 9 + j];
      EXPECT_EQ(c[i * 9 + j], sum) << i << "," << j;
    }
}

TEST(MatMul, Matrices) { expect_near(run_op("MatMul", {}, {kA, kB})[0], {2, 2}, {4, 5, 10, 11}); }

TEST(MatMul, VectorsLoseTheirDimension) {
  const Tensor row = Tensor::vector<float>({1, 2}), column = Tensor::vector<float>({1, 1, 1});
  expect_near(run_op("MatMul", {}, {row, kA})[0], {3}, {9, 12, 15});
  expect_near(run_op("MatMul", {}, {kA, column})[0], {2}, {6, 15});
  expect_near(run_op("MatMul", {}, {column, column})[0], {}, {3});
}

TEST(MatMul, BatchesBroadcast) {
  const Tensor a = ramp({2, 1, 1, 2}), b = ramp({3, 2, 1});
  expect_near(run_op("MatMul", {}, {a, b})[0], {2, 3, 1, 1}, {1, 3, 5, 3, 13, 23});
  const Tensor once = ramp({2, 1});
  expect_near(run_op("MatMul", {}, {a, once})[0], {2, 1, 1, 1}, {1, 3});
}

TEST(MatMul, Integers) {
  const Tensor a = Tensor::of<int32_t>({1, 2}, {7, -2}), b = Tensor::of<int32_t>({2, 1}, {3, 5});
  EXPECT_EQ(run_op("MatMul", {}, {a, b})[0], Tensor::of<int32_t>({1, 1}, {11}));
}

TEST(MatMul, Refuses) {
  EXPECT_EQ(refusal("MatMul", {}, {kA, kA}),
            "MatMul: shapes 2x3 and 2x3 do not fit: 3 columns against 2 rows");
  EXPECT_THAT(refusal("MatMul", {}, {kA, Tensor::scalar(1.0f)}), HasSubstr("an operand is a scalar"));
  EXPECT_THAT(refusal("MatMul", {}, {ramp({2, 1, 1}), ramp({3, 1, 1})}), HasSubstr("do not broadcast"));
}

TEST(Gemm, AlphaBetaAndBroadcastAddend) {
  const Tensor c = Tensor::vector<float>({1, 2});
  expect_near(run_op("Gemm", {{"alpha", 2.0f}, {"beta", 0.5f}}, {kA, kB, c})[0], {2, 2}, {8.5, 11, 20.5, 23});
  expect_near(run_op("Gemm", {}, {kA, kB, Tensor::of<float>({2, 1}, {10, 20})})[0], {2, 2}, {14, 15, 30, 31});
  expect_near(run_op("Gemm", {}, {kA, kB, Tensor::scalar(1.0f)})[0], {2, 2}, {5, 6, 11, 12});
}

TEST(Gemm, Transposes) {
  expect_near(run_op("Gemm", {{"transA", int64_t{1}}, {"transB", int64_t{1}}}, {kA, kB})[0], {3, 3},
              {1, 4, 5, 2, 5, 7, 3, 6, 9});
  const ir::Type a{DType::Float32, Shape{kUnknownDim, 3}}, b{DType::Float32, Shape{5, 3}};
  EXPECT_EQ(infer_op("Gemm", {{"transB", int64_t{1}}}, {a, b})[0].shape, (Shape{kUnknownDim, 5}));
}

TEST(Gemm, Refuses) {
  EXPECT_THAT(refusal("Gemm", {}, {kA, kA}), HasSubstr("the inner sizes 3 and 2 differ"));
  EXPECT_THAT(refusal("Gemm", {}, {kA, ramp({3})}), HasSubstr("both must be matrices"));
  EXPECT_THAT(refusal("Gemm", {}, {kA, kB, ramp({4, 2})}), HasSubstr("do not broadcast"));
  EXPECT_THAT(refusal("Gemm", {}, {ramp({1, 3}), kB, ramp({4, 2})}),
              HasSubstr("C is 4x2; it does not broadcast to 1x2"));
}

TEST(MatMulInteger, ZeroPointsOfRowsAndColumns) {
  const Tensor a = Tensor::of<uint8_t>({2, 2}, {1, 2, 3, 4}), b = Tensor::of<int8_t>({2, 2}, {1, 2, 3, 4});
  const Tensor rows = Tensor::vector<uint8_t>({1, 3}), columns = Tensor::vector<int8_t>({1, 2});
  EXPECT_EQ(run_op("MatMulInteger", {}, {a, b})[0], Tensor::of<int32_t>({2, 2}, {7, 10, 15, 22}));
  EXPECT_EQ(run_op("MatMulInteger", {}, {a, b, rows, columns})[0], Tensor::of<int32_t>({2, 2}, {2, 2, 2, 2}));
  EXPECT_THAT(refusal("MatMulInteger", {}, {a, b, Tensor::vector<uint8_t>({1, 2, 3})}),
              HasSubstr("a_zero_point is 3"));
  EXPECT_THAT(refusal("MatMulInteger", {}, {kA, b}), HasSubstr("a holds f32; i8 or u8 is needed"));
}

TEST(QLinearMatMul, Requantizes) {
  const Tensor a = Tensor::of<uint8_t>({1, 2}, {10, 12}), b = Tensor::of<int8_t>({2, 1}, {4, -2});
  const auto y = run_op("QLinearMatMul", {},
                        {a, Tensor::scalar(0.5f), Tensor::scalar<uint8_t>(8), b, Tensor::scalar(1.0f),
                         Tensor::scalar<int8_t>(0), Tensor::scalar(0.25f), Tensor::scalar<uint8_t>(100)});
  EXPECT_EQ(y[0], Tensor::of<uint8_t>({1, 1}, {100}));  // (2 * 4 - 4 * 2) = 0
}

}  // namespace
}  // namespace kvant::ops
