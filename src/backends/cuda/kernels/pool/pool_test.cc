// SPDX-License-Identifier: Apache-2.0
// Pool kernels in the emulator against the operators' reference evaluation.
#include "backends/cuda/kernels/pool/pool.h"

#include <gtest/gtest.h>

#include "backends/cuda/kernels/emulated_run.h"
#include "ops/run_op.h"

namespace kvant::backends::cuda {
namespace {

using ir::Attributes;
using Ints = std::vector<int64_t>;

PoolShape pool_shape(int64_t n, int64_t h, int64_t w, int64_t c, int64_t kernel, int64_t stride, int64_t pad,
                     int64_t dilation = 1) {
  PoolShape s;
  s.n = n, s.h = h, s.w = w, s.c = c, s.kh = s.kw = kernel, s.stride_h = s.stride_w = stride;
  s.top = s.left = s.bottom = s.right = pad, s.dilation_h = s.dilation_w = dilation;
  s.ho = (h + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  s.wo = (w + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  return s;
}

std::vector<PoolShape> test_shapes() {
  std::vector<PoolShape> shapes = {pool_shape(1, 9, 8, 16, 3, 2, 1),   pool_shape(2, 7, 7, 5, 2, 2, 0),
                                   pool_shape(1, 12, 11, 20, 5, 1, 2), pool_shape(1, 9, 9, 130, 3, 1, 1, 2),
                                   pool_shape(2, 6, 6, 7, 6, 1, 0),    pool_shape(1, 8, 8, 33, 4, 2, 1)};
  PoolShape uneven = pool_shape(1, 9, 9, 12, 3, 2, 0);
  uneven.kw = 2, uneven.top = 1, uneven.right = 1, uneven.stride_w = 3, uneven.ho = 4, uneven.wo = 3;
  shapes.push_back(uneven);
  return shapes;
}

Attributes attributes_of(const PoolShape& s) {
  return {{"kernel_shape", Ints{s.kh, s.kw}},
          {"strides", Ints{s.stride_h, s.stride_w}},
          {"pads", Ints{s.top, s.left, s.bottom, s.right}},
          {"dilations", Ints{s.dilation_h, s.dilation_w}}};
}

Tensor run(const PoolDesc& desc, const Tensor& x, DType y_type, const emulator::Options& options = {}) {
  const PoolShape& s = desc.shape;
  Tensor y(y_type, {s.n, s.ho, s.wo, s.c});
  emulate(pool_launch(desc, x.raw(), y.mutable_raw()), options);
  return y;
}

TEST(CudaPool, Max) {
  Random random(1);
  for (const PoolShape& s : test_shapes()) {
    for (const DType type : {DType::UInt8, DType::Int8, DType::Float32}) {
      const Shape shape{s.n, s.h, s.w, s.c};
      const Tensor x =
          type == DType::Float32 ? random_reals(shape, random) : random_codes(type, shape, random);
      PoolDesc desc;
      desc.shape = s;
      desc.x = type == DType::Float32 ? Code::F32 : type == DType::Int8 ? Code::I8 : Code::U8;
      const Tensor wanted = ops::run_op("MaxPoolNhwc", {x}, attributes_of(s));
      EXPECT_EQ(run(desc, x, type), wanted);
      EXPECT_EQ(run(desc, x, type, {emulator::Copies::Lazy, true, 3}), wanted);
    }
  }
}

TEST(CudaPool, AverageOfCodes) {
  Random random(2);
  for (const PoolShape& s : test_shapes()) {
    for (const bool include : {false, true}) {
      for (const bool is_signed : {false, true}) {
        const Tensor x = random_codes(is_signed ? DType::Int8 : DType::UInt8, {s.n, s.h, s.w, s.c}, random);
        PoolDesc desc;
        desc.shape = s;
        desc.x = is_signed ? Code::I8 : Code::U8;
        desc.average = true;
        desc.count_include_pad = include;
        desc.multiplier = 1.73f;
        desc.x_zero_point = is_signed ? -9 : 120;
        desc.out = {17, 3, 250};
        Attributes attributes = attributes_of(s);
        attributes.set("count_include_pad", int64_t{include});
        attributes.set("multiplier", desc.multiplier);
        attributes.set("x_zero_point", int64_t{desc.x_zero_point});
        attributes.set("y_zero_point", int64_t{17});
        attributes.set("low", int64_t{3});
        attributes.set("high", int64_t{250});
        attributes.set("output", std::string("u8"));
        EXPECT_EQ(run(desc, x, DType::UInt8), ops::run_op("QAveragePool", {x}, attributes));
      }
    }
  }
}

TEST(CudaPool, AverageOfFloats) {
  Random random(3);
  for (const PoolShape& s : test_shapes()) {
    const Tensor x = random_reals({s.n, s.h, s.w, s.c}, random);
    PoolDesc desc;
    desc.shape = s;
    desc.x = Code::F32;
    desc.average = true;
    EXPECT_EQ(run(desc, x, DType::Float32), ops::run_op("AveragePoolNhwc", {x}, attributes_of(s)));
  }
}

TEST(CudaPool, GlobalIsAWindowOfTheWholeImage) {
  Random random(4);
  for (const int64_t c : {16, 30, 200}) {
    const Tensor x = random_codes(DType::UInt8, {2, 7, 5, c}, random);
    PoolDesc desc;
    desc.shape = pool_shape(2, 7, 5, c, 1, 1, 0);
    desc.shape.kh = 7, desc.shape.kw = 5, desc.shape.ho = desc.shape.wo = 1;
    desc.average = true;
    desc.multiplier = 0.8f;
    desc.x_zero_point = 3;
    EXPECT_EQ(
        run(desc, x, DType::UInt8),
        ops::run_op("QGlobalAveragePool", {x},
                    {{"multiplier", 0.8f}, {"x_zero_point", int64_t{3}}, {"output", std::string("u8")}}));
  }
}

}  // namespace
}  // namespace kvant::backends::cuda
