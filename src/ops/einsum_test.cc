// SPDX-License-Identifier: Apache-2.0
#include "ops/op_testing.h"

namespace kvant::ops {
namespace {

using ::testing::HasSubstr;

const Tensor kMatrix = Tensor::of<float>({2, 2}, {1, 2, 3, 4});

ir::Attributes equation(const std::string& text) { return {{"equation", text}}; }

TEST(Einsum, ProductsDiagonalsAndSums) {
  expect_near(run_op("Einsum", equation("ij,jk->ik"), {kMatrix, kMatrix})[0], {2, 2}, {7, 10, 15, 22});
  expect_near(run_op("Einsum", equation("ij, jk"), {kMatrix, kMatrix})[0], {2, 2}, {7, 10, 15, 22});
  expect_near(run_op("Einsum", equation("ii"), {kMatrix})[0], {}, {5});
  expect_near(run_op("Einsum", equation("...i->..."), {kMatrix})[0], {2}, {3, 7});
  expect_near(run_op("Einsum", equation("ba"), {kMatrix})[0], {2, 2}, {1, 3, 2, 4});
}

TEST(Einsum, Refuses) {
  EXPECT_THAT(refusal("Einsum", equation("ij"), {kMatrix, kMatrix}), HasSubstr("1 subscripts for 2 inputs"));
  EXPECT_THAT(refusal("Einsum", equation("i"), {kMatrix}), HasSubstr("subscript 'i' does not fit"));
  EXPECT_THAT(refusal("Einsum", equation("i?"), {kMatrix}), HasSubstr("not a subscript"));
  EXPECT_THAT(refusal("Einsum", equation("ij->k"), {kMatrix}), HasSubstr("'k' is in no input"));
  EXPECT_THAT(refusal("Einsum", equation("ij,jk->ik"), {kMatrix, ramp({3, 1})}),
              HasSubstr("label 'j' is 2 and 3"));
}

}  // namespace
}  // namespace kvant::ops
