// SPDX-License-Identifier: Apache-2.0
#include "tensor/dtype.h"

#include <array>

namespace kvant {
namespace {

constexpr std::array<std::string_view, 13> kNames = {"f32", "f64", "f16", "bf16", "i8",  "u8",  "i16",
                                                     "u16", "i32", "u32", "i64",  "u64", "bool"};

}  // namespace

size_t size_of(DType dtype) {
  return visit_dtype(dtype, []<class T>() { return sizeof(T); });
}

std::string_view name(DType dtype) { return kNames[static_cast<size_t>(dtype)]; }

std::optional<DType> dtype_named(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

bool is_float(DType dtype) {
  return dtype == DType::Float32 || dtype == DType::Float64 || dtype == DType::Float16 ||
         dtype == DType::BFloat16;
}

bool is_integer(DType dtype) { return !is_float(dtype) && dtype != DType::Bool; }

// Round to nearest even on the bit pattern; overflow gives infinity, NaN stays NaN.
Half::Half(float value) {
  const uint32_t x = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (x >> 16) & 0x8000u;
  const uint32_t magnitude = x & 0x7FFFFFFFu;
  uint32_t result;
  if (magnitude > 0x7F800000u) {
    result = 0x7E00u | ((magnitude >> 13) & 0x1FFu);
  } else if (magnitude >= 0x477FF000u) {  // rounds to 65536 or more
    result = 0x7C00u;
  } else if (magnitude >= 0x38800000u) {  // normal: rebias 127 -> 15
    const uint32_t rebiased = magnitude - 0x38000000u;
    result = (rebiased + 0xFFFu + ((rebiased >> 13) & 1u)) >> 13;
  } else if (magnitude < 0x33000000u) {  // below half of the smallest subnormal
    result = 0;
  } else {
    const uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    const uint32_t shift = 126u - (magnitude >> 23);  // 14..24
    const uint32_t half = 1u << (shift - 1);
    result = (mantissa + half - 1u + ((mantissa >> shift) & 1u)) >> shift;
  }
  bits = static_cast<uint16_t>(sign | result);
}

Half::operator float() const {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1Fu;
  const uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

BFloat16::BFloat16(float value) {
  const uint32_t x = std::bit_cast<uint32_t>(value);
  if ((x & 0x7FFFFFFFu) > 0x7F800000u) {
    bits = static_cast<uint16_t>((x >> 16) | 0x40u);
  } else {
    bits = static_cast<uint16_t>((x + 0x7FFFu + ((x >> 16) & 1u)) >> 16);
  }
}

}  // namespace kvant
