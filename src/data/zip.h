// SPDX-License-Identifier: Apache-2.0
// Zip archives as far as .npz needs them: stored and deflated members, ZIP64 when reading. Specification:
// PKWARE APPNOTE 6.3. Every offset and size is checked against the file before use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "data/stream.h"

namespace kvant::data {

struct ZipMember {
  std::string name;
  uint16_t method = 0;  // 0 stored, 8 deflated
  uint32_t crc = 0;
  uint64_t packed_size = 0;
  uint64_t size = 0;
  uint64_t header = 0;  // offset of the local header
};

class ZipReader {
 public:
  // `name` is the file in messages. Fails if `file` is no zip archive.
  ZipReader(Bytes file, std::string name);
  // In the order of the archive's directory; folders are left out.
  const std::vector<ZipMember>& members() const { return members_; }
  // A stored member is part of the file, a deflated one new memory. Fails on a wrong checksum.
  Bytes read(const ZipMember& member) const;

 private:
  uint64_t number(uint64_t offset, int bytes) const;
  void read_directory();
  uint64_t read_member(uint64_t offset);
  [[noreturn]] void damaged(std::string_view what) const;

  Bytes file_;
  std::string name_;
  std::vector<ZipMember> members_;
};

// Writes stored members to `file` one after the other. The caller commits the file after finish().
class ZipWriter {
 public:
  explicit ZipWriter(AtomicFile& file) : file_(file) {}
  // `content` is written as given, in parts. Fails beyond the 4 GiB that a plain zip file can hold.
  void add(const std::string& name, std::span<const std::string_view> content);
  void finish();

 private:
  AtomicFile& file_;
  std::vector<ZipMember> members_;
};

}  // namespace kvant::data
