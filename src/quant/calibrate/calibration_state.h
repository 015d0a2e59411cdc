// SPDX-License-Identifier: Apache-2.0
// What a calibration holds between two batches, as bytes: so that one that was stopped goes on as if it had
// not been. Numbers have seven bits a byte, the low ones first (LEB128), for most counts are small.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace kvant::quant {

class StateWriter {
 public:
  void number(uint64_t value);
  void real(float value);
  void text(std::string_view value);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Reads what a StateWriter wrote, from untrusted bytes: every call fails at their end.
class StateReader {
 public:
  explicit StateReader(std::string_view bytes) : bytes_(bytes) {}
  uint64_t number();
  float real();
  std::string text();
  // number(), and fails above `most`.
  uint64_t number_up_to(uint64_t most);
  size_t left() const { return bytes_.size(); }
  bool at_end() const { return bytes_.empty(); }
  [[noreturn]] static void refuse();

 private:
  std::string_view bytes_;
};

// FNV-1a (Fowler, Noll, Vo) over 64-bit words: tells data and models apart, no protection against intent.
class Fingerprint {
 public:
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text);
  void add(uint64_t word) { value_ = (value_ ^ word) * 0x100000001b3u; }
  uint64_t value() const { return value_; }
  explicit Fingerprint(uint64_t start = 0xcbf29ce484222325u) : value_(start) {}

 private:
  uint64_t value_;
};

}  // namespace kvant::quant
