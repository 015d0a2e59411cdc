// SPDX-License-Identifier: Apache-2.0
#include "data/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "data/stream.h"
#include "data/zip.h"

namespace kvant::data {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeader = size_t{1} << 20;
constexpr size_t kMaxRank = 32;

struct Header {
  DType dtype = DType::Float32;
  bool swapped = false;
  bool fortran = false;
  Shape shape;
  size_t size = 0;  // of magic, length and dictionary
};

struct TypeCode {
  const char* code;
  DType dtype;
};
constexpr TypeCode kTypes[] = {{"f4", DType::Float32}, {"f8", DType::Float64}, {"f2", DType::Float16},
                               {"i1", DType::Int8},    {"u1", DType::UInt8},   {"i2", DType::Int16},
                               {"u2", DType::UInt16},  {"i4", DType::Int32},   {"u4", DType::UInt32},
                               {"i8", DType::Int64},   {"u8", DType::UInt64},  {"b1", DType::Bool}};

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

// The text after 'key': in the header's Python dictionary.
std::string_view value_of(std::string_view dictionary, std::string_view key, std::string_view name) {
  for (const char quote : {'\'', '"'}) {
    const std::string quoted = quote + std::string(key) + quote;
    const size_t at = dictionary.find(quoted);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = trimmed(dictionary.substr(at + quoted.size()));
    if (rest.starts_with(':')) return trimmed(rest.substr(1));
  }
  fail("{} is damaged: its .npy header lacks '{}'", name, key);
}

void read_type(std::string_view value, Header& header, std::string_view name) {
  const char quote = value.empty() ? ' ' : value[0];
  const size_t end = quote == '\'' || quote == '"' ? value.find(quote, 1) : std::string_view::npos;
  if (end == std::string_view::npos) {
    fail("{} holds an array of records or objects, only arrays of plain numbers can be read", name);
  }
  std::string_view code = value.substr(1, end - 1);
  const std::string whole(code);
  if (!code.empty() && std::string_view("<>|=").find(code[0]) != std::string_view::npos) {
    header.swapped = code[0] == '>';
    code.remove_prefix(1);
  }
  for (const TypeCode& type : kTypes) {
    if (code == type.code) {
      header.dtype = type.dtype;
      return;
    }
  }
  fail("{} holds an array of type '{}', which is not a number type that can be read", name, whole);
}

Shape read_shape(std::string_view value, std::string_view name) {
  const size_t end = value.find(')');
  if (!value.starts_with('(') || end == std::string_view::npos)
    fail("{} is damaged: bad shape in its .npy header", name);
  Shape shape;
  std::string_view rest = trimmed(value.substr(1, end - 1));
  while (!rest.empty()) {
    int64_t dimension = 0;
    const auto [stop, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), dimension);
    if (problem != std::errc() || dimension < 0 || shape.size() == kMaxRank) {
      fail("{} is damaged: bad shape in its .npy header", name);
    }
    shape.push_back(dimension);
    rest = trimmed(rest.substr(static_cast<size_t>(stop - rest.data())));
    if (rest.empty()) break;
    if (rest[0] != ',') fail("{} is damaged: bad shape in its .npy header", name);
    rest = trimmed(rest.substr(1));
  }
  return shape;
}

Header read_header(std::span<const std::byte> bytes, std::string_view name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic) || text.size() < 10) fail("{} is not a .npy file", name);
  const int version = text[6];
  if (version < 1 || version > 3)
    fail("{} has version {} of the .npy format, 1 to 3 can be read", name, version);
  const size_t length_bytes = version == 1 ? 2 : 4;
  if (text.size() < 8 + length_bytes) fail("{} is truncated inside its .npy header", name);
  size_t length = 0;
  for (size_t i = 0; i < length_bytes; ++i) length |= static_cast<size_t>(bytes[8 + i]) << (8 * i);
  Header header;
  header.size = 8 + length_bytes + length;
  if (length > kMaxHeader || header.size > text.size()) fail("{} is truncated inside its .npy header", name);
  const std::string_view dictionary = text.substr(8 + length_bytes, length);
  read_type(value_of(dictionary, "descr", name), header, name);
  header.fortran = value_of(dictionary, "fortran_order", name).starts_with("True");
  header.shape = read_shape(value_of(dictionary, "shape", name), name);
  return header;
}

void swap_bytes(Tensor& tensor) {
  const size_t width = size_of(tensor.dtype());
  std::byte* bytes = tensor.mutable_raw();
  for (size_t at = 0; at < tensor.byte_size(); at += width) std::reverse(bytes + at, bytes + at + width);
}

// Fortran order is the C order of the reversed shape.
Tensor from_fortran(const Tensor& stored) {
  std::vector<int64_t> reversed(stored.rank());
  for (size_t i = 0; i < reversed.size(); ++i) reversed[i] = static_cast<int64_t>(reversed.size() - 1 - i);
  return transpose(stored, reversed);
}

std::string header_text(DType dtype, const Shape& shape) {
  std::string code;
  for (const TypeCode& type : kTypes) {
    if (type.dtype == dtype) code = type.code;
  }
  KVANT_CHECK(!code.empty(), "dtype without a NumPy name");
  std::string text = "{'descr': '" + std::string(size_of(dtype) == 1 ? "|" : "<") + code +
                     "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? " " : "") + std::to_string(shape[i]) + ",";
  if (shape.size() > 1) text.pop_back();
  text += "), }";
  // The data begins at a multiple of 64.
  const size_t prefix = kMagic.size() + 4;
  text += std::string((64 - (prefix + text.size() + 1) % 64) % 64, ' ') + "\n";
  std::string result = std::string(kMagic) + '\x01' + '\0';
  result += static_cast<char>(text.size() & 0xff);
  result += static_cast<char>(text.size() >> 8 & 0xff);
  return result + text;
}

Tensor writable(const Tensor& tensor) {
  return tensor.dtype() == DType::BFloat16 ? tensor.cast(DType::Float32) : tensor;
}

std::string_view text_of(const Tensor& tensor) {
  return {reinterpret_cast<const char*>(tensor.raw()), tensor.byte_size()};
}

}  // namespace

Tensor parse_npy(std::span<const std::byte> bytes, const std::shared_ptr<const std::byte>& owner,
                 std::string_view name) {
  const Header header = read_header(bytes, name);
  const auto size = noting([&] { return fmt::format("file {}", name); },
                           [&] { return static_cast<size_t>(element_count(header.shape)); }) *
                    size_of(header.dtype);
  const auto data = bytes.subspan(header.size);
  if (data.size() < size) {
    fail("{} is truncated: an array of shape {} has {} bytes, the file has {}", name, to_string(header.shape),
         size, data.size());
  }
  Shape stored = header.shape;
  if (header.fortran) std::reverse(stored.begin(), stored.end());
  Tensor tensor;
  const bool aligned = reinterpret_cast<uintptr_t>(data.data()) % size_of(header.dtype) == 0;
  if (owner && aligned && !header.swapped) {
    tensor = Tensor(header.dtype, stored, std::shared_ptr<const std::byte>(owner, data.data()));
  } else {
    tensor = Tensor(header.dtype, stored);
    if (size > 0) std::memcpy(tensor.mutable_raw(), data.data(), size);
    if (header.swapped) swap_bytes(tensor);
  }
  return header.fortran ? from_fortran(tensor) : tensor;
}

Tensor read_npy(const std::filesystem::path& path) {
  const Bytes file = map_file(path.string());
  return parse_npy(file.view, file.owner, path.string());
}

NamedTensors read_npz(const std::filesystem::path& path) {
  const ZipReader zip(map_file(path.string()), path.string());
  NamedTensors result;
  for (const ZipMember& member : zip.members()) {
    if (!member.name.ends_with(".npy")) continue;
    const Bytes content = zip.read(member);
    result.emplace_back(member.name.substr(0, member.name.size() - 4),
                        parse_npy(content.view, content.owner, path.string() + ", array " + member.name));
  }
  return result;
}

void write_npy(const std::filesystem::path& path, const Tensor& tensor) {
  const Tensor out = writable(tensor);
  AtomicFile file(path);
  file.write(header_text(out.dtype(), out.shape()));
  file.write(text_of(out));
  file.commit();
}

void write_npz(const std::filesystem::path& path, const NamedTensors& tensors) {
  AtomicFile file(path);
  ZipWriter zip(file);
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second) fail("cannot write {}: two arrays are called '{}'", path.string(), name);
    const Tensor out = writable(tensor);
    const std::string header = header_text(out.dtype(), out.shape());
    const std::string_view parts[] = {header, text_of(out)};
    zip.add(name + ".npy", parts);
  }
  zip.finish();
  file.commit();
}

}  // namespace kvant::data
