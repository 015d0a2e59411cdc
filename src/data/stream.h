// SPDX-License-Identifier: Apache-2.0
// Bytes with their owner, and sequential reading of bytes that may be compressed (gzip, zstd, raw deflate),
// so that a file's header can be checked before memory is taken for what it announces.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace kvant::data {

// A part of a mapped file or of memory; the owner keeps it alive.
struct Bytes {
  std::span<const std::byte> view;
  std::shared_ptr<const std::byte> owner;
};

// The whole file, mapped.
Bytes map_file(const std::string& path);
// Memory as Bytes.
Bytes own(std::vector<std::byte> memory);

enum class Compression { None, Gzip, Zstd, Deflate };

// By the ending of the name: .gz, .zst (also .tgz and .tzst).
Compression compression_of(std::string_view name);

class Stream {
 public:
  // `name` is the file in messages.
  Stream(Bytes source, Compression compression, std::string name);
  ~Stream();
  Stream(Stream&&) noexcept;

  // Fills `out` as far as there is data; less than asked for only at the end. Fails on damaged or truncated
  // data: "NAME is damaged (corrupt gzip data: ...)".
  size_t read(std::span<std::byte> out);
  // Exactly `count` bytes, in memory that grows with the data really there; fails naming `what` if there are
  // fewer.
  std::vector<std::byte> read_exactly(size_t count, const char* what);
  // All that is left; fails above `limit` bytes.
  std::vector<std::byte> read_rest(size_t limit);
  bool at_end();
  const std::string& name() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kvant::data
