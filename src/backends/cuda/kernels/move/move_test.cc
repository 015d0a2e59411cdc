// SPDX-License-Identifier: Apache-2.0
// Kernels that move data, in the emulator against the operators' reference evaluation.
#include "backends/cuda/kernels/move/move.h"

#include <gtest/gtest.h>

#include "backends/cuda/kernels/emulated_run.h"
#include "ops/run_op.h"

namespace kvant::backends::cuda {
namespace {

using Ints = std::vector<int64_t>;

Ints strides_of(const Shape& shape) {
  Ints strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// Over the axes of y, or of x: the kernel must give the same.
CopyDesc transpose_desc(const Shape& x, const Ints& perm, int32_t bytes, bool over_x) {
  Shape y;
  for (const int64_t axis : perm) y.push_back(x[static_cast<size_t>(axis)]);
  const Ints x_strides = strides_of(x), y_strides = strides_of(y);
  CopyDesc desc;
  desc.rank = static_cast<int32_t>(x.size());
  desc.element_bytes = bytes;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto from = static_cast<size_t>(perm[i]), at = over_x ? from : i;
    desc.shape[at] = y[i];
    desc.x_stride[at] = x_strides[from];
    desc.y_stride[at] = y_strides[i];
  }
  return desc;
}

TEST(CudaMove, Transposes) {
  struct Case {
    Shape shape;
    Ints perm;
  };
  const std::vector<Case> cases = {{{2, 3, 40, 33}, {0, 2, 3, 1}},
                                   {{2, 40, 33, 12}, {0, 3, 1, 2}},
                                   {{1, 64, 6, 6}, {0, 2, 3, 1}},
                                   {{5, 70}, {1, 0}},
                                   {{3, 4, 5}, {2, 1, 0}},
                                   {{2, 3, 4, 5, 6}, {4, 0, 3, 1, 2}},
                                   {{7}, {0}},
                                   {{2, 9, 16, 8}, {0, 2, 1, 3}},
                                   {{2, 40, 50}, {0, 2, 1}}};
  Random random(1);
  for (const DType type : {DType::UInt8, DType::Float16, DType::Float32, DType::Int64}) {
    for (const Case& c : cases) {
      const Tensor x = random_codes(type, c.shape, random);
      const Tensor wanted = ops::run_op("Transpose", {x}, {{"perm", c.perm}});
      for (const bool over_x : {false, true}) {
        Tensor y(type, wanted.shape());
        const CopyDesc desc = transpose_desc(c.shape, c.perm, static_cast<int32_t>(size_of(type)), over_x);
        emulate(copy_launch(desc, x.raw(), y.mutable_raw()), {emulator::Copies::Lazy, true, 5});
        EXPECT_EQ(0, std::memcmp(y.raw(), wanted.raw(), y.byte_size())) << to_string(c.shape);
      }
    }
  }
}

TEST(CudaMove, DenseCopiesUseTheWidestElements) {
  CopyDesc desc;
  desc.rank = 3;
  desc.shape = {2, 8, 24};
  desc.x_stride = {8 * 48, 48, 1};
  desc.y_stride = {8 * 32, 32, 1};
  alignas(16) std::byte x[1024] = {}, y[1024] = {};
  EXPECT_STREQ(copy_launch(desc, x, y).kernel->name, "copy_8");
  EXPECT_STREQ(copy_launch(desc, x + 4, y).kernel->name, "copy_4");
  desc.shape[2] = 32;
  EXPECT_STREQ(copy_launch(desc, x, y).kernel->name, "copy_16");
  desc.shape[2] = 31;
  EXPECT_STREQ(copy_launch(desc, x, y).kernel->name, "copy_1");
}

TEST(CudaMove, ConcatInSlicesAndReversedSlices) {
  Random random(2);
  const Tensor a = random_codes(DType::Int8, {2, 5, 24}, random),
               b = random_codes(DType::Int8, {2, 5, 9}, random);
  Tensor y(DType::Int8, {2, 5, 33});
  int64_t offset = 0;
  for (const Tensor* part : {&a, &b}) {
    CopyDesc desc;
    desc.rank = 2;
    desc.shape = {10, part->dim(2)};
    desc.x_stride = {part->dim(2), 1};
    desc.y_stride = {33, 1};
    emulate(copy_launch(desc, part->raw(), y.mutable_raw() + offset));
    offset += part->dim(2);
  }
  EXPECT_EQ(y, ops::run_op("QConcat", {a, b}, {{"axis", int64_t{2}}}));
  CopyDesc backwards;
  backwards.rank = 1;
  backwards.shape = {30};
  backwards.x_stride = {-1};
  backwards.y_stride = {1};
  Tensor reversed(DType::Int8, {30});
  emulate(copy_launch(backwards, a.raw() + 29, reversed.mutable_raw()));
  for (size_t i = 0; i < 30; ++i) EXPECT_EQ(reversed.data<int8_t>()[i], a.data<int8_t>()[29 - i]);
}

TEST(CudaMove, FillAndGather) {
  Tensor filled(DType::Int64, {1000});
  emulate(fill_launch(8, 0x123456789abcull, 1000, filled.mutable_raw()));
  for (const int64_t v : filled.data<int64_t>()) ASSERT_EQ(v, 0x123456789abcll);
  Random random(3);
  const Tensor x = random_reals({3, 5, 4}, random);
  for (const bool wide : {true, false}) {
    Tensor index = Tensor::vector<int64_t>({4, 0, -1, -5, 2, 2});
    if (!wide) index = index.cast(DType::Int32);
    GatherDesc desc;
    desc.outer = 3, desc.extent = 5, desc.inner = 4, desc.indices = 6, desc.element_bytes = 4;
    desc.wide_index = wide;
    Tensor y(DType::Float32, {3, 6, 4});
    emulate(gather_launch(desc, x.raw(), index.raw(), y.mutable_raw()));
    EXPECT_EQ(y, ops::run_op("Gather", {x, index}, {{"axis", int64_t{1}}}));
  }
}

}  // namespace
}  // namespace kvant::backends::cuda
