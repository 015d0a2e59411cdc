// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/model_file.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/file.h"

namespace kvant::formats {
namespace {

using Bytes = std::span<const std::byte>;

constexpr int kVarint = 0;
constexpr int kLengthDelimited = 2;

struct Field {
  uint64_t number;
  int wire_type;
};

// The outermost fields of a model (protobuf field number, wire type).
constexpr std::array<Field, 13> kModelFields{{{1, kVarint},
                                              {2, kLengthDelimited},
                                              {3, kLengthDelimited},
                                              {4, kLengthDelimited},
                                              {5, kVarint},
                                              {6, kLengthDelimited},
                                              {7, kLengthDelimited},
                                              {8, kLengthDelimited},
                                              {14, kLengthDelimited},
                                              {20, kLengthDelimited},
                                              {25, kLengthDelimited},
                                              {26, kLengthDelimited},
                                              {27, kLengthDelimited}}};
constexpr uint64_t kGraphField = 7;

std::optional<uint64_t> take_varint(Bytes& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) return std::nullopt;
    const auto byte = std::to_integer<uint64_t>(bytes.front());
    bytes = bytes.subspan(1);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Skips one field; its number, or nothing if it is not one of a model's or does not end in time.
std::optional<uint64_t> take_field(Bytes& bytes) {
  const std::optional<uint64_t> tag = take_varint(bytes);
  if (!tag) return std::nullopt;
  const Field field{*tag >> 3, static_cast<int>(*tag & 7)};
  const bool known = std::any_of(kModelFields.begin(), kModelFields.end(), [&](const Field& f) {
    return f.number == field.number && f.wire_type == field.wire_type;
  });
  const std::optional<uint64_t> value = known ? take_varint(bytes) : std::nullopt;
  if (!value) return std::nullopt;
  if (field.wire_type == kLengthDelimited) {
    if (*value > bytes.size()) return std::nullopt;
    bytes = bytes.subspan(*value);
  }
  return field.number;
}

bool is_model(Bytes bytes) {
  bool graph = false;
  while (!bytes.empty()) {
    const std::optional<uint64_t> field = take_field(bytes);
    if (!field) return false;
    graph |= *field == kGraphField;
  }
  return graph;
}

}  // namespace

std::unique_ptr<kvant_onnx::ModelProto> parse_model(const std::filesystem::path& path) {
  const MappedFile file(path);
  if (file.bytes().empty()) fail("{} is empty: not an ONNX model (truncated or damaged)", path.string());
  if (file.bytes().size() > INT32_MAX) {
    fail("{} is larger than 2 GiB, which the ONNX format does not allow; export it with external data",
         path.string());
  }
  auto model = std::make_unique<kvant_onnx::ModelProto>();
  const bool parsed = is_model(file.bytes()) &&
                      model->ParseFromArray(file.bytes().data(), static_cast<int>(file.bytes().size()));
  if (!parsed) fail("{} is not an ONNX model (truncated or damaged)", path.string());
  return model;
}

bool is_onnx_file(const std::filesystem::path& path) {
  try {
    return is_model(MappedFile(path).bytes());
  } catch (const Error&) {
    return false;  // missing or unreadable: not an ONNX file either
  }
}

}  // namespace kvant::formats
