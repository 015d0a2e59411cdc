// SPDX-License-Identifier: Apache-2.0
// Shapes and data movement: values for every width of element, indices out of range, unknown dimensions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "ops/run_op.h"

namespace kvant::ops {
namespace {

using ::testing::HasSubstr;

Tensor ints(std::initializer_list<int64_t> values) { return Tensor::vector<int64_t>(values); }
// 0, 1, 2, ... of a shape.
Tensor counting(Shape shape, DType dtype = DType::Float32) {
  std::vector<int64_t> values(static_cast<size_t>(element_count(shape)));
  std::iota(values.begin(), values.end(), int64_t{0});
  return Tensor::of<int64_t>(std::move(shape), values).cast(dtype);
}
ir::Attributes with(const char* name, int64_t value) { return {{name, value}}; }
ir::Attributes with_text(const char* name, const char* value) { return {{name, std::string(value)}}; }

constexpr int64_t kFar = std::numeric_limits<int64_t>::max();
const Known kBatch(DType::Float32, Shape{kUnknownDim, 8, 4, 4});
const Known kNoShape(DType::Float32, std::nullopt);

TEST(Reshape, ResolvesZeroAndMinusOne) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_EQ(run_op("Reshape", {x, ints({0, -1})}).shape(), (Shape{2, 12}));
  EXPECT_EQ(run_op("Reshape", {x, ints({-1})}).shape(), (Shape{24}));
  EXPECT_EQ(run_op("Reshape", {Tensor(DType::Float32, {0, 3}), ints({3, 0})}, with("allowzero", 1)).shape(),
            (Shape{3, 0}));
  EXPECT_EQ(error_of([&] { run_op("Reshape", {x, ints({5, 5})}); }), "Reshape: 2x3x4 does not fit 5x5");
  EXPECT_EQ(error_of([&] {
              run_op("Reshape", {x, ints({5, -1})});
            }),
            "Reshape: 2x3x4 cannot be divided into 5x?");
  EXPECT_THAT(error_of([&] { run_op("Reshape", {x, ints({-1, -1})}); }), HasSubstr("more than one -1"));
  EXPECT_THAT(error_of([&] {
                run_op("Reshape", {x, ints({-3})});
              }),
              HasSubstr("dimension 0 of the new shape is -3"));
  EXPECT_NE(error_of([&] { run_op("Reshape", {x, ints({kFar, kFar})}); }), "");
}

TEST(Reshape, InfersWithUnknownBatch) {
  EXPECT_EQ(infer_op("Reshape", {kBatch, Known(ints({0, -1}))}), "f32[?,128]");
  EXPECT_EQ(infer_op("Reshape", {kBatch, Known(ints({-1, 128}))}), "f32[?,128]");
  EXPECT_EQ(infer_op("Reshape", {kBatch, Known(DType::Int64, Shape{2})}), "f32[?,?]");
  EXPECT_EQ(infer_op("Reshape", {kBatch, Known(DType::Int64, Shape{kUnknownDim})}), "f32");
  EXPECT_EQ(infer_op("Reshape", {kNoShape, Known(ints({0, 5, -1}))}), "f32[?,5,?]");
}

TEST(Rearranging, KeepsElementsUnderNewShapes) {
  const Tensor x = counting({1, 2, 3, 1});
  EXPECT_EQ(run_op("Flatten", {x}, with("axis", -2)).shape(), (Shape{2, 3}));
  EXPECT_EQ(run_op("Flatten", {x}, with("axis", 0)).shape(), (Shape{1, 6}));
  EXPECT_EQ(run_op("Squeeze", {x}).shape(), (Shape{2, 3}));
  EXPECT_EQ(run_op("Squeeze", {x, ints({-1})}).shape(), (Shape{1, 2, 3}));
  EXPECT_EQ(run_op("Unsqueeze", {x, ints({-1, 0})}).shape(), (Shape{1, 1, 2, 3, 1, 1}));
  EXPECT_EQ(error_of([&] { run_op("Squeeze", {x, ints({1})}); }), "Squeeze: dimension 1 of 1x2x3x1 is not 1");
  EXPECT_EQ(error_of([&] { run_op("Flatten", {x}, with("axis", 5)); }),
            "Flatten: axis 5 is outside a tensor of 4 dimensions");
  EXPECT_EQ(infer_op("Flatten", {kBatch}), "f32[?,128]");
  EXPECT_EQ(infer_op("Squeeze", {kBatch}), "f32");
  EXPECT_EQ(infer_op("Unsqueeze", {kBatch, Known(ints({1}))}), "f32[?,1,8,4,4]");
}

TEST(Transpose, PermutesAnyType) {
  for (const DType dtype : {DType::Int8, DType::Float16, DType::Float32, DType::Int64}) {
    const Tensor y = run_op("Transpose", {counting({2, 3}, dtype)});
    EXPECT_EQ(y, Tensor::of<int64_t>({3, 2}, {0, 3, 1, 4, 2, 5}).cast(dtype));
  }
  EXPECT_EQ(infer_op("Transpose", {kBatch}, {{"perm", std::vector<int64_t>{0, 2, 3, 1}}}), "f32[?,4,4,8]");
  EXPECT_THAT(error_of([] {
                run_op("Transpose", {counting({2, 3})}, {{"perm", std::vector<int64_t>{0, 0}}});
              }),
              HasSubstr("not a permutation"));
}

TEST(ConcatAndSplit, AreInverse) {
  for (const DType dtype : {DType::UInt8, DType::BFloat16, DType::Float64}) {
    const Tensor x = counting({2, 5, 3}, dtype);
    const auto parts = run_all("Split", {x, ints({1, 0, 4})}, with("axis", 1), 3);
    EXPECT_EQ(parts[2].shape(), (Shape{2, 4, 3}));
    EXPECT_EQ(run_op("Concat", {parts[0], parts[1], parts[2]}, with("axis", -2)), x);
  }
  EXPECT_EQ(run_all("Split", {counting({5})}, {}, 2)[1], Tensor::vector({3.0f, 4.0f}));
  EXPECT_EQ(error_of([] {
              run_all("Split", {counting({5}), ints({2, 2})}, {}, 2);
            }),
            "Split: the sizes leave 1 of 5 over");
  EXPECT_NE(error_of([] { run_all("Split", {counting({5}), ints({6, -1})}, {}, 2); }), "");
  EXPECT_EQ(infer_op("Concat", {kBatch, kBatch}, with("axis", 1)), "f32[?,16,4,4]");
  EXPECT_EQ(infer_op("Concat", {kBatch, kBatch}, with("axis", 0)), "f32[?,8,4,4]");
  EXPECT_EQ(error_of([] {
              run_op("Concat", {counting({2, 3}), counting({3, 3})}, with("axis", 1));
            }),
            "Concat: shapes 2x3 and 3x3 do not fit along axis 1");
}

TEST(Slice, FollowsNumpy) {
  const Tensor x = counting({2, 4});
  EXPECT_EQ(run_op("Slice", {x, ints({1}), ints({kFar}), ints({1}), ints({2})}),
            Tensor::of<float>({2, 2}, {1, 3, 5, 7}));
  EXPECT_EQ(run_op("Slice", {x, ints({-1}), ints({-kFar}), ints({-1}), ints({-1})}),
            Tensor::of<float>({2, 4}, {3, 2, 1, 0, 7, 6, 5, 4}));
  EXPECT_EQ(run_op("Slice", {x, ints({0, 1}), ints({1, -1})}), Tensor::of<float>({1, 2}, {1, 2}));
  EXPECT_EQ(run_op("Slice", {x, ints({3}), ints({1}), ints({1})}).shape(), (Shape{2, 0}));
  EXPECT_EQ(run_op("Slice", {x, ints({kFar}), ints({-kFar - 1}), ints({1}), ints({-kFar - 1})}),
            Tensor::of<float>({2, 1}, {3, 7}));
  EXPECT_EQ(error_of([&] {
              run_op("Slice", {x, ints({0}), ints({1}), ints({0}), ints({0})});
            }),
            "Slice: a step is 0");
  EXPECT_EQ(error_of([&] {
              run_op("Slice", {x, ints({0}), ints({1}), ints({2})});
            }),
            "Slice: axis 2 is outside a tensor of 2 dimensions");
  EXPECT_EQ(infer_op("Slice", {kBatch, Known(ints({2})), Known(ints({100})), Known(ints({1}))}),
            "f32[?,6,4,4]");
  EXPECT_EQ(infer_op("Slice", {kBatch, Known(ints({0})), Known(ints({1})), Known(ints({0}))}),
            "f32[?,8,4,4]");
}

TEST(Gather, PicksRowsAndNamesBadIndices) {
  const Tensor x = counting({3, 2}, DType::Int16);
  EXPECT_EQ(run_op("Gather", {x, ints({2, -3})}), Tensor::of<int16_t>({2, 2}, {4, 5, 0, 1}));
  EXPECT_EQ(run_op("Gather", {x, Tensor::scalar<int32_t>(1)}, with("axis", 1)),
            Tensor::vector<int16_t>({1, 3, 5}));
  EXPECT_EQ(error_of([&] {
              run_op("Gather", {x, ints({7})});
            }),
            "Gather: index 7 is outside a dimension of 3");
  EXPECT_EQ(error_of([&] {
              run_op("Gather", {x, Tensor::scalar(1.0f)});
            }),
            "Gather takes indices of i64 or i32, not f32");
  EXPECT_EQ(infer_op("Gather", {kBatch, Known(DType::Int64, Shape{5, kUnknownDim})}, with("axis", 1)),
            "f32[?,5,?,4,4]");
}

TEST(Gather, ByElementAndByTuple) {
  const Tensor x = counting({2, 2});
  EXPECT_EQ(run_op("GatherElements", {x, Tensor::of<int64_t>({2, 1}, {-1, 0})}, with("axis", 1)),
            Tensor::of<float>({2, 1}, {1, 2}));
  EXPECT_EQ(run_op("GatherND", {x, Tensor::of<int64_t>({2, 2}, {0, 1, 1, 0})}), Tensor::vector({1.0f, 2.0f}));
  EXPECT_EQ(run_op("GatherND", {x, Tensor::of<int64_t>({1, 1}, {1})}), Tensor::of<float>({1, 2}, {2, 3}));
  EXPECT_EQ(run_op("GatherND", {x, Tensor::of<int64_t>({2, 1}, {1, 0})}, with("batch_dims", 1)),
            Tensor::vector({1.0f, 2.0f}));
  EXPECT_EQ(error_of([&] {
              run_op("GatherND", {x, Tensor::of<int64_t>({1, 2}, {0, 2})});
            }),
            "GatherND: index 2 is outside a dimension of 2");
  EXPECT_THAT(error_of([&] {
                run_op("GatherND", {x, Tensor::of<int64_t>({1, 3}, {0, 0, 0})});
              }),
              HasSubstr("index tuples of 3"));
  EXPECT_THAT(error_of([&] {
                run_op("GatherElements", {x, Tensor::of<int64_t>({3, 1}, {0, 0, 0})}, with("axis", 1));
              }),
              HasSubstr("do not fit a tensor of 2x2"));
}

TEST(Scatter, ReplacesOrCombines) {
  const Tensor x = counting({2, 2});
  const Tensor indices = Tensor::of<int64_t>({1, 2}, {1, -1}), updates = Tensor::of<float>({1, 2}, {10, 20});
  EXPECT_EQ(run_op("ScatterElements", {x, indices, updates}), Tensor::of<float>({2, 2}, {0, 1, 10, 20}));
  EXPECT_EQ(run_op("ScatterElements", {x, indices, updates}, with_text("reduction", "add")),
            Tensor::of<float>({2, 2}, {0, 1, 12, 23}));
  EXPECT_EQ(
      run_op("ScatterND", {x, Tensor::of<int64_t>({1, 1}, {0}), updates}, with_text("reduction", "max")),
      Tensor::of<float>({2, 2}, {10, 20, 2, 3}));
  EXPECT_EQ(x, counting({2, 2}));
  EXPECT_EQ(error_of([&] {
              run_op("ScatterND", {x, Tensor::of<int64_t>({1, 1}, {5}), updates});
            }),
            "ScatterND: index 5 is outside a dimension of 2");
  EXPECT_EQ(error_of([&] {
              run_op("ScatterND", {x, Tensor::of<int64_t>({1, 1}, {0}), Tensor::scalar(1.0f)});
            }),
            "ScatterND: updates are scalar, not 1x2");
  EXPECT_THAT(error_of([&] {
                run_op("ScatterElements", {x, indices, updates}, with_text("reduction", "avg"));
              }),
              HasSubstr("reduction is \"avg\""));
}

TEST(Growing, ExpandsAndTiles) {
  EXPECT_EQ(run_op("Expand", {Tensor::of<uint8_t>({2, 1}, {1, 2}), ints({3})}),
            Tensor::of<uint8_t>({2, 3}, {1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(run_op("Tile", {counting({1, 2}), ints({2, 2})}),
            Tensor::of<float>({2, 4}, {0, 1, 0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(infer_op("Expand", {kBatch, Known(ints({1, 1, 4, 1}))}), "f32[?,8,4,4]");
  EXPECT_EQ(infer_op("Tile", {kBatch, Known(ints({1, 2, 1, 1}))}), "f32[?,16,4,4]");
  EXPECT_EQ(error_of([] {
              run_op("Expand", {counting({1}), ints({1 << 20, 1 << 16})});
            }),
            "Expand: the result would be 1048576x65536, more than 2^31 elements");
  EXPECT_EQ(error_of([] { run_op("ConstantOfShape", {ints({-4})}); }),
            "ConstantOfShape: the result's shape -4 has a negative dimension");
  EXPECT_EQ(error_of([] { run_op("Tile", {counting({2}), ints({1, 1})}); }), "Tile: 2 repeats for 2");
}

TEST(Pad, EveryModeAndNegativePads) {
  const Tensor x = counting({1, 3}), pads = ints({0, 2, 0, 1});
  EXPECT_EQ(run_op("Pad", {x, pads, Tensor::scalar(9.0f)}), Tensor::of<float>({1, 6}, {9, 9, 0, 1, 2, 9}));
  EXPECT_EQ(run_op("Pad", {x, pads}, with_text("mode", "reflect")),
            Tensor::of<float>({1, 6}, {2, 1, 0, 1, 2, 1}));
  EXPECT_EQ(run_op("Pad", {x, pads}, with_text("mode", "edge")),
            Tensor::of<float>({1, 6}, {0, 0, 0, 1, 2, 2}));
  EXPECT_EQ(run_op("Pad", {x, pads}, with_text("mode", "wrap")),
            Tensor::of<float>({1, 6}, {1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(run_op("Pad", {x, ints({-1, 1}), std::nullopt, ints({-1})}),
            Tensor::of<float>({1, 3}, {1, 2, 0}));
  EXPECT_EQ(infer_op("Pad", {kBatch, Known(ints({0, 0, 1, 1, 0, 0, 1, 2}))}), "f32[?,8,6,7]");
  EXPECT_THAT(error_of([&] {
                run_op("Pad", {x, ints({0, -2, 0, -2})});
              }),
              HasSubstr("negative pads take more"));
  EXPECT_THAT(error_of([&] { run_op("Pad", {x, ints({1})}); }), HasSubstr("1 pads for 2 axes"));
  EXPECT_THAT(error_of([&] {
                run_op("Pad", {x, pads}, with_text("mode", "mirror"));
              }),
              HasSubstr("mode is \"mirror\""));
}

TEST(Blocks, DepthAndSpaceAreInverse) {
  const Tensor x = counting({1, 8, 2, 3});
  for (const char* mode : {"DCR", "CRD"}) {
    const ir::Attributes attributes = {{"blocksize", int64_t{2}}, {"mode", std::string(mode)}};
    const Tensor space = run_op("DepthToSpace", {x}, attributes);
    EXPECT_EQ(space.shape(), (Shape{1, 2, 4, 6}));
    EXPECT_EQ(space.data<float>()[1], mode[0] == 'D' ? 12.0f : 6.0f);
    EXPECT_EQ(run_op("SpaceToDepth", {space}, attributes), x);
  }
  EXPECT_EQ(infer_op("SpaceToDepth", {kBatch}, with("blocksize", 2)), "f32[?,32,2,2]");
  EXPECT_EQ(error_of([&] { run_op("DepthToSpace", {x}, with("blocksize", 3)); }),
            "DepthToSpace: 8 channels are not a multiple of 9");
  EXPECT_EQ(error_of([&] { run_op("SpaceToDepth", {x}, with("blocksize", 0)); }),
            "SpaceToDepth: blocksize is 0");
}

TEST(Shapes, AreReadWithNegativeEnds) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_EQ(run_op("Shape", {x}), ints({2, 3, 4}));
  EXPECT_EQ(run_op("Shape", {x}, {{"start", int64_t{-2}}, {"end", int64_t{-1}}}), ints({3}));
  EXPECT_EQ(run_op("Shape", {x}, with("start", 9)), ints({}));
  EXPECT_EQ(run_op("Size", {x}), Tensor::scalar<int64_t>(24));
  EXPECT_EQ(infer_op("Shape", {kBatch}, with("start", 1)), "i64[3]");
}

TEST(Making, ConstantsRangesAndDiagonals) {
  EXPECT_EQ(run_op("ConstantOfShape", {ints({2})}, {{"value", Tensor::vector<int8_t>({7})}}),
            Tensor::vector<int8_t>({7, 7}));
  EXPECT_EQ(run_op("Constant", {}, {{"value_ints", std::vector<int64_t>{3, 4}}}), ints({3, 4}));
  EXPECT_THAT(error_of([] { run_op("Constant", {}); }), HasSubstr("none of value"));
  EXPECT_EQ(run_op("Range", {Tensor::scalar(1.0f), Tensor::scalar(2.0f), Tensor::scalar(0.25f)}),
            Tensor::vector({1.0f, 1.25f, 1.5f, 1.75f}));
  EXPECT_EQ(
      run_op("Range", {Tensor::scalar<int64_t>(5), Tensor::scalar<int64_t>(0), Tensor::scalar<int64_t>(-2)}),
      ints({5, 3, 1}));
  EXPECT_EQ(error_of([] {
              run_op("Range", {Tensor::scalar(0.0f), Tensor::scalar(1.0f), Tensor::scalar(0.0f)});
            }),
            "Range: delta is 0");
  EXPECT_EQ(run_op("EyeLike", {counting({2, 3})}, with("k", 1)),
            Tensor::of<float>({2, 3}, {0, 1, 0, 0, 0, 1}));
  EXPECT_EQ(run_op("Trilu", {counting({2, 2})}), Tensor::of<float>({2, 2}, {0, 1, 0, 3}));
  EXPECT_EQ(run_op("Trilu", {counting({2, 2}), Tensor::scalar<int64_t>(-1)}, with("upper", 0)),
            Tensor::of<float>({2, 2}, {0, 0, 2, 0}));
}

TEST(Making, OneHotsAndPositions) {
  const Tensor values = Tensor::vector<int32_t>({-1, 1});
  EXPECT_EQ(run_op("OneHot", {ints({1, -1, 5}), Tensor::scalar<int64_t>(2), values}),
            Tensor::of<int32_t>({3, 2}, {-1, 1, -1, 1, -1, -1}));
  EXPECT_EQ(run_op("OneHot", {ints({1, 0}), Tensor::scalar(2.0f), values}, with("axis", 0)),
            Tensor::of<int32_t>({2, 2}, {-1, 1, 1, -1}));
  EXPECT_EQ(run_op("NonZero", {Tensor::of<float>({2, 2}, {1, 0, 0, 2})}),
            Tensor::of<int64_t>({2, 2}, {0, 1, 0, 1}));
  EXPECT_EQ(infer_op("NonZero", {kBatch}), "i64[4,?]");
  EXPECT_EQ(infer_op("OneHot", {Known(DType::Int64, Shape{kUnknownDim}), Known(Tensor::scalar<int64_t>(10)),
                                Known(DType::Float32, Shape{2})}),
            "f32[?,10]");
}

TEST(ReverseSequence, ReversesEachPrefix) {
  EXPECT_EQ(run_op("ReverseSequence", {counting({2, 3}), ints({2, 3})},
                   {{"batch_axis", int64_t{0}}, {"time_axis", int64_t{1}}}),
            Tensor::of<float>({2, 3}, {1, 0, 2, 5, 4, 3}));
  EXPECT_THAT(error_of([] {
                run_op("ReverseSequence", {counting({2, 1}), ints({3})});
              }),
              HasSubstr("length 3"));
}

}  // namespace
}  // namespace kvant::ops
