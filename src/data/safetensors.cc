// SPDX-License-Identifier: Apache-2.0
#include "data/safetensors.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "data/stream.h"

namespace kvant::data {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = uint64_t{1} << 24;  // room for 100,000 tensors
constexpr int kMaxDepth = 3;                        // { name: { shape: [
constexpr size_t kMaxRank = 32;
constexpr size_t kTensorAlignment = 8;

struct TypeCode {
  const char* code;
  DType dtype;
};
constexpr TypeCode kTypes[] = {{"F64", DType::Float64},   {"F32", DType::Float32}, {"F16", DType::Float16},
                               {"BF16", DType::BFloat16}, {"I64", DType::Int64},   {"I32", DType::Int32},
                               {"I16", DType::Int16},     {"I8", DType::Int8},     {"U64", DType::UInt64},
                               {"U32", DType::UInt32},    {"U16", DType::UInt16},  {"U8", DType::UInt8},
                               {"BOOL", DType::Bool}};

DType dtype_of_code(const Json& code, const std::string& tensor) {
  if (!code.is_string()) fail("tensor '{}' has no element type", tensor);
  const auto& wanted = code.get_ref<const std::string&>();
  for (const TypeCode& type : kTypes) {
    if (wanted == type.code) return type.dtype;
  }
  fail("tensor '{}' is of type '{}', which is not a number type that can be read", tensor, wanted);
}

Shape shape_of(const Json& dims, const std::string& tensor) {
  if (!dims.is_array() || dims.size() > kMaxRank) fail("tensor '{}' has no valid shape", tensor);
  Shape shape;
  for (const Json& dim : dims) {
    if (!dim.is_number_unsigned() || dim.get<uint64_t>() > uint64_t{1} << 40) {
      fail("tensor '{}' has no valid shape", tensor);
    }
    shape.push_back(dim.get<int64_t>());
  }
  return shape;
}

Tensor tensor_of(const std::string& name, const Json& entry, const Bytes& file, size_t data_begin) {
  const auto field = [&](const char* key) -> const Json& {
    static const Json kAbsent;
    const auto found = entry.is_object() ? entry.find(key) : entry.end();
    return entry.is_object() && found != entry.end() ? *found : kAbsent;
  };
  const DType dtype = dtype_of_code(field("dtype"), name);
  const Shape shape = shape_of(field("shape"), name);
  const Json& range = field("data_offsets");
  if (!range.is_array() || range.size() != 2 || !range[0].is_number_unsigned() ||
      !range[1].is_number_unsigned()) {
    fail("tensor '{}' has no valid data_offsets", name);
  }
  const auto begin = range[0].get<uint64_t>(), end = range[1].get<uint64_t>();
  const uint64_t available = file.view.size() - data_begin;
  if (begin > end || end > available) {
    fail("tensor '{}' lies at bytes {} to {}, but the file has {} bytes of data", name, begin, end,
         available);
  }
  const auto count = static_cast<uint64_t>(element_count(shape));
  const uint64_t width = size_of(dtype);
  if ((end - begin) % width != 0 || (end - begin) / width != count) {
    fail("tensor '{}' of shape {} takes {} bytes of its file, not {}", name, to_string(shape), end - begin,
         count * width);
  }
  const std::byte* bytes = file.view.data() + data_begin + begin;
  if (reinterpret_cast<uintptr_t>(bytes) % width == 0) {
    return Tensor(dtype, shape, std::shared_ptr<const std::byte>(file.owner, bytes));
  }
  Tensor copy(dtype, shape);
  if (end > begin) std::memcpy(copy.mutable_raw(), bytes, end - begin);
  return copy;
}

// Brackets that open within brackets would cost the JSON parser much more memory than they take in the file.
bool is_deeper_than(std::string_view json, int limit) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > limit) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

NamedTensors parse(const Bytes& file) {
  uint64_t length = 0;
  if (file.view.size() < kLengthBytes) fail("the file is too short to be a safetensors file");
  for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(file.view[i]) << (8 * i);
  const uint64_t available = file.view.size() - kLengthBytes;
  if (length <= available && length > kMaxHeader) {
    fail("the header has {} bytes, more than the {} that are read", length, kMaxHeader);
  }
  if (length > available) {
    fail(
        "the file announces a header of {} bytes, but has {} bytes in all; it is no safetensors file or cut "
        "off",
        length, file.view.size());
  }
  const char* text = reinterpret_cast<const char*>(file.view.data()) + kLengthBytes;
  const bool deep = is_deeper_than({text, static_cast<size_t>(length)}, kMaxDepth);
  const Json header = deep ? Json() : Json::parse(text, text + length, nullptr, false);
  if (!header.is_object()) fail("the header is not the JSON object of a safetensors file");
  NamedTensors tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    tensors.emplace_back(name, tensor_of(name, entry, file, kLengthBytes + length));
  }
  return tensors;
}

const char* code_of(DType dtype) {
  for (const TypeCode& type : kTypes) {
    if (type.dtype == dtype) return type.code;
  }
  fail("safetensors files cannot hold elements of type {}", name(dtype));
}

}  // namespace

NamedTensors read_safetensors(const std::filesystem::path& path) {
  const Bytes file = map_file(path.string());
  return noting([&] { return fmt::format("while reading {}", path.string()); }, [&] { return parse(file); });
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  Json header = Json::object();
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    if (header.contains(name)) fail("two tensors are named '{}'", name);
    const uint64_t end = offset + tensor.byte_size();
    header[name] = {
        {"dtype", code_of(tensor.dtype())}, {"shape", tensor.shape()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((kTensorAlignment - text.size() % kTensorAlignment) % kTensorAlignment, ' ');
  std::string length;
  for (size_t i = 0; i < kLengthBytes; ++i)
    length.push_back(static_cast<char>(text.size() >> (8 * i) & 0xff));
  AtomicFile file(path);
  file.write(length);
  file.write(text);
  for (const auto& [name, tensor] : tensors) file.write(std::span(tensor.raw(), tensor.byte_size()));
  file.commit();
}

}  // namespace kvant::data
