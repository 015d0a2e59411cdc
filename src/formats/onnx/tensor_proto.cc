// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/tensor_proto.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "formats/onnx/tensor_file.h"

namespace kvant::formats {
namespace {

struct ElementType {
  DType dtype;
  int number;
};

constexpr std::array<ElementType, 13> kElementTypes{{{DType::Float32, 1},
                                                     {DType::UInt8, 2},
                                                     {DType::Int8, 3},
                                                     {DType::UInt16, 4},
                                                     {DType::Int16, 5},
                                                     {DType::Int32, 6},
                                                     {DType::Int64, 7},
                                                     {DType::Bool, 9},
                                                     {DType::Float16, 10},
                                                     {DType::Float64, 11},
                                                     {DType::UInt32, 12},
                                                     {DType::UInt64, 13},
                                                     {DType::BFloat16, 16}}};

// Names of the element types that kvant has not, by number.
std::string_view foreign_type(int number) {
  switch (number) {
    case 0:
      return "undefined";
    case 8:
      return "string";
    case 14:
      return "complex64";
    case 15:
      return "complex128";
    case 17:
      return "float8e4m3fn";
    case 18:
      return "float8e4m3fnuz";
    case 19:
      return "float8e5m2";
    case 20:
      return "float8e5m2fnuz";
    case 21:
      return "uint4";
    case 22:
      return "int4";
    case 23:
      return "float4e2m1";
    case 24:
      return "float8e8m0";
    case 25:
      return "uint2";
    case 26:
      return "int2";
    default:
      return "unknown";
  }
}

// The typed field that holds elements of `dtype` when raw_data does not.
template <class Fn>
void with_typed_field(const kvant_onnx::TensorProto& proto, DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::Float32:
      return fn(proto.float_data());
    case DType::Float64:
      return fn(proto.double_data());
    case DType::Int64:
      return fn(proto.int64_data());
    case DType::UInt32:
    case DType::UInt64:
      return fn(proto.uint64_data());
    default:
      return fn(proto.int32_data());
  }
}

Tensor from_typed_field(const kvant_onnx::TensorProto& proto, DType dtype, const Shape& shape, int64_t count,
                        const std::string& what) {
  Tensor result;
  with_typed_field(proto, dtype, [&](const auto& field) {
    if (field.size() != count) {
      fail("{} has shape {} but {} values; the file is damaged", what, to_string(shape), field.size());
    }
    result = Tensor(dtype, shape);
    visit_dtype(dtype, [&]<class T>() {
      auto out = result.mutable_data<T>();
      for (size_t i = 0; i < out.size(); ++i) {
        const auto value = field.Get(static_cast<int>(i));
        if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
          out[i].bits = static_cast<uint16_t>(value);
        } else {
          out[i] = static_cast<T>(value);
        }
      }
    });
  });
  return result;
}

Shape shape_of(const kvant_onnx::TensorProto& proto, const std::string& what) {
  Shape shape(proto.dims().begin(), proto.dims().end());
  for (const int64_t dim : shape) {
    if (dim < 0) fail("{} has the negative dimension {}; the file is damaged", what, dim);
  }
  return shape;
}

int64_t number_of(const kvant_onnx::KeyValue& entry, const std::string& what) {
  const std::string& text = entry.value();
  const bool digits = !text.empty() && text.size() <= 18 &&
                      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) fail("{} has the external data {} '{}', which is no byte count", what, entry.key(), text);
  return std::stoll(text);
}

// A bool is one byte of 0 or 1; files may hold others, and reading those as bool is undefined.
Tensor with_true_bools(Tensor tensor) {
  if (tensor.dtype() != DType::Bool) return tensor;
  const auto raw = std::span(tensor.raw(), tensor.byte_size());
  const auto odd = [](std::byte b) { return std::to_integer<int>(b) > 1; };
  if (std::none_of(raw.begin(), raw.end(), odd)) return tensor;
  std::byte* out = tensor.mutable_raw();
  for (size_t i = 0; i < raw.size(); ++i) out[i] = std::byte{out[i] != std::byte{0}};
  return tensor;
}

}  // namespace

int onnx_number(DType dtype) {
  for (const ElementType& type : kElementTypes) {
    if (type.dtype == dtype) return type.number;
  }
  throw_bug(__FILE__, __LINE__, "dtype", "no ONNX number for a dtype");
}

DType dtype_of_number(int number, const std::string& what) {
  for (const ElementType& type : kElementTypes) {
    if (type.number == number) return type.dtype;
  }
  fail("{} has the element type {} (number {}), which kvant does not support", what, foreign_type(number),
       number);
}

const MappedFile& ExternalData::open(const std::string& location, const std::string& what) {
  if (const auto known = files_.find(location); known != files_.end()) return known->second;
  const std::filesystem::path relative(location);
  const bool climbs = std::find(relative.begin(), relative.end(), "..") != relative.end();
  if (location.empty() || relative.is_absolute() || climbs || location.find('\0') != std::string::npos) {
    fail("{} has its data in '{}'; only files in the model's own folder are read", what, location.c_str());
  }
  const std::filesystem::path path = folder_ / relative;
  std::error_code error;
  const auto home = std::filesystem::canonical(folder_, error);
  const auto target = std::filesystem::canonical(path, error);
  if (error)
    fail("{} has its data in {}, which does not exist; put it beside the model", what, path.string());
  const auto [end, ignored] = std::mismatch(home.begin(), home.end(), target.begin(), target.end());
  if (end != home.end()) {
    fail("{} has its data in {}, a link out of the model's folder; copy the file there", what, path.string());
  }
  return files_.emplace(location, MappedFile(target)).first->second;
}

Tensor ExternalData::load(const kvant_onnx::TensorProto& proto, DType dtype, const Shape& shape,
                          const std::string& what) {
  std::string location;
  int64_t offset = 0;
  int64_t length = -1;
  for (const kvant_onnx::KeyValue& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number_of(entry, what);
    if (entry.key() == "length") length = number_of(entry, what);
  }
  const int64_t needed = element_count(shape) * static_cast<int64_t>(size_of(dtype));
  const MappedFile& file = open(location, what);
  const auto available = static_cast<int64_t>(file.bytes().size());
  if (length >= 0 && length != needed) {
    fail("{} of shape {} takes {} bytes, but its external data has {}", what, to_string(shape), needed,
         length);
  }
  if (offset > available || needed > available - offset) {
    fail("{} ends at byte {} of {}, which has only {}; the file is truncated", what, offset + needed,
         file.path().string(), available);
  }
  if (needed == 0) return Tensor(dtype, shape);
  const std::byte* begin = file.bytes().data() + offset;
  if (static_cast<size_t>(offset) % size_of(dtype) == 0) {
    return with_true_bools(Tensor(dtype, shape, std::shared_ptr<const std::byte>(file.share(), begin)));
  }
  Tensor copy(dtype, shape);  // not aligned for its type: cannot be used in place
  std::memcpy(copy.mutable_raw(), begin, copy.byte_size());
  return with_true_bools(std::move(copy));
}

Tensor to_tensor(const kvant_onnx::TensorProto& proto, ExternalData& external, const std::string& what) {
  const DType dtype = dtype_of_number(proto.data_type(), what);
  const Shape shape = shape_of(proto, what);
  const int64_t count = noting([&] { return what; }, [&] { return element_count(shape); });
  if (proto.data_location() == 1) return external.load(proto, dtype, shape, what);
  if (!proto.has_raw_data()) return from_typed_field(proto, dtype, shape, count, what);
  const auto needed = static_cast<size_t>(count) * size_of(dtype);
  if (proto.raw_data().size() != needed) {
    fail("{} of shape {} takes {} bytes but holds {}; the file is damaged", what, to_string(shape), needed,
         proto.raw_data().size());
  }
  Tensor result(dtype, shape);
  if (needed > 0) std::memcpy(result.mutable_raw(), proto.raw_data().data(), needed);
  return with_true_bools(std::move(result));
}

void describe(const Tensor& tensor, const std::string& name, kvant_onnx::TensorProto& proto) {
  for (const int64_t dim : tensor.shape()) proto.add_dims(dim);
  proto.set_data_type(onnx_number(tensor.dtype()));
  if (!name.empty()) proto.set_name(name);
}

void from_tensor(const Tensor& tensor, const std::string& name, kvant_onnx::TensorProto& proto) {
  describe(tensor, name, proto);
  proto.set_raw_data(tensor.raw(), tensor.byte_size());
}

Tensor read_tensor(const std::filesystem::path& path) {
  const MappedFile file(path);
  kvant_onnx::TensorProto proto;
  if (file.bytes().size() > INT32_MAX ||
      !proto.ParseFromArray(file.bytes().data(), static_cast<int>(file.bytes().size()))) {
    fail("{} is not an ONNX tensor (truncated or damaged)", path.string());
  }
  ExternalData external(path.has_parent_path() ? path.parent_path() : ".");
  return to_tensor(proto, external, path.string());
}

}  // namespace kvant::formats
