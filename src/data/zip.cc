// SPDX-License-Identifier: Apache-2.0
#include "data/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace kvant::data {
namespace {

constexpr uint32_t kLocal = 0x04034b50;
constexpr uint32_t kCentral = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kLocator64 = 0x07064b50;
constexpr uint64_t kLocalSize = 30;
constexpr uint64_t kCentralSize = 46;
constexpr uint64_t kEndSize = 22;
constexpr uint64_t kMaxComment = 65535;
constexpr uint64_t kMaxPlain = 0xffffffffu;
constexpr uint64_t kMaxDeflateRatio = 1032;

uint32_t checksum(std::span<const std::byte> bytes, uint32_t before) {
  if (bytes.empty()) return before;  // zlib starts anew when it gets no memory
  return static_cast<uint32_t>(crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

// What the local header and the directory entry have in common, from "version needed" to the name's length.
void put_shared(std::string& out, const ZipMember& member) {
  put(out, 20, 2);
  put(out, 0, 2);
  put(out, 0, 2);
  put(out, 0, 2);       // time: midnight
  put(out, 0x0021, 2);  // date: 1 January 1980, so that the same tensors give the same file
  put(out, member.crc, 4);
  put(out, member.packed_size, 4);
  put(out, member.size, 4);
  put(out, member.name.size(), 2);
  put(out, 0, 2);
}

}  // namespace

ZipReader::ZipReader(Bytes file, std::string name) : file_(std::move(file)), name_(std::move(name)) {
  read_directory();
}

void ZipReader::damaged(std::string_view what) const {
  fail("{} is not a zip archive, or is damaged: {}", name_, what);
}

uint64_t ZipReader::number(uint64_t offset, int bytes) const {
  const uint64_t size = file_.view.size();
  if (offset > size || size - offset < static_cast<uint64_t>(bytes)) damaged("it ends too early");
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value |= static_cast<uint64_t>(file_.view[offset + static_cast<uint64_t>(i)]) << (8 * i);
  }
  return value;
}

void ZipReader::read_directory() {
  const uint64_t size = file_.view.size();
  if (size < kEndSize) damaged("it is too short");
  uint64_t end = size - kEndSize;
  const uint64_t lowest = end > kMaxComment ? end - kMaxComment : 0;
  while (number(end, 4) != kEnd) {
    if (end == lowest) damaged("its directory is missing (is it truncated?)");
    --end;
  }
  uint64_t count = number(end + 10, 2);
  uint64_t offset = number(end + 16, 4);
  const bool has64 = end >= 20 && number(end - 20, 4) == kLocator64;
  if (has64 && (count == 0xffff || offset == kMaxPlain)) {
    const uint64_t end64 = number(end - 20 + 8, 8);
    if (number(end64, 4) != kEnd64) damaged("its ZIP64 directory is missing");
    count = number(end64 + 32, 8);
    offset = number(end64 + 48, 8);
  }
  if (count > size / kCentralSize) damaged("it says it has more members than it can hold");
  for (uint64_t i = 0; i < count; ++i) offset = read_member(offset);
}

// Returns the offset of the next directory entry.
uint64_t ZipReader::read_member(uint64_t offset) {
  if (number(offset, 4) != kCentral) damaged("bad entry in its directory");
  ZipMember member;
  const uint64_t flags = number(offset + 8, 2);
  member.method = static_cast<uint16_t>(number(offset + 10, 2));
  member.crc = static_cast<uint32_t>(number(offset + 16, 4));
  member.packed_size = number(offset + 20, 4);
  member.size = number(offset + 24, 4);
  member.header = number(offset + 42, 4);
  const uint64_t name_size = number(offset + 28, 2);
  const uint64_t extra_size = number(offset + 30, 2);
  const uint64_t comment_size = number(offset + 32, 2);
  const uint64_t extra = offset + kCentralSize + name_size;
  const uint64_t next = extra + extra_size + comment_size;
  if (next > file_.view.size()) damaged("its directory ends too early");
  member.name.assign(reinterpret_cast<const char*>(file_.view.data()) + offset + kCentralSize, name_size);
  // ZIP64 values stand in an extra field, in this order, for each field that is all ones.
  for (uint64_t at = extra; at + 4 <= extra + extra_size;) {
    const uint64_t length = number(at + 2, 2);
    if (number(at, 2) == 1) {
      uint64_t place = at + 4;
      for (uint64_t* field : {&member.size, &member.packed_size, &member.header}) {
        if (*field != kMaxPlain) continue;
        if (place + 8 > at + 4 + length) damaged("bad ZIP64 field in its directory");
        *field = number(place, 8);
        place += 8;
      }
    }
    at += 4 + length;
  }
  if ((flags & 1) != 0) fail("{}: the member {} is encrypted", name_, member.name);
  if (!member.name.ends_with('/')) members_.push_back(std::move(member));
  return next;
}

Bytes ZipReader::read(const ZipMember& member) const {
  const auto bad = [&](std::string_view what) {
    fail("{} is damaged: the member {} {}", name_, member.name, what);
  };
  if (number(member.header, 4) != kLocal) bad("is not where the directory says");
  const uint64_t start =
      member.header + kLocalSize + number(member.header + 26, 2) + number(member.header + 28, 2);
  const uint64_t size = file_.view.size();
  if (start > size || member.packed_size > size - start) bad("reaches beyond the end of the file");
  Bytes content{file_.view.subspan(start, member.packed_size), file_.owner};
  if (member.method == 8) {
    if (member.size / kMaxDeflateRatio > member.packed_size) bad("announces an impossible size");
    Stream stream(std::move(content), Compression::Deflate, name_ + ", member " + member.name);
    content = own(stream.read_exactly(member.size, "content"));
    if (!stream.at_end()) bad("is longer than the directory says");
  } else if (member.method != 0) {
    fail("{}: the member {} is compressed by method {}, only stored and deflated ones can be read", name_,
         member.name, member.method);
  } else if (member.size != member.packed_size) {
    bad("has two different sizes");
  }
  if (checksum(content.view, 0) != member.crc) bad("has a wrong checksum");
  return content;
}

void ZipWriter::add(const std::string& name, std::span<const std::string_view> content) {
  ZipMember member{.name = name, .header = file_.size()};
  for (const std::string_view part : content) {
    member.size += part.size();
    member.crc = checksum(std::as_bytes(std::span(part.data(), part.size())), member.crc);
  }
  member.packed_size = member.size;
  if (member.header + member.size > kMaxPlain - (1 << 20) || members_.size() >= 0xfffe) {
    fail("more than 4 GiB do not fit one .npz file; write fewer or smaller outputs");
  }
  std::string header;
  put(header, kLocal, 4);
  put_shared(header, member);
  file_.write(header + name);
  for (const std::string_view part : content) file_.write(part);
  members_.push_back(std::move(member));
}

void ZipWriter::finish() {
  const uint64_t start = file_.size();
  std::string out;
  for (const ZipMember& member : members_) {
    put(out, kCentral, 4);
    put(out, 20, 2);
    put_shared(out, member);
    put(out, 0, 2);  // comment
    put(out, 0, 2);  // disk
    put(out, 0, 2);  // internal attributes
    put(out, 0, 4);  // external attributes
    put(out, member.header, 4);
    out += member.name;
  }
  const uint64_t size = out.size();
  put(out, kEnd, 4);
  put(out, 0, 4);
  put(out, members_.size(), 2);
  put(out, members_.size(), 2);
  put(out, size, 4);
  put(out, start, 4);
  put(out, 0, 2);
  file_.write(out);
}

}  // namespace kvant::data
