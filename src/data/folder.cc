// SPDX-License-Identifier: Apache-2.0
#include "data/folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "data/tar.h"

namespace kvant::data {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxFile = size_t{1} << 32;     // one file of a folder
constexpr size_t kMaxArchive = size_t{1} << 36;  // an archive when decompressed

bool is_archive_name(std::string_view path) {
  for (const char* ending : {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"}) {
    if (path.ends_with(ending)) return true;
  }
  return false;
}

bool is_archive(const std::string& path) {
  std::error_code ignored;
  return is_archive_name(path) && fs::is_regular_file(path, ignored);
}

struct TemporaryFile {
  std::string path;
  int descriptor = -1;
  TemporaryFile() {
    std::error_code problem;
    const fs::path folder = fs::temp_directory_path(problem);
    if (problem) fail("no folder for temporary files (set TMPDIR to one): {}", problem.message());
    path = (folder / "kvant-XXXXXX").string();
    descriptor = ::mkostemp(path.data(), O_CLOEXEC);
    if (descriptor < 0)
      fail("cannot create a temporary file in {}: {}", folder.string(), std::strerror(errno));
  }
  ~TemporaryFile() {
    if (descriptor < 0) return;
    ::close(descriptor);
    ::unlink(path.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  void write(std::span<const std::byte> bytes) const {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(descriptor, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        fail("cannot decompress into {}: {} (TMPDIR names another folder)", path, std::strerror(errno));
      }
      done += static_cast<size_t>(n);
    }
  }
};

// The archive's bytes, mapped; the mapping outlives the temporary's name.
Bytes map_archive(const std::string& path) {
  Bytes packed = map_file(path);
  const Compression compression = compression_of(path);
  if (compression == Compression::None) return packed;
  Stream stream(std::move(packed), compression, path);
  const TemporaryFile temporary;
  std::vector<std::byte> part(size_t{4} << 20);
  size_t total = 0;
  while (const size_t count = stream.read(part)) {
    total += count;
    if (total > kMaxArchive)
      fail("{} decompresses to more than {} GiB, which is too much", path, kMaxArchive >> 30);
    temporary.write(std::span(part).first(count));
  }
  return map_file(temporary.path);
}

}  // namespace

std::string join(std::string_view folder, std::string_view name) {
  if (folder.empty() || name.empty()) return std::string(folder) + std::string(name);
  return std::string(folder) + (folder.ends_with('/') ? "" : "/") + std::string(name);
}

std::string parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return "";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

std::string leaf_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::pair<std::string, std::string> split_at_archive(const std::string& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return {path, ""};
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string head = path.substr(0, slash);
    if (is_archive(head)) {
      std::string tail = path.substr(slash + 1);
      while (tail.ends_with('/')) tail.pop_back();
      return {head, tail};
    }
  }
  return {path, ""};
}

class Folder::Content {
 public:
  virtual ~Content() = default;
  virtual std::vector<std::string> folders(const std::string& inside) const = 0;
  virtual std::vector<std::string> files(const std::string& inside) const = 0;
  virtual bool has_file(const std::string& path) const = 0;
  virtual bool has_folder(const std::string& path) const = 0;
  virtual Bytes read(const std::string& path) const = 0;
};

class Folder::Directory : public Folder::Content {
 public:
  explicit Directory(std::string root) : root_(std::move(root)) {}
  std::vector<std::string> folders(const std::string& inside) const override {
    return names(inside, [](const fs::directory_entry& entry, std::error_code& problem) {
      return entry.is_directory(problem);
    });
  }
  std::vector<std::string> files(const std::string& inside) const override {
    return names(inside, [](const fs::directory_entry& entry, std::error_code& problem) {
      return entry.is_regular_file(problem);
    });
  }
  bool has_file(const std::string& path) const override {
    std::error_code ignored;
    return fs::is_regular_file(join(root_, path), ignored);
  }
  bool has_folder(const std::string& path) const override {
    std::error_code ignored;
    return fs::is_directory(join(root_, path), ignored);
  }
  // Read rather than mapped: a file that shrinks meanwhile must not end the process.
  Bytes read(const std::string& path) const override {
    const std::string full = join(root_, path);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(full.c_str(), "rbe"), &std::fclose);
    if (!file) fail("cannot open {}: {}", full, std::strerror(errno));
    std::error_code problem;
    const auto size = fs::file_size(full, problem);
    if (problem) fail("cannot read {}: {}", full, problem.message());
    if (size > kMaxFile) fail("{} has {} bytes, which is too much for one file of a data set", full, size);
    std::vector<std::byte> memory(size);
    if (std::fread(memory.data(), 1, size, file.get()) != size) fail("cannot read {} to its end", full);
    return own(std::move(memory));
  }

 private:
  template <class Wanted>
  std::vector<std::string> names(const std::string& inside, Wanted wanted) const {
    const std::string folder = join(root_, inside);
    std::vector<std::string> result;
    std::error_code problem;
    for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end;
         entry.increment(problem)) {
      std::error_code ignored;
      const std::string name = entry->path().filename().string();
      if (!name.starts_with('.') && wanted(*entry, ignored)) result.push_back(name);
    }
    if (problem) fail("cannot list {}: {}", folder, problem.message());
    std::sort(result.begin(), result.end());
    return result;
  }

  std::string root_;
};

class Folder::Archive : public Folder::Content {
 public:
  explicit Archive(const std::string& path)
      : path_(path), archive_(map_archive(path)), index_(index_tar(archive_.view, path)) {}
  std::vector<std::string> folders(const std::string& inside) const override {
    std::vector<std::string> result;
    visit(inside, [&](std::string_view rest) {
      const size_t slash = rest.find('/');
      if (slash == std::string_view::npos) return;
      const std::string_view name = rest.substr(0, slash);
      if (!name.starts_with('.') && (result.empty() || result.back() != name)) result.emplace_back(name);
    });
    // Sorted by whole path, "a-b/x" comes before "a/x" but after it by name.
    std::sort(result.begin(), result.end());
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
  }
  std::vector<std::string> files(const std::string& inside) const override {
    std::vector<std::string> result;
    visit(inside, [&](std::string_view rest) {
      if (rest.find('/') == std::string_view::npos && !rest.starts_with('.')) result.emplace_back(rest);
    });
    return result;
  }
  bool has_file(const std::string& path) const override { return index_.contains(path); }
  bool has_folder(const std::string& path) const override {
    if (path.empty()) return true;
    const auto first = index_.lower_bound(path + "/");
    return first != index_.end() && first->first.starts_with(path + "/");
  }
  Bytes read(const std::string& path) const override {
    const auto found = index_.find(path);
    if (found == index_.end()) fail("{} has no file {}", path_, path);
    return {archive_.view.subspan(found->second.offset, found->second.size), archive_.owner};
  }

 private:
  template <class Visit>
  void visit(const std::string& inside, Visit visit) const {
    const std::string prefix = inside.empty() ? "" : inside + "/";
    for (auto entry = index_.lower_bound(prefix); entry != index_.end() && entry->first.starts_with(prefix);
         ++entry) {
      visit(std::string_view(entry->first).substr(prefix.size()));
    }
  }

  std::string path_;
  Bytes archive_;
  TarIndex index_;
};

Folder::Folder(const std::string& path) {
  std::error_code ignored;
  const auto [head, tail] = split_at_archive(path);
  if (fs::is_directory(head, ignored)) {
    content_ = std::make_shared<Directory>(head);
  } else if (is_archive(head)) {
    content_ = std::make_shared<Archive>(head);
  } else if (fs::exists(head, ignored)) {
    fail("{} is neither a folder nor a .tar, .tar.gz or .tar.zst", path);
  } else {
    fail("the folder {} does not exist", path);
  }
  path_ = head;
  prefix_ = tail;
  if (!content_->has_folder(prefix_)) fail("{} has no folder {}", head, tail);
}

Folder::Folder(std::shared_ptr<const Content> content, std::string path, std::string prefix)
    : content_(std::move(content)), path_(std::move(path)), prefix_(std::move(prefix)) {}

bool Folder::is_one(const std::string& path) {
  std::error_code ignored;
  const auto [head, tail] = split_at_archive(path);
  return fs::is_directory(head, ignored) ||
         (is_archive(head) && (tail.empty() || Folder(head).has_folder(tail)));
}

std::string Folder::full(std::string_view path) const { return join(prefix_, path); }

std::vector<std::string> Folder::folders(std::string_view inside) const {
  return content_->folders(full(inside));
}
std::vector<std::string> Folder::files(std::string_view inside) const {
  return content_->files(full(inside));
}
bool Folder::has_file(std::string_view path) const { return content_->has_file(full(path)); }
bool Folder::has_folder(std::string_view path) const { return content_->has_folder(full(path)); }
Bytes Folder::read(std::string_view path) const { return content_->read(full(path)); }
std::string Folder::display(std::string_view path) const { return join(join(path_, prefix_), path); }
Folder Folder::at(std::string_view inside) const { return Folder(content_, path_, full(inside)); }

bool path_exists(const std::string& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return true;
  const auto [head, tail] = split_at_archive(path);
  if (tail.empty()) return false;
  const Folder archive(head);
  return archive.has_file(tail) || archive.has_folder(tail);
}

Bytes read_file(const std::string& path) {
  const auto [head, tail] = split_at_archive(path);
  return tail.empty() ? map_file(head) : Folder(head).read(tail);
}

}  // namespace kvant::data
