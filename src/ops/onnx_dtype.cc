// SPDX-License-Identifier: Apache-2.0
#include "ops/onnx_dtype.h"

#include <array>
#include <optional>
#include <string>
#include <utility>

namespace kvant::ops {
namespace {

struct Entry {
  int64_t number;
  std::string_view name;
  std::optional<DType> dtype;
};

constexpr std::array kTypes{
    Entry{1, "float", DType::Float32},       Entry{2, "uint8", DType::UInt8},
    Entry{3, "int8", DType::Int8},           Entry{4, "uint16", DType::UInt16},
    Entry{5, "int16", DType::Int16},         Entry{6, "int32", DType::Int32},
    Entry{7, "int64", DType::Int64},         Entry{8, "string", std::nullopt},
    Entry{9, "bool", DType::Bool},           Entry{10, "float16", DType::Float16},
    Entry{11, "double", DType::Float64},     Entry{12, "uint32", DType::UInt32},
    Entry{13, "uint64", DType::UInt64},      Entry{14, "complex64", std::nullopt},
    Entry{15, "complex128", std::nullopt},   Entry{16, "bfloat16", DType::BFloat16},
    Entry{17, "float8e4m3fn", std::nullopt}, Entry{18, "float8e4m3fnuz", std::nullopt},
    Entry{19, "float8e5m2", std::nullopt},   Entry{20, "float8e5m2fnuz", std::nullopt},
    Entry{21, "uint4", std::nullopt},        Entry{22, "int4", std::nullopt},
    Entry{23, "float4e2m1", std::nullopt},
};

}  // namespace

DType dtype_of_onnx(std::string_view op, int64_t number) {
  for (const Entry& entry : kTypes) {
    if (entry.number != number) continue;
    if (!entry.dtype) fail("{}: element type {} is not supported", op, entry.name);
    return *entry.dtype;
  }
  fail("{}: {} is not an ONNX element type", op, number);
}

int64_t onnx_number(DType dtype) {
  for (const Entry& entry : kTypes) {
    if (entry.dtype == dtype) return entry.number;
  }
  throw_bug(__FILE__, __LINE__, "dtype", "element type without an ONNX number");
}

DType dtype_attribute(const ir::Node& node, std::string_view attribute, DType absent) {
  if (!node.attributes.has(attribute)) return absent;
  return dtype_of_onnx(node.op, node.attributes.integer(attribute, 0));
}

}  // namespace kvant::ops
