// SPDX-License-Identifier: Apache-2.0
// The MNIST family: big-endian idx files of images and of labels, each perhaps compressed with gzip.
// Format: Y. LeCun, "The MNIST database", file formats.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "data/dataset.h"
#include "data/splits.h"
#include "data/stream.h"

namespace kvant::data {
namespace {

constexpr unsigned kUnsignedByte = 8;

// An array of bytes from an idx file; dims[0] counts the samples.
struct IdxArray {
  std::string name;
  Shape dims;
  std::vector<std::byte> content;
};

uint32_t big_endian(const std::byte* p) {
  return std::to_integer<uint32_t>(p[0]) << 24 | std::to_integer<uint32_t>(p[1]) << 16 |
         std::to_integer<uint32_t>(p[2]) << 8 | std::to_integer<uint32_t>(p[3]);
}

IdxArray read_idx(Bytes file, const std::string& name, const char* what, size_t low_rank, size_t high_rank) {
  Stream stream(std::move(file), compression_of(name), name);
  const auto magic = stream.read_exactly(4, "idx header");
  const size_t rank = std::to_integer<size_t>(magic[3]);
  if (magic[0] != std::byte{0} || magic[1] != std::byte{0} ||
      std::to_integer<unsigned>(magic[2]) != kUnsignedByte || rank < low_rank || rank > high_rank) {
    fail("{} is not an idx file of {}: it begins with 0x{:08x}, not with 0x{:08x}", name, what,
         big_endian(magic.data()), kUnsignedByte << 8 | low_rank);
  }
  const auto dims = stream.read_exactly(4 * rank, "idx header");
  IdxArray array{name, {}, {}};
  for (size_t i = 0; i < rank; ++i) array.dims.push_back(big_endian(dims.data() + 4 * i));
  const int64_t size = noting([&] { return "file " + name; }, [&] { return element_count(array.dims); });
  for (size_t i = 1; i < rank; ++i) {
    if (array.dims[i] == 0) fail("{} says its images are of size {}", name, to_string(array.dims));
  }
  array.content = stream.read_exactly(static_cast<size_t>(size), what);
  if (!stream.at_end()) fail("{} has more data than its header says ({})", name, to_string(array.dims));
  return array;
}

struct Part {
  IdxArray images;
  IdxArray labels;
};

class IdxReader : public DatasetReader {
 public:
  explicit IdxReader(std::vector<Part> parts) : parts_(std::move(parts)) {
    for (const Part& part : parts_) size_ += part.images.dims[0];
  }
  int64_t size() const override { return size_; }
  bool decodes() const override { return false; }
  int64_t label(int64_t i) const override {
    const Part& part = find(i);
    return std::to_integer<int64_t>(part.labels.content[static_cast<size_t>(i)]);
  }
  std::string describe(int64_t i) const override {
    const Part& part = find(i);
    return fmt::format("{}, image {}", part.images.name, i);
  }
  Image image(int64_t i) const override {
    const Part& part = find(i);
    const Shape& dims = part.images.dims;
    Image result(dims[1], dims[2], dims.size() == 4 ? dims[3] : 1);
    std::memcpy(result.pixels.data(),
                part.images.content.data() + static_cast<size_t>(i) * result.pixels.size(),
                result.pixels.size());
    return result;
  }

 private:
  // The part of sample `i`, which becomes the index in that part.
  const Part& find(int64_t& i) const {
    size_t part = 0;
    while (i >= parts_[part].images.dims[0]) i -= parts_[part++].images.dims[0];
    return parts_[part];
  }

  std::vector<Part> parts_;
  int64_t size_ = 0;
};

bool is_images_name(std::string_view name) {
  return name.find("images") != std::string_view::npos &&
         (name.find("idx3") != std::string_view::npos || name.find("idx4") != std::string_view::npos);
}

// The labels file that belongs to an images file: same name, with or without .gz.
std::string labels_of(const Folder& folder, const std::string& images) {
  std::string name = images;
  name.replace(name.rfind("images"), 6, "labels");
  const size_t idx = name.rfind("idx");
  if (idx != std::string::npos && idx + 3 < name.size()) name[idx + 3] = '1';
  const bool packed = name.ends_with(".gz");
  const std::string other = packed ? name.substr(0, name.size() - 3) : name + ".gz";
  if (folder.has_file(name)) return name;
  if (folder.has_file(other)) return other;
  fail("the labels of {} are missing: there is no {}", folder.display(images), folder.display(name));
}

Part read_part(const Folder& folder, const std::string& images) {
  Part part;
  const std::string labels = labels_of(folder, images);
  part.images = read_idx(folder.read(images), folder.display(images), "images", 3, 4);
  part.labels = read_idx(folder.read(labels), folder.display(labels), "labels", 1, 1);
  const Shape& dims = part.images.dims;
  if (dims.size() == 4 && dims[3] != 1 && dims[3] != 3) {
    fail("{} has images of {} channels, 1 or 3 can be read", part.images.name, dims[3]);
  }
  if (dims[0] != part.labels.dims[0]) {
    fail("{} has {} images, but {} has {} labels", part.images.name, dims[0], part.labels.name,
         part.labels.dims[0]);
  }
  return part;
}

// The images file of one split. Several collections in one folder (EMNIST) must be told apart by naming a
// file.
std::string images_of(const Folder& folder, std::initializer_list<const char*> marks, const char* split) {
  std::vector<std::string> found;
  for (const std::string& name : folder.files()) {
    const bool marked =
        std::ranges::any_of(marks, [&](const char* mark) { return name.find(mark) != std::string::npos; });
    if (!marked || !is_images_name(name)) continue;
    const bool unpacked_too = name.ends_with(".gz") && folder.has_file(name.substr(0, name.size() - 3));
    if (!unpacked_too) found.push_back(name);
  }
  if (found.empty()) {
    fail("{} has no {} images in idx format ({}-images-idx3-ubyte or the same with .gz)", folder.display(""),
         split, *marks.begin());
  }
  if (found.size() > 1) {
    fail("{} has several sets of {} images ({}, {}, ...); name one file instead of the folder",
         folder.display(""), split, found[0], found[1]);
  }
  return found.front();
}

bool recognizes(const Location& location) {
  if (!location.folder) return is_images_name(leaf_of(location.path));
  return std::ranges::any_of(location.folder->files(), is_images_name);
}

std::shared_ptr<const DatasetReader> open_idx(const Location& location, const std::string& split) {
  std::vector<Part> parts;
  if (!location.folder) {
    const std::string leaf = leaf_of(location.path);
    if (!split.empty()) fail("{} is one file and has no splits", location.path);
    if (leaf.find("images") == std::string::npos) {
      fail("{} is not the name of an idx file of images (train-images-idx3-ubyte)", location.path);
    }
    const std::string parent = parent_of(location.path);
    parts.push_back(read_part(Folder(parent.empty() ? "." : parent), leaf));
  } else {
    const Parts wanted = parts_of(split);
    const Folder& folder = *location.folder;
    if (wanted.train) parts.push_back(read_part(folder, images_of(folder, {"train"}, "training")));
    if (wanted.test) parts.push_back(read_part(folder, images_of(folder, {"t10k", "test"}, "test")));
  }
  return std::make_shared<IdxReader>(std::move(parts));
}

}  // namespace

DatasetFormat idx_format() {
  return {"idx", "MNIST family: a folder with train-images-idx3-ubyte[.gz], its labels, and t10k-...",
          recognizes, open_idx};
}

}  // namespace kvant::data
