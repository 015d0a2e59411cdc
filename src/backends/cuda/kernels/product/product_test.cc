// SPDX-License-Identifier: Apache-2.0
// Products of matrices, rows and float convolutions in the emulator against the operators' reference
// evaluation.
#include "backends/cuda/kernels/product/product.h"

#include <gtest/gtest.h>

#include "backends/cuda/kernels/emulated_run.h"
#include "backends/cuda/kernels/real/real.h"
#include "backends/cuda/kernels/rows/rows.h"
#include "ops/run_op.h"

namespace kvant::backends::cuda {
namespace {

using ir::Attributes;
using Ints = std::vector<int64_t>;

void expect_close(const Tensor& actual, const Tensor& wanted) {
  ASSERT_EQ(actual.shape(), wanted.shape());
  const auto a = actual.data<float>(), w = wanted.data<float>();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], w[i], 1e-4f * (1 + std::abs(w[i]))) << i;
}

TEST(CudaProduct, CodesInBatches) {
  Random random(1);
  for (const Ints& mnk : std::vector<Ints>{{5, 7, 9}, {64, 64, 64}, {70, 65, 130}, {1, 130, 33}}) {
    for (int form = 0; form < 4; ++form) {
      const bool a_signed = (form & 1) != 0, b_signed = (form & 2) != 0, reals = form == 3;
      const int64_t m = mnk[0], n = mnk[1], k = mnk[2];
      const Tensor a = random_codes(a_signed ? DType::Int8 : DType::UInt8, {2, m, k}, random);
      const Tensor b = random_codes(b_signed ? DType::Int8 : DType::UInt8, {2, k, n}, random);
      ProductDesc desc;
      desc.m = m, desc.n = n, desc.k = k;
      desc.batch = {1, 1, 2}, desc.a_batch = {0, 0, m * k}, desc.b_batch = {0, 0, k * n};
      desc.y_batch = {0, 0, m * n};
      desc.a_row = k, desc.b_row = n, desc.y_row = n;
      desc.a_signed = a_signed, desc.b_signed = b_signed;
      desc.a_zero_point = a_signed ? 5 : 99, desc.b_zero_point = b_signed ? -70 : 140;
      desc.multiplier = 0.0007f;
      desc.output = reals ? Code::F32 : Code::U8;
      desc.out = {80, 2, 251};
      Tensor y(reals ? DType::Float32 : DType::UInt8, {2, m, n});
      emulate(product_launch(desc, a.raw(), b.raw(), y.mutable_raw()),
              {emulator::Copies::Lazy, form == 2, 7});
      Attributes attributes{{"multiplier", desc.multiplier},
                            {"a_zero_point", int64_t{desc.a_zero_point}},
                            {"b_zero_point", int64_t{desc.b_zero_point}},
                            {"output", std::string(reals ? "f32" : "u8")}};
      if (!reals) {
        attributes.set("y_zero_point", int64_t{80});
        attributes.set("low", int64_t{2});
        attributes.set("high", int64_t{251});
      }
      EXPECT_EQ(y, ops::run_op("QMatMul", {a, b}, attributes)) << m << ' ' << n << ' ' << k << ' ' << form;
    }
  }
}

TEST(CudaProduct, TransposedFactorsAndResultByStrides) {
  // As attention has it: q and k [batch, tokens, heads, 16], scores [batch, heads, tokens, tokens].
  Random random(2);
  const int64_t tokens = 19, heads = 3, width = 16;
  const Tensor q = random_codes(DType::Int8, {2, tokens, heads, width}, random);
  const Tensor k = random_codes(DType::Int8, {2, tokens, heads, width}, random);
  ProductDesc desc;
  desc.m = desc.n = tokens, desc.k = width;
  desc.batch = {1, 2, heads};
  desc.a_batch = desc.b_batch = {0, tokens * heads * width, width};
  desc.y_batch = {0, heads * tokens * tokens, tokens * tokens};
  desc.a_row = heads * width, desc.b_column = heads * width, desc.b_row = 1, desc.y_row = tokens;
  desc.a_signed = desc.b_signed = true;
  desc.multiplier = 0.01f;
  Tensor y(DType::Float32, {2, heads, tokens, tokens});
  emulate(product_launch(desc, q.raw(), k.raw(), y.mutable_raw()));
  EXPECT_EQ(y, ops::run_op("QMatMul", {q, k},
                           {{"multiplier", 0.01f},
                            {"a_perm", Ints{0, 2, 1, 3}},
                            {"b_perm", Ints{0, 2, 3, 1}},
                            {"output", std::string("f32")}}));
}

TEST(CudaRows, SoftmaxToFloatsAndCodes) {
  Random random(3);
  for (const int64_t columns : {1, 31, 197, 300}) {
    const Tensor x = random_reals({7, columns}, random, -6, 6);
    Tensor y(DType::Float32, x.shape()), codes(DType::UInt8, x.shape());
    emulate(softmax_launch({}, 7, columns, 1, x.raw(), y.mutable_raw()));
    expect_close(y, ops::run_op("Softmax", {x}));
    const RowOutput out{Code::U8, 1.0f / 255, {0, 0, 255}};
    emulate(softmax_launch(out, 7, columns, 1, x.raw(), codes.mutable_raw()),
            {emulator::Copies::Lazy, true, 2});
    EXPECT_EQ(codes, ops::run_op("QSoftmax", {x}, {{"y_scale", out.scale}, {"output", std::string("u8")}}));
  }
}

TEST(CudaRows, LayerNormalizationToFloatsAndCodes) {
  Random random(4);
  for (const int64_t columns : {3, 64, 200}) {
    const Tensor x = random_reals({5, columns}, random), gain = random_reals({columns}, random);
    const Tensor bias = random_reals({columns}, random);
    LayerNormDesc desc;
    desc.rows = 5, desc.columns = columns;
    Tensor y(DType::Float32, x.shape()), codes(DType::Int8, x.shape());
    emulate(layer_norm_launch(desc, x.raw(), gain.raw(), nullptr, y.mutable_raw()));
    expect_close(y, ops::run_op("LayerNormalization", {x, gain}));
    desc.out = {Code::I8, 0.05f, {3, -128, 127}};
    emulate(layer_norm_launch(desc, x.raw(), gain.raw(), bias.raw(), codes.mutable_raw()));
    EXPECT_EQ(codes,
              ops::run_op("QLayerNormalization", {x, gain, bias},
                          {{"y_scale", 0.05f}, {"y_zero_point", int64_t{3}}, {"output", std::string("i8")}}));
  }
}

TEST(CudaReal, Convolutions) {
  Random random(5);
  struct Case {
    int64_t c, k, kernel, stride, pad, group;
  };
  for (const Case& t : std::vector<Case>{
           {3, 8, 3, 2, 1, 1}, {8, 70, 1, 1, 0, 1}, {12, 12, 3, 1, 1, 12}, {8, 6, 3, 1, 0, 2}}) {
    RealConvDesc desc;
    ConvShape& s = desc.shape;
    s.n = 2, s.h = 9, s.w = 8, s.c = t.c, s.k = t.k, s.kh = s.kw = t.kernel, s.group = t.group;
    s.stride_h = s.stride_w = t.stride, s.top = s.left = t.pad;
    s.ho = (s.h + 2 * t.pad - t.kernel) / t.stride + 1, s.wo = (s.w + 2 * t.pad - t.kernel) / t.stride + 1;
    desc.activation = Activation::Silu;
    const Tensor x = random_reals({s.n, s.h, s.w, s.c}, random);
    const Tensor w = random_reals({s.k, s.group_c(), s.kh, s.kw}, random, -1, 1);
    const Tensor bias = random_reals({s.k}, random), residual = random_reals({s.n, s.ho, s.wo, s.k}, random);
    Tensor y(DType::Float32, residual.shape());
    emulate(real_conv_launch(desc, x.raw(), w.raw(), bias.raw(), residual.raw(), y.mutable_raw()));
    expect_close(y, ops::run_op("ConvNhwc", {x, w, bias, residual},
                                {{"strides", Ints{t.stride, t.stride}},
                                 {"pads", Ints{t.pad, t.pad, t.pad, t.pad}},
                                 {"group", t.group},
                                 {"activation", std::string("Silu")}}));
  }
}

TEST(CudaReal, Products) {
  Random random(6);
  const Tensor a = random_reals({2, 70, 33}, random), b = random_reals({33, 65}, random);
  RealProductDesc desc;
  desc.m = 70, desc.n = 65, desc.k = 33;
  desc.batch = {1, 1, 2}, desc.a_batch = {0, 0, 70 * 33}, desc.y_batch = {0, 0, 70 * 65};
  desc.a_row = 33, desc.b_row = 65, desc.y_row = 65;
  Tensor y(DType::Float32, {2, 70, 65});
  emulate(real_product_launch(desc, a.raw(), b.raw(), y.mutable_raw()));
  expect_close(y, ops::run_op("MatMul", {a, b}));
}

}  // namespace
}  // namespace kvant::backends::cuda
