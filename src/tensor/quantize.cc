// SPDX-License-Identifier: Apache-2.0
#include "tensor/quantize.h"

#include <limits>

namespace kvant {
namespace {

// Per-tensor parameters have one block; per-channel ones repeat along the axis.
struct Blocks {
  int64_t outer, channels, inner;
};

Blocks blocks_of(const Shape& shape, const QuantParams& params) {
  const int64_t count = element_count(shape);
  if (params.scale.empty()) fail("a quantization needs a scale");
  if (params.per_tensor()) {
    if (params.scale.size() != 1)
      fail("per-tensor quantization has {} scales, expected 1", params.scale.size());
    return {1, 1, count};
  }
  const int64_t axis = normalize_axis(params.axis, shape.size());
  const int64_t channels = shape[static_cast<size_t>(axis)];
  if (static_cast<int64_t>(params.scale.size()) != channels) {
    fail("per-channel quantization has {} scales for {} channels at axis {}", params.scale.size(), channels,
         axis);
  }
  int64_t inner = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) inner *= shape[i];
  return {channels * inner == 0 ? 0 : count / (channels * inner), channels, inner};
}

void check_zero_points(const QuantParams& params) {
  const size_t n = params.zero_point.size();
  if (n != 0 && n != 1 && n != params.scale.size()) {
    fail("quantization has {} zero points for {} scales", n, params.scale.size());
  }
}

template <class Fn>
void for_each_channel(const Blocks& b, const Fn& fn) {
  for (int64_t o = 0; o < b.outer; ++o) {
    for (int64_t c = 0; c < b.channels; ++c)
      fn(static_cast<size_t>(c), (o * b.channels + c) * b.inner, b.inner);
  }
}

}  // namespace

IntRange code_range(DType dtype) {
  switch (dtype) {
    case DType::Int8:
      return {-128, 127};
    case DType::UInt8:
      return {0, 255};
    case DType::Int16:
      return {-32768, 32767};
    case DType::UInt16:
      return {0, 65535};
    case DType::Int32:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    default:
      fail("{} is not an element type for quantized codes", name(dtype));
  }
}

Tensor quantize(const Tensor& x, const QuantParams& params) {
  check_zero_points(params);
  const Blocks blocks = blocks_of(x.shape(), params);
  const IntRange range = code_range(params.dtype);
  const Tensor wide = x.cast(DType::Float32);
  const float* in = wide.data<float>().data();
  Tensor result(params.dtype, x.shape());
  const auto fill = [&]<class T>(T) {
    T* out = result.mutable_data<T>().data();
    for_each_channel(blocks, [&](size_t c, int64_t begin, int64_t n) {
      const float scale = params.scale[c];
      const int32_t zero_point = params.zero_point_at(c);
      for (int64_t i = begin; i < begin + n; ++i)
        out[i] = static_cast<T>(quantize_value(in[i], scale, zero_point, range));
    });
  };
  switch (params.dtype) {
    case DType::Int8:
      fill(int8_t{});
      break;
    case DType::UInt8:
      fill(uint8_t{});
      break;
    case DType::Int16:
      fill(int16_t{});
      break;
    case DType::UInt16:
      fill(uint16_t{});
      break;
    default:
      fill(int32_t{});
      break;
  }
  return result;
}

Tensor dequantize(const Tensor& codes, const QuantParams& params) {
  check_zero_points(params);
  code_range(codes.dtype());
  const Blocks blocks = blocks_of(codes.shape(), params);
  Tensor result(DType::Float32, codes.shape());
  float* out = result.mutable_data<float>().data();
  visit_dtype(codes.dtype(), [&]<class T>() {
    if constexpr (std::is_integral_v<T> && sizeof(T) <= 4) {
      const T* in = codes.data<T>().data();
      for_each_channel(blocks, [&](size_t c, int64_t begin, int64_t n) {
        const float scale = params.scale[c];
        const int32_t zero_point = params.zero_point_at(c);
        for (int64_t i = begin; i < begin + n; ++i) {
          out[i] = dequantize_value(static_cast<int32_t>(in[i]), scale, zero_point);
        }
      });
    }
  });
  return result;
}

Tensor fake_quantize(const Tensor& x, const QuantParams& params) {
  return dequantize(quantize(x, params), params);
}

float symmetric_scale(float amax, int bits) {
  if (amax == 0.0f) return 1.0f;
  return amax / static_cast<float>((1 << (bits - 1)) - 1);
}

}  // namespace kvant
