// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/calibration_state.h"

#include <bit>
#include <cstring>

#include "base/error.h"

namespace kvant::quant {

void StateWriter::number(uint64_t value) {
  for (; value > 0x7f; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
  bytes_ += static_cast<char>(value);
}

void StateWriter::real(float value) { number(std::bit_cast<uint32_t>(value)); }

void StateWriter::text(std::string_view value) {
  number(value.size());
  bytes_ += value;
}

void StateReader::refuse() {
  fail("the state of the calibration is damaged: delete the file and calibrate from the start");
}

uint64_t StateReader::number() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (bytes_.empty()) refuse();
    const auto byte = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  refuse();
}

uint64_t StateReader::number_up_to(uint64_t most) {
  const uint64_t value = number();
  if (value > most) refuse();
  return value;
}

float StateReader::real() {
  const auto value = std::bit_cast<float>(static_cast<uint32_t>(number_up_to(UINT32_MAX)));
  if ((std::bit_cast<uint32_t>(value) & 0x7f800000u) == 0x7f800000u) refuse();  // calibrators hold none
  return value;
}

std::string StateReader::text() {
  const uint64_t size = number_up_to(bytes_.size());
  if (size > bytes_.size()) refuse();
  std::string value(bytes_.substr(0, size));
  bytes_.remove_prefix(size);
  return value;
}

void Fingerprint::add(std::span<const std::byte> bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    // FNV mixes upwards only; the turn brings the high bits of each word back down.
    add(word);
    value_ = std::rotl(value_, 29);
  }
  for (; i < bytes.size(); ++i) add(static_cast<uint64_t>(bytes[i]));
  add(bytes.size());
}

void Fingerprint::add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }

}  // namespace kvant::quant
