// SPDX-License-Identifier: Apache-2.0
#include "data/tar.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace kvant::data {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kMaxName = size_t{1} << 20;  // of a long name or a pax header

// What a GNU long-name entry or a pax header says about the entry after it.
struct Pending {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<size_t> size;
};

class Reader {
 public:
  Reader(std::span<const std::byte> archive, const std::string& name) : archive_(archive), name_(name) {}

  TarIndex run() {
    while (position_ + kBlock <= archive_.size()) {
      const std::string_view header = text(position_, kBlock);
      if (header.find_first_not_of('\0') == std::string_view::npos) break;
      entry(header);
    }
    if (position_ < archive_.size() && archive_.size() - position_ < kBlock) {
      fail("{} is truncated: it ends inside the header at byte {}", name_, position_);
    }
    return std::move(index_);
  }

 private:
  std::string_view text(size_t offset, size_t size) const {
    return {reinterpret_cast<const char*>(archive_.data()) + offset, size};
  }

  // A field up to its first NUL.
  static std::string_view field(std::string_view header, size_t offset, size_t size) {
    const std::string_view whole = header.substr(offset, size);
    return whole.substr(0, whole.find('\0'));
  }

  // Octal digits, or base 256 when the first bit is set (GNU).
  size_t number(std::string_view header, size_t offset, size_t size, const char* what) const {
    const std::string_view whole = header.substr(offset, size);
    if ((static_cast<unsigned char>(whole[0]) & 0x80) != 0) {
      size_t value = static_cast<unsigned char>(whole[0]) & 0x7f;
      for (const char c : whole.substr(1)) {
        if (value >> 55 != 0) damaged(what);
        value = value << 8 | static_cast<unsigned char>(c);
      }
      return value;
    }
    size_t value = 0;
    bool ended = false;
    for (const char c : whole) {
      if (c == ' ' || c == '\0') {
        ended = value != 0 || ended;
      } else if (c < '0' || c > '7' || ended) {
        damaged(what);
      } else {
        value = value * 8 + static_cast<size_t>(c - '0');
      }
    }
    return value;
  }

  [[noreturn]] void damaged(const char* what) const {
    fail("{} is not a tar archive, or is damaged: bad {} in the header at byte {}", name_, what, position_);
  }

  void check_sum(std::string_view header) const {
    const size_t stated = number(header, 148, 8, "checksum");
    size_t sum = 0;
    for (size_t i = 0; i < kBlock; ++i)
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
    if (sum != stated) damaged("checksum");
  }

  std::string path_of(std::string_view header) const {
    std::string path(field(header, 0, 100));
    const bool posix = header.substr(257, 6) == std::string_view("ustar\0", 6);
    if (posix && header[345] != '\0') path = std::string(field(header, 345, 155)) + "/" + path;
    return path;
  }

  // Without "./", leading and trailing slashes; ".." is refused.
  std::string clean(std::string_view path) const {
    std::string result;
    while (!path.empty()) {
      const size_t slash = std::min(path.find('/'), path.size());
      const std::string_view part = path.substr(0, slash);
      path.remove_prefix(std::min(slash + 1, path.size()));
      if (part.empty() || part == ".") continue;
      if (part == "..") fail("{} has an entry whose path leaves the archive (byte {})", name_, position_);
      if (!result.empty()) result += '/';
      result += part;
    }
    return result;
  }

  void entry(std::string_view header) {
    check_sum(header);
    const char type = header[156];
    size_t size = number(header, 124, 12, "size");
    const bool describes_next = type == 'L' || type == 'K' || type == 'x' || type == 'g';
    if (!describes_next && pending_.size) size = *pending_.size;
    const bool has_content = describes_next || (type != '1' && type != '2' && type != '5');
    const size_t start = position_ + kBlock;
    if (!has_content) size = 0;
    if (size > archive_.size() - start) {
      fail("{} is truncated: the entry at byte {} says it has {} bytes, {} are left", name_, position_, size,
           archive_.size() - start);
    }
    if (describes_next && size > kMaxName) damaged("name length");
    if (type == 'L' || type == 'K') {
      const std::string value(field(text(start, size), 0, size));
      (type == 'L' ? pending_.path : pending_.link) = value;
    } else if (type == 'x') {
      read_pax(text(start, size));
    } else if (type != 'g') {
      keep(header, type, {start, size});
      pending_ = {};
    }
    position_ = std::min(archive_.size(), start + (size + kBlock - 1) / kBlock * kBlock);
  }

  void keep(std::string_view header, char type, TarEntry place) {
    if (type == 'S') {
      fail("{} holds a sparse file (byte {}), which cannot be read; pack it again without --sparse", name_,
           position_);
    }
    const std::string path = clean(pending_.path ? *pending_.path : path_of(header));
    if (path.empty()) return;
    if (type == '0' || type == '\0' || type == '7') {
      index_[path] = place;
    } else if (type == '1') {
      const auto target =
          index_.find(clean(pending_.link ? *pending_.link : std::string(field(header, 157, 100))));
      if (target != index_.end()) index_[path] = target->second;
    }
  }

  // Records "LENGTH KEY=VALUE\n".
  void read_pax(std::string_view records) {
    while (!records.empty() && records[0] != '\0') {
      size_t length = 0;
      const auto [end, problem] = std::from_chars(records.data(), records.data() + records.size(), length);
      const size_t digits = static_cast<size_t>(end - records.data());
      if (problem != std::errc() || length > records.size() || length < digits + 3 ||
          records[digits] != ' ' || records[length - 1] != '\n') {
        damaged("pax record");
      }
      const std::string_view record = records.substr(digits + 1, length - digits - 2);
      const size_t equals = record.find('=');
      if (equals == std::string_view::npos) damaged("pax record");
      pax_value(record.substr(0, equals), record.substr(equals + 1));
      records.remove_prefix(length);
    }
  }

  void pax_value(std::string_view key, std::string_view value) {
    if (key == "path") pending_.path = value;
    if (key == "linkpath") pending_.link = value;
    if (key == "size") {
      size_t size = 0;
      const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), size);
      if (problem != std::errc() || end != value.data() + value.size()) damaged("pax size");
      pending_.size = size;
    }
    if (key.starts_with("GNU.sparse")) {
      fail("{} holds a sparse file (byte {}), which cannot be read; pack it again without --sparse", name_,
           position_);
    }
  }

  std::span<const std::byte> archive_;
  const std::string& name_;
  size_t position_ = 0;
  Pending pending_;
  TarIndex index_;
};

}  // namespace

TarIndex index_tar(std::span<const std::byte> archive, const std::string& name) {
  return Reader(archive, name).run();
}

}  // namespace kvant::data
