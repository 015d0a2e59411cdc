// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "formats/model.h"

namespace kvant::formats {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::string refusal(const std::string& op, const Tensor& weight) {
  ir::Graph graph;
  const ir::ValueId x = graph.add_input("x", {weight.dtype(), weight.shape()});
  graph.add_output(graph.add(op, "n", {x, graph.add_constant("w", weight)}));
  try {
    require_finite_weights(graph);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(FiniteWeights, NamesTensorElementAndNode) {
  EXPECT_EQ(refusal("Mul", Tensor::vector<float>({1, 2, kNan})),
            "weight 'w' of Mul 'n' holds nan at element 2; the model is damaged or its training diverged");
  EXPECT_EQ(refusal("Mul", Tensor::vector<float>({1, -kInfinity})),
            "weight 'w' of Mul 'n' holds -inf at element 1; the model is damaged or its training diverged");
}

TEST(FiniteWeights, EveryFloatType) {
  for (const DType dtype : {DType::Float32, DType::Float64, DType::Float16, DType::BFloat16}) {
    EXPECT_NE(refusal("Mul", Tensor::vector<float>({1, kNan}).cast(dtype)), "") << name(dtype);
    EXPECT_NE(refusal("Mul", Tensor::vector<float>({kInfinity}).cast(dtype)), "") << name(dtype);
    EXPECT_EQ(refusal("Mul", Tensor::vector<float>({1, -2}).cast(dtype)), "") << name(dtype);
  }
  EXPECT_EQ(refusal("Mul", Tensor::vector<int64_t>({std::numeric_limits<int64_t>::max()})), "");
}

TEST(FiniteWeights, InfinityIsAMaskOrABoundForSome) {
  for (const char* op : {"Add", "Max", "Min", "Sub", "Less", "Greater"}) {
    EXPECT_EQ(refusal(op, Tensor::vector<float>({0, -kInfinity})), "") << op;
    EXPECT_NE(refusal(op, Tensor::vector<float>({0, kNan})), "") << op;
  }
}

TEST(FiniteWeights, UnusedConstantsDoNotMatter) {
  ir::Graph graph;
  graph.add_output(graph.add("Relu", "n", {graph.add_input("x", {})}));
  graph.add_constant("w", Tensor::scalar(kNan));
  EXPECT_NO_THROW(require_finite_weights(graph));
}

}  // namespace
}  // namespace kvant::formats
