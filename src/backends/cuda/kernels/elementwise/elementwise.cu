// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels: each thread has four neighbouring elements, or one where they do not lie at multiples
// of four.
#include "backends/cuda/kernels/elementwise/elementwise_params.h"
#include "backends/cuda/kernels/epilogue.cuh"

namespace kvant::backends::cuda {
namespace device {

KVANT_DEVICE int64_t first_element() {
  return (static_cast<int64_t>(block_x()) * block_threads() + thread_index()) * 4;
}
KVANT_DEVICE int elements_left(int64_t first, int64_t count) {
  const int64_t left = count - first;
  return left >= 4 ? 4 : left > 0 ? static_cast<int>(left) : 0;
}
KVANT_DEVICE uint32_t load_codes(const uint8_t* x, bool vector, int count) {
  if (vector && count == 4) return load<uint32_t>(x);
  uint32_t word = 0;
  for (int i = 0; i < count; ++i) word |= static_cast<uint32_t>(x[i]) << (8 * i);
  return word;
}
KVANT_DEVICE int code_at(uint32_t word, int i, bool is_signed) {
  const int bits = static_cast<int>(word >> (8 * i) & 255);
  return is_signed ? static_cast<int8_t>(bits) : bits;
}

enum class PairForm { Add, Multiply, MultiplyChannels };

template <PairForm kForm>
KVANT_DEVICE void combine_codes(const CodePairParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  if (count == 0) return;
  const uint32_t a = load_codes(p.a + first, p.vector, count);
  uint32_t b = 0;
  if constexpr (kForm == PairForm::MultiplyChannels) {
    for (int i = 0; i < count; ++i) {
      const int64_t at = (first + i) / p.image * p.channels + (first + i) % p.channels;
      b |= static_cast<uint32_t>(p.b[at]) << (8 * i);
    }
  } else {
    b = load_codes(p.b + first, p.vector, count);
  }
  uint32_t word = 0;
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int x = code_at(a, i, p.desc.a_signed) - p.desc.a_zero_point;
    const int z = code_at(b, i, p.desc.b_signed) - p.desc.b_zero_point;
    float v;
    if constexpr (kForm == PairForm::Add) {
      v = fma_rn(to_float(z), p.desc.b_multiplier, multiply_rn(to_float(x), p.desc.a_multiplier));
    } else {
      v = multiply_rn(to_float(x * z), p.desc.a_multiplier);
    }
    word |= static_cast<uint32_t>(code_of(p.desc.out, v) & 255) << (8 * i);
  }
  store_codes(p.y + first, word, p.vector, count);
}

KVANT_DEVICE void add_real(const AddRealParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  if (count == 0) return;
  const uint32_t codes = load_codes(p.a + first, p.vector, count);
  uint32_t word = 0;
  for (int i = 0; i < count; ++i) {
    const int code = code_at(codes, i, p.desc.a_signed) - p.desc.a_zero_point;
    const float v = add_rn(multiply_rn(to_float(code), p.desc.a_scale), p.b[first + i]);
    word |= static_cast<uint32_t>(code_of(p.desc.out, divide_rn(v, p.desc.y_scale)) & 255) << (8 * i);
  }
  store_codes(p.y + first, word, p.vector, count);
}

KVANT_DEVICE void quantize_codes(const ScaleParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  uint32_t word = 0;
  for (int i = 0; i < count; ++i) {
    const float v = divide_rn(load<float>(p.x + 4 * (first + i)), p.scale);
    word |= static_cast<uint32_t>(code_of(p.out, v) & 255) << (8 * i);
  }
  store_codes(p.y + first, word, p.vector, count);
}

KVANT_DEVICE void dequantize_codes(const ScaleParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  const uint32_t word = load_codes(p.x + first, p.vector, count);
  for (int i = 0; i < count; ++i) {
    const int code = code_at(word, i, p.is_signed) - p.zero_point;
    store<float>(p.y + 4 * (first + i), multiply_rn(to_float(code), p.scale));
  }
}

KVANT_DEVICE void look_up(const LookUpParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  const uint32_t word = load_codes(p.x + first, p.vector, count);
  if (p.element_bytes == 4) {
    for (int i = 0; i < count; ++i)
      store(p.y + 4 * (first + i), load<uint32_t>(p.table + 4 * (word >> (8 * i) & 255)));
    return;
  }
  uint32_t result = 0;
  for (int i = 0; i < count; ++i) result |= static_cast<uint32_t>(p.table[word >> (8 * i) & 255]) << (8 * i);
  store_codes(p.y + first, result, p.vector, count);
}

KVANT_DEVICE void activate_reals(const RealParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  for (int i = 0; i < count; ++i)
    p.y[first + i] = activate_real(p.activation, p.x[first + i], p.alpha, p.beta);
}

KVANT_DEVICE float unary_real(Unary op, float x) {
  switch (op) {
    case Unary::Erf:
      return erff(x);
    case Unary::Sqrt:
      return square_root_rn(x);
    case Unary::Exp:
      return expf(x);
    case Unary::Log:
      return logf(x);
    case Unary::Neg:
      return -x;
    case Unary::Abs:
      return fabsf(x);
    case Unary::Reciprocal:
      return divide_rn(1.0f, x);
    case Unary::Floor:
      return floorf(x);
    case Unary::Ceil:
      return ceilf(x);
    case Unary::Round:
      return rintf(x);
  }
  return x;
}

KVANT_DEVICE void map_reals(const RealParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  for (int i = 0; i < count; ++i) p.y[first + i] = unary_real(p.unary, p.x[first + i]);
}

KVANT_DEVICE float binary_real(Binary op, float a, float b) {
  switch (op) {
    case Binary::Add:
      return add_rn(a, b);
    case Binary::Sub:
      return add_rn(a, -b);
    case Binary::Mul:
      return multiply_rn(a, b);
    case Binary::Div:
      return divide_rn(a, b);
    case Binary::Min:
      return a != a || b != b ? a + b : b < a ? b : a;  // NaN if either is
    case Binary::Max:
      return a != a || b != b ? a + b : b > a ? b : a;
    case Binary::Pow:
      return powf(a, b);
  }
  return a;
}

KVANT_DEVICE void combine_reals(const BinaryParams& p) {
  const int64_t first = first_element();
  const int count = elements_left(first, p.count);
  wait_for_previous();
  let_next_start();
  for (int i = 0; i < count; ++i) {
    int64_t rest = first + i, a = 0, b = 0;
    for (int axis = p.desc.rank - 1; axis >= 0; --axis) {
      const int64_t at = rest % p.desc.shape[axis];
      rest /= p.desc.shape[axis];
      a += at * p.desc.a_stride[axis];
      b += at * p.desc.b_stride[axis];
    }
    p.y[first + i] = binary_real(p.desc.op, p.a[a], p.b[b]);
  }
}

}  // namespace device

KVANT_KERNEL(add_codes, 256, 1, CodePairParams, device::combine_codes<device::PairForm::Add>)
KVANT_KERNEL(add_reals_to_codes, 256, 1, AddRealParams, device::add_real)
KVANT_KERNEL(multiply_codes, 256, 1, CodePairParams, device::combine_codes<device::PairForm::Multiply>)
KVANT_KERNEL(multiply_channels, 256, 1, CodePairParams,
             device::combine_codes<device::PairForm::MultiplyChannels>)
KVANT_KERNEL(quantize_reals, 256, 1, ScaleParams, device::quantize_codes)
KVANT_KERNEL(dequantize_codes, 256, 1, ScaleParams, device::dequantize_codes)
KVANT_KERNEL(look_up_codes, 256, 1, LookUpParams, device::look_up)
KVANT_KERNEL(activate_reals, 256, 1, RealParams, device::activate_reals)
KVANT_KERNEL(map_reals, 256, 1, RealParams, device::map_reals)
KVANT_KERNEL(combine_reals, 256, 1, BinaryParams, device::combine_reals)

}  // namespace kvant::backends::cuda
