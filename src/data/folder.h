// SPDX-License-Identifier: Apache-2.0
// A folder of files, read-only: a directory, or a .tar, .tar.gz, .tar.zst in its place (mapped, not unpacked;
// compressed ones go through an unnamed temporary file). Paths inside are relative, with '/'.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/stream.h"

namespace kvant::data {

class Folder {
 public:
  // `path`: a directory, an archive, or a path through an archive ("DIR/images.tar/photos"). Fails if it is
  // none.
  explicit Folder(const std::string& path);
  // True if the constructor would find something there.
  static bool is_one(const std::string& path);

  // Names directly in `inside` ("" is the top), sorted.
  std::vector<std::string> folders(std::string_view inside = "") const;
  std::vector<std::string> files(std::string_view inside = "") const;
  bool has_file(std::string_view path) const;
  bool has_folder(std::string_view path) const;
  // Mapped when in an archive, read into memory otherwise. Fails if there is no such file.
  Bytes read(std::string_view path) const;
  // For messages: "DIR/images.tar/a.jpg".
  std::string display(std::string_view path) const;
  // The folder `inside` as a Folder of its own.
  Folder at(std::string_view inside) const;

 private:
  class Content;
  class Directory;
  class Archive;
  Folder(std::shared_ptr<const Content> content, std::string path, std::string prefix);
  std::string full(std::string_view path) const;

  std::shared_ptr<const Content> content_;
  std::string path_;    // of the directory or archive
  std::string prefix_;  // inside it, "" or "a/b"
};

// A path split at an archive it leads through: "DIR/images.tar/labels.csv" -> {"DIR/images.tar",
// "labels.csv"}. The second part is empty when `path` exists on disk as it stands.
std::pair<std::string, std::string> split_at_archive(const std::string& path);
// True if `path` exists, on disk or inside an archive.
bool path_exists(const std::string& path);
// "a/b" + "c"; either may be empty.
std::string join(std::string_view folder, std::string_view name);
// The part of a path before its last '/', "" if there is none, and the part after it.
std::string parent_of(std::string_view path);
std::string leaf_of(std::string_view path);
// The whole file at `path`, on disk or inside an archive.
Bytes read_file(const std::string& path);

}  // namespace kvant::data
