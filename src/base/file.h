// SPDX-License-Identifier: Apache-2.0
// Files, read mapped and written whole or not at all. Every failure is an Error that names the path and the
// reason.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace kvant {

// A file mapped read-only. Copies share the mapping, which lives as long as the last of them (or of their
// bytes()).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }
  // The mapping itself, to be kept alive by whatever points into it.
  std::shared_ptr<const std::byte> share() const { return data_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::shared_ptr<const std::byte> data_;
  std::size_t size_ = 0;
};

std::string read_text(const std::filesystem::path& path);

// Writes beside `path` (same folder), syncs and renames on commit(); without commit() nothing is left behind.
// The temporary is created by the constructor, so that an unwritable folder is refused before any long work.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  // Bytes written so far.
  std::size_t size() const { return size_; }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

// Writes `text` as the whole content of `path`, atomically.
void write_text(const std::filesystem::path& path, std::string_view text);

// Fails with the sentence a user needs if `path` could not be created (missing folder, no permission, is a
// folder). Called by commands before work whose result goes there.
void require_writable(const std::filesystem::path& path);

}  // namespace kvant
