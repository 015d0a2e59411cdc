// SPDX-License-Identifier: Apache-2.0
#include "ops/real_values.h"

namespace kvant::ops {

std::vector<double> to_doubles(const Tensor& x) {
  std::vector<double> result(static_cast<size_t>(x.size()));
  visit_dtype(x.dtype(), [&]<class T>() {
    const auto in = x.data<T>();
    for (size_t i = 0; i < in.size(); ++i) {
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
        result[i] = static_cast<double>(static_cast<float>(in[i]));
      else
        result[i] = static_cast<double>(in[i]);
    }
  });
  return result;
}

std::vector<double> to_doubles(const Tensor& x, int32_t zero_point) {
  std::vector<double> result = to_doubles(x);
  if (zero_point != 0)
    for (double& value : result) value -= zero_point;
  return result;
}

Tensor from_doubles(DType dtype, Shape shape, std::span<const double> values) {
  Tensor result(dtype, std::move(shape));
  KVANT_CHECK(static_cast<size_t>(result.size()) == values.size(), "value count does not fit the shape");
  const auto store = [&]<class T>(auto convert) {
    const auto out = result.mutable_data<T>();
    for (size_t i = 0; i < values.size(); ++i) out[i] = convert(values[i]);
  };
  switch (dtype) {
    case DType::Float32:
      store.operator()<float>([](double v) { return static_cast<float>(v); });
      break;
    case DType::Float64:
      store.operator()<double>([](double v) { return v; });
      break;
    case DType::Float16:
      store.operator()<Half>([](double v) { return Half(static_cast<float>(v)); });
      break;
    case DType::BFloat16:
      store.operator()<BFloat16>([](double v) { return BFloat16(static_cast<float>(v)); });
      break;
    case DType::Int32:
      store.operator()<int32_t>([](double v) { return static_cast<int32_t>(static_cast<int64_t>(v)); });
      break;
    default:
      fail("element type {} not supported; this operator makes float or i32 values", name(dtype));
  }
  return result;
}

}  // namespace kvant::ops
