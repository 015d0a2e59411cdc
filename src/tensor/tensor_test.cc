// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace kvant {
namespace {

using testing::ElementsAre;

TEST(Dtype, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::Bool); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_named(name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_named("f31"), std::nullopt);
}

TEST(Half, EveryBitPatternRoundTrips) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    Half half;
    half.bits = static_cast<uint16_t>(bits);
    const auto value = static_cast<float>(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(Half(value))));
    } else {
      EXPECT_EQ(Half(value).bits, bits);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(static_cast<float>(Half(2049.0f)), 2048.0f);
  EXPECT_EQ(static_cast<float>(Half(2051.0f)), 2052.0f);
  EXPECT_EQ(static_cast<float>(Half(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(static_cast<float>(Half(65520.0f))));
  EXPECT_EQ(static_cast<float>(Half(0x1p-25f)), 0.0f);  // tie to even
  EXPECT_EQ(static_cast<float>(Half(0x1.8p-25f)), 0x1p-24f);
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 0x1p-8f)), 1.0f);
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 0x1.8p-8f)), 1.0f + 0x1p-7f);
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(NAN))));
}

TEST(TensorTest, CopiesAreSharedUntilWritten) {
  Tensor a = Tensor::of<float>({2}, {1, 2});
  Tensor b = a;
  EXPECT_EQ(a.raw(), b.raw());
  b.mutable_data<float>()[0] = 7;
  EXPECT_THAT(a.data<float>(), ElementsAre(1, 2));
  EXPECT_THAT(b.data<float>(), ElementsAre(7, 2));
}

TEST(TensorTest, ABorrowedViewIsNeverWrittenThrough) {
  const Tensor owner = Tensor::of<int32_t>({2}, {1, 2});
  const std::shared_ptr<const std::byte> bytes(owner.raw(), [](const std::byte*) {});
  Tensor view(DType::Int32, {2}, bytes);
  view.mutable_data<int32_t>()[0] = 9;
  EXPECT_THAT(owner.data<int32_t>(), ElementsAre(1, 2));
}

TEST(TensorTest, HostileShapesAreRefusedBeforeAllocation) {
  EXPECT_THROW(Tensor(DType::Float32, {int64_t{1} << 40, 2}), Error);
  EXPECT_THROW(Tensor(DType::Float32, {int64_t{1} << 62, 4}), Error);
  EXPECT_THROW(Tensor(DType::Float32, {-1}), Error);
  EXPECT_EQ(element_count({0, int64_t{1} << 40}), 0);
}

TEST(TensorTest, CastFollowsOnnx) {
  const Tensor x = Tensor::of<float>({4}, {-1.7f, 0.0f, 2.9f, 300.0f});
  EXPECT_THAT(x.cast(DType::Int32).data<int32_t>(), ElementsAre(-1, 0, 2, 300));
  EXPECT_THAT(x.cast(DType::Bool).data<bool>(), ElementsAre(true, false, true, true));
  EXPECT_EQ(static_cast<float>(x.cast(DType::Float16).data<Half>()[0]), static_cast<float>(Half(-1.7f)));
}

TEST(TensorTest, TransposeMovesEveryElement) {
  const Tensor x = Tensor::of<int8_t>({2, 3}, {0, 1, 2, 3, 4, 5});
  const Tensor y = transpose(x, std::vector<int64_t>{1, 0});
  EXPECT_THAT(y.shape(), ElementsAre(3, 2));
  EXPECT_THAT(y.data<int8_t>(), ElementsAre(0, 3, 1, 4, 2, 5));
  const Tensor scalar = Tensor::scalar<float>(3);
  EXPECT_EQ(transpose(scalar, {}), scalar);
}

TEST(ShapeTest, BroadcastsAsNumpy) {
  EXPECT_THAT(broadcast({3, 1}, {4}), ElementsAre(3, 4));
  EXPECT_THAT(broadcast({}, {2, 2}), ElementsAre(2, 2));
  EXPECT_THROW(broadcast({3}, {4}), Error);
  EXPECT_EQ(to_string({1, kUnknownDim}), "1x?");
  EXPECT_EQ(normalize_axis(-1, 4), 3);
  EXPECT_THROW(normalize_axis(4, 4), Error);
}

TEST(TensorTest, DifferenceTreatsNanAsEqualToNan) {
  const Tensor a = Tensor::of<float>({2}, {NAN, 1}), b = Tensor::of<float>({2}, {NAN, 3});
  EXPECT_EQ(max_abs_difference(a, b), 2);
  EXPECT_EQ(max_abs_difference(a, Tensor::of<float>({2}, {0, 1})), std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace kvant
