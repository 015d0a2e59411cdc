// SPDX-License-Identifier: Apache-2.0
// Random convolutions and their result by definition, for tests and benches of qconv kernels.
#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "backends/cpu/kernels/guarded_bytes.h"
#include "backends/cpu/kernels/qconv/qconv.h"
#include "base/random.h"
#include "tensor/tensor.h"

namespace kvant::backends::cpu {

inline ConvShape conv_shape(int64_t h, int64_t w, int64_t c, int64_t k, int64_t kernel, int64_t stride,
                            int64_t pad, int64_t group = 1, int64_t dilation = 1, int64_t n = 1) {
  ConvShape s;
  s.n = n, s.h = h, s.w = w, s.c = c, s.k = k, s.kh = s.kw = kernel, s.stride_h = s.stride_w = stride;
  s.top = s.left = pad, s.dilation_h = s.dilation_w = dilation, s.group = group;
  s.ho = (h + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  s.wo = (w + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  return s;
}

// Tile edges, channel tails, stems, groups, strides, dilations, batches, products of matrices.
inline std::vector<ConvShape> qconv_test_shapes() {
  std::vector<ConvShape> shapes = {
      conv_shape(5, 5, 3, 7, 3, 1, 1),
      conv_shape(9, 9, 1, 16, 3, 1, 1),
      conv_shape(20, 22, 3, 64, 7, 2, 3),
      conv_shape(8, 8, 16, 16, 3, 1, 1),
      conv_shape(7, 7, 64, 128, 3, 1, 1),
      conv_shape(7, 9, 64, 96, 1, 1, 0),
      conv_shape(14, 14, 32, 48, 3, 2, 1),
      conv_shape(8, 8, 24, 40, 1, 1, 0),
      conv_shape(6, 6, 5, 33, 1, 1, 0),
      conv_shape(9, 8, 12, 20, 1, 2, 0),
      conv_shape(10, 10, 8, 65, 5, 1, 2),
      conv_shape(12, 12, 16, 80, 3, 1, 2, 1, 2),
      conv_shape(9, 9, 6, 12, 3, 1, 1, 2),
      conv_shape(9, 9, 32, 32, 3, 2, 1, 4),
      conv_shape(6, 6, 8, 16, 3, 1, 1, 8),
      conv_shape(6, 7, 4, 64, 3, 1, 0, 1, 1, 3),
      conv_shape(1, 29, 67, 130, 1, 1, 0),
      conv_shape(1, 1, 512, 10, 1, 1, 0),
      conv_shape(1, 37, 64, 64, 1, 1, 0),
      conv_shape(1, 1, 64, 1000, 1, 1, 0),
      conv_shape(16, 1, 16, 16, 3, 1, 1),
      conv_shape(3, 3, 4, 4, 3, 1, 3),
      conv_shape(10, 10, 16, 16, 3, 1, 1, 16),
      conv_shape(9, 11, 70, 70, 3, 2, 1, 70),
      conv_shape(12, 12, 129, 129, 5, 1, 2, 129),
      conv_shape(8, 8, 64, 64, 3, 1, 0, 64),
      conv_shape(11, 11, 20, 20, 3, 1, 2, 20, 2),
      conv_shape(4, 4, 3, 3, 3, 1, 1, 3),
      conv_shape(6, 6, 33, 33, 2, 2, 0, 33, 1, 2),
      conv_shape(56, 56, 16, 16, 1, 1, 0),
      conv_shape(28, 28, 8, 32, 3, 1, 1),
      conv_shape(12, 12, 40, 40, 7, 1, 3, 40),
      conv_shape(90, 70, 32, 16, 3, 1, 1),
      conv_shape(13, 12, 66, 66, 5, 2, 2, 66),
      conv_shape(12, 15, 10, 10, 7, 2, 3, 10),
  };
  for (int64_t width = 1; width <= 15; ++width)
    shapes.push_back(conv_shape(2, width, 8, 48 + width, 3, 1, 1));
  ConvShape uneven = conv_shape(9, 9, 8, 24, 3, 1, 1);  // different sides: pads, strides, kernels, dilations
  uneven.kw = 2, uneven.stride_w = 2, uneven.top = 0, uneven.left = 2, uneven.dilation_h = 2, uneven.ho = 6,
  uneven.wo = 6;
  shapes.push_back(uneven);
  ConvShape far = conv_shape(2, 2, 4, 16, 1, 1, 0);  // whole rows and columns of border
  far.top = 2, far.left = 3, far.ho = 7, far.wo = 9;
  shapes.push_back(far);
  return shapes;
}

inline std::vector<ConvShape> qconv_form_shapes() {
  return {conv_shape(7, 7, 16, 64, 3, 1, 1), conv_shape(5, 6, 12, 107, 1, 1, 0),
          conv_shape(6, 6, 3, 24, 3, 2, 1), conv_shape(5, 5, 80, 80, 3, 1, 1, 80),
          conv_shape(1, 1, 96, 33, 1, 1, 0)};
}

// A convolution with random operands whose results spread over the range of the output's codes.
struct QConvCase {
  QConvDesc desc;
  std::vector<uint8_t> x, residual;
  std::vector<int8_t> w;
  std::vector<float> multiplier, bias;
  Random random;

  QConvCase(const ConvShape& shape, uint64_t seed) : random(seed) {
    desc.shape = shape;
    x.resize(static_cast<size_t>(shape.n * shape.h * shape.w * shape.c));
    w.resize(static_cast<size_t>(shape.k * shape.kh * shape.kw * shape.group_c()));
    multiplier.resize(static_cast<size_t>(shape.k));
    bias.resize(multiplier.size());
    for (uint8_t& v : x) v = static_cast<uint8_t>(random.next());
    for (int8_t& v : w) v = static_cast<int8_t>(random.next());
    desc.x_zero_point = static_cast<int32_t>(random.below(256));
    desc.epilogue.zero_point = static_cast<int32_t>(random.below(256));
    set_scales();
  }

  void set_form(Code output, Code residual_code, Activation activation, bool x_signed) {
    Epilogue& e = desc.epilogue;
    e.output = output;
    e.residual = residual_code;
    e.activation = activation;
    e.alpha = activation == Activation::Clip ? -0.7f : 0.2f;
    e.beta = activation == Activation::Clip ? 0.9f : 0.5f;
    e.inverse_scale = 60.0f;
    e.low = output == Code::I8 ? -128 : 0;
    e.high = output == Code::I8 ? 127 : 255;
    if (output == Code::I8) e.zero_point -= 128;
    desc.x_signed = x_signed;
    if (x_signed) desc.x_zero_point -= 128;
    e.residual_multiplier = residual_code == Code::None ? 0.0f : 0.37f;
    e.residual_zero_point = residual_code == Code::U8 ? 113 : residual_code == Code::I8 ? -9 : 0;
    const size_t count = static_cast<size_t>(desc.shape.n * desc.shape.ho * desc.shape.wo * desc.shape.k);
    residual.assign(residual_code == Code::None ? 0 : count * static_cast<size_t>(code_bytes(residual_code)),
                    0);
    if (residual_code == Code::F32) {
      for (size_t i = 0; i < count; ++i) {
        const float value = random.uniform(-90.0f, 90.0f);
        std::memcpy(&residual[4 * i], &value, 4);
      }
    } else {
      for (uint8_t& v : residual) v = static_cast<uint8_t>(random.next());
    }
    set_scales();
    e.curve = nullptr;
    add_curve(e);
  }

  void set_table() {
    auto table = std::make_shared<CodeTable>();
    for (uint8_t& code : *table) code = static_cast<uint8_t>(random.next());
    desc.table = std::move(table);
  }

  // Only the ends of the codes' ranges, signs aligned so that sums are as large as they can be.
  void make_extreme() {
    const int64_t filter = desc.shape.kh * desc.shape.kw * desc.shape.group_c();
    for (uint8_t& v : x)
      v = desc.x_signed ? (random.below(8) == 0 ? 0x80 : 0x7f) : (random.below(8) == 0 ? 0 : 255);
    for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<int64_t>(i) / filter % 2 == 0 ? -128 : 127;
  }

  std::vector<uint8_t> reference() const {
    const ConvShape& s = desc.shape;
    const int64_t bytes = code_bytes(desc.epilogue.output);
    std::vector<uint8_t> y(static_cast<size_t>(s.n * s.ho * s.wo * s.k * bytes));
    for (int64_t pixel = 0; pixel < s.n * s.ho * s.wo; ++pixel) {
      for (int64_t k = 0; k < s.k; ++k) {
        const uint8_t* row =
            residual.empty() ? nullptr : residual.data() + pixel * s.k * code_bytes(desc.epilogue.residual);
        const size_t i = static_cast<size_t>(k);
        finish(desc.epilogue, epilogue_value(desc.epilogue, sum(pixel, k), multiplier[i], bias[i], row, k),
               y.data() + pixel * s.k * bytes, k);
      }
    }
    if (desc.table) {
      for (uint8_t& code : y) code = (*desc.table)[code];
    }
    return y;
  }

  // Runs a kernel on buffers of exactly the right size, closed pages around them, scratch filled with
  // rubbish.
  std::vector<uint8_t> run(const QConvKernel& kernel, int threads) const {
    constexpr size_t kVector = 64;  // what engines align constants and scratch to
    const ConvShape& s = desc.shape;
    const GuardedBytes blob(kernel.packed_bytes(desc), kVector);
    kernel.pack(desc, {w.data(), multiplier.data(), bias.data()}, blob.data());
    const size_t scratch_bytes = kernel.scratch_bytes(desc) * static_cast<size_t>(threads);
    const GuardedBytes scratch(scratch_bytes, kVector);
    std::memset(scratch.data(), 0xA5, scratch_bytes);
    const GuardedBytes codes(x.data(), x.size(), 1), added(residual.data(), residual.size(), 4);
    const auto bytes = static_cast<size_t>(s.n * s.ho * s.wo * s.k * code_bytes(desc.epilogue.output));
    const GuardedBytes y(bytes, 4);
    std::memset(y.data(), 0xEE, bytes);
    auto* const results = reinterpret_cast<uint8_t*>(y.data());
    const QConvPointers p{blob.data(), reinterpret_cast<const uint8_t*>(codes.data()),
                          residual.empty() ? nullptr : reinterpret_cast<const uint8_t*>(added.data()),
                          results, scratch.data()};
    for (int t = 0; t < threads; ++t) kernel.run(desc, p, t, threads);
    return {results, results + bytes};
  }

  std::string describe() const {
    const ConvShape& s = desc.shape;
    return fmt::format(
        "[{},{},{},{}] {}x{} /{},{} k{} group {} dilation {},{} zero point {} output {} residual {} {}", s.n,
        s.h, s.w, s.c, s.kh, s.kw, s.stride_h, s.stride_w, s.k, s.group, s.dilation_h, s.dilation_w,
        desc.x_zero_point, static_cast<int>(desc.epilogue.output), static_cast<int>(desc.epilogue.residual),
        name(desc.epilogue.activation));
  }

 private:
  void set_scales() {
    const ConvShape& s = desc.shape;
    const float spread = std::sqrt(static_cast<float>(s.kh * s.kw * s.group_c())) * 74.0f * 74.0f;
    const float range = desc.epilogue.activation == Activation::None ? 70.0f : 1.5f;
    for (size_t i = 0; i < multiplier.size(); ++i) {
      multiplier[i] = range / spread * random.uniform(0.5f, 1.5f);
      bias[i] = random.uniform(-0.3f, 0.3f) * range;
    }
    if (desc.epilogue.activation != Activation::None) desc.epilogue.residual_multiplier /= 60.0f;
  }

  int32_t sum(int64_t pixel, int64_t k) const {
    const ConvShape& s = desc.shape;
    const int64_t n = pixel / (s.ho * s.wo), y0 = pixel / s.wo % s.ho * s.stride_h - s.top;
    const int64_t x0 = pixel % s.wo * s.stride_w - s.left, group = k / s.group_k();
    int32_t acc = 0;
    for (int64_t i = 0; i < s.kh; ++i) {
      for (int64_t j = 0; j < s.kw; ++j) {
        const int64_t row = y0 + i * s.dilation_h, column = x0 + j * s.dilation_w;
        if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
        for (int64_t c = 0; c < s.group_c(); ++c) {
          const uint8_t bits =
              x[static_cast<size_t>(((n * s.h + row) * s.w + column) * s.c + group * s.group_c() + c)];
          const int32_t code = desc.x_signed ? static_cast<int8_t>(bits) : bits;
          acc += (code - desc.x_zero_point) *
                 w[static_cast<size_t>(((k * s.kh + i) * s.kw + j) * s.group_c() + c)];
        }
      }
    }
    return acc;
  }
};

}  // namespace kvant::backends::cpu
