// SPDX-License-Identifier: Apache-2.0
// Element types of tensors, and the 16-bit floats that C++20 does not have.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace kvant {

enum class DType : uint8_t {
  Float32,
  Float64,
  Float16,
  BFloat16,
  Int8,
  UInt8,
  Int16,
  UInt16,
  Int32,
  UInt32,
  Int64,
  UInt64,
  Bool
};

// IEEE 754 binary16, storage only; conversions round to nearest even.
struct Half {
  uint16_t bits = 0;
  Half() = default;
  explicit Half(float value);
  explicit operator float() const;
  friend bool operator==(Half, Half) = default;
};

// bfloat16, storage only; conversions round to nearest even.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value);
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
  friend bool operator==(BFloat16, BFloat16) = default;
};

size_t size_of(DType dtype);
// Short names, also of the text form: f32 f64 f16 bf16 i8 u8 i16 u16 i32 u32 i64 u64 bool.
std::string_view name(DType dtype);
std::optional<DType> dtype_named(std::string_view name);
bool is_float(DType dtype);
bool is_integer(DType dtype);  // not Bool

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::Float32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::Float64;
}
template <>
constexpr DType dtype_of<Half>() {
  return DType::Float16;
}
template <>
constexpr DType dtype_of<BFloat16>() {
  return DType::BFloat16;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::Int8;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::UInt8;
}
template <>
constexpr DType dtype_of<int16_t>() {
  return DType::Int16;
}
template <>
constexpr DType dtype_of<uint16_t>() {
  return DType::UInt16;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::Int32;
}
template <>
constexpr DType dtype_of<uint32_t>() {
  return DType::UInt32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::Int64;
}
template <>
constexpr DType dtype_of<uint64_t>() {
  return DType::UInt64;
}
template <>
constexpr DType dtype_of<bool>() {
  return DType::Bool;
}

// Calls fn.template operator()<T>() for the C++ type of `dtype`: visit_dtype(t.dtype(), [&]<class T>() { ...
// }).
template <class Fn>
decltype(auto) visit_dtype(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::Float32:
      return fn.template operator()<float>();
    case DType::Float64:
      return fn.template operator()<double>();
    case DType::Float16:
      return fn.template operator()<Half>();
    case DType::BFloat16:
      return fn.template operator()<BFloat16>();
    case DType::Int8:
      return fn.template operator()<int8_t>();
    case DType::UInt8:
      return fn.template operator()<uint8_t>();
    case DType::Int16:
      return fn.template operator()<int16_t>();
    case DType::UInt16:
      return fn.template operator()<uint16_t>();
    case DType::Int32:
      return fn.template operator()<int32_t>();
    case DType::UInt32:
      return fn.template operator()<uint32_t>();
    case DType::Int64:
      return fn.template operator()<int64_t>();
    case DType::UInt64:
      return fn.template operator()<uint64_t>();
    case DType::Bool:
      return fn.template operator()<bool>();
  }
  throw_bug(__FILE__, __LINE__, "dtype", "unknown dtype");
}

}  // namespace kvant
