// SPDX-License-Identifier: Apache-2.0
// CIFAR-10's binary version: records of one label byte and 3 x 32 x 32 bytes, channel by channel.
// Format: A. Krizhevsky, "The CIFAR-10 dataset", binary version.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data/dataset.h"
#include "data/splits.h"
#include "data/stream.h"

namespace kvant::data {
namespace {

constexpr int64_t kSide = 32;
constexpr size_t kPlane = kSide * kSide;
constexpr size_t kRecord = 1 + 3 * kPlane;
constexpr size_t kMaxFile = size_t{4} << 30;

struct BinFile {
  std::string name;
  Bytes content;
  int64_t records() const { return static_cast<int64_t>(content.view.size() / kRecord); }
};

BinFile read_bin(Bytes bytes, const std::string& name) {
  const Compression compression = compression_of(name);
  if (compression != Compression::None) {
    bytes = own(Stream(std::move(bytes), compression, name).read_rest(kMaxFile));
  }
  if (bytes.view.size() % kRecord != 0) {
    fail("{} is truncated, or not a CIFAR-10 file: its {} bytes are not a multiple of {}", name,
         bytes.view.size(), kRecord);
  }
  BinFile file{name, std::move(bytes)};
  for (int64_t i = 0; i < file.records(); ++i) {
    const auto label = std::to_integer<int>(file.content.view[static_cast<size_t>(i) * kRecord]);
    if (label > 9)
      fail("{} is not a CIFAR-10 file: the label of record {} is {}, outside 0..9", name, i, label);
  }
  return file;
}

class CifarReader : public DatasetReader {
 public:
  explicit CifarReader(std::vector<BinFile> files) : files_(std::move(files)) {
    for (const BinFile& file : files_) size_ += file.records();
  }
  int64_t size() const override { return size_; }
  bool decodes() const override { return false; }
  int64_t label(int64_t i) const override { return std::to_integer<int64_t>(record(i)[0]); }
  std::vector<std::string> class_names() const override {
    return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  }
  std::string describe(int64_t i) const override {
    const BinFile& file = find(i);
    return fmt::format("{}, record {}", file.name, i);
  }
  Image image(int64_t i) const override {
    const auto planes = record(i).subspan(1);
    Image result(kSide, kSide, 3);
    for (size_t p = 0; p < kPlane; ++p) {
      for (size_t c = 0; c < 3; ++c)
        result.pixels[p * 3 + c] = std::to_integer<uint8_t>(planes[c * kPlane + p]);
    }
    return result;
  }

 private:
  const BinFile& find(int64_t& i) const {
    size_t file = 0;
    while (i >= files_[file].records()) i -= files_[file++].records();
    return files_[file];
  }
  std::span<const std::byte> record(int64_t i) const {
    const BinFile& file = find(i);
    return file.content.view.subspan(static_cast<size_t>(i) * kRecord, kRecord);
  }

  std::vector<BinFile> files_;
  int64_t size_ = 0;
};

bool is_bin_name(std::string_view name) {
  return name.ends_with(".bin") || name.ends_with(".bin.zst") || name.ends_with(".bin.gz");
}

// The .bin files whose name begins so, in order of name.
std::vector<std::string> bins(const Folder& folder, std::string_view prefix) {
  std::vector<std::string> names = folder.files();
  std::erase_if(names,
                [&](const std::string& name) { return !name.starts_with(prefix) || !is_bin_name(name); });
  return names;
}

// The original archive holds one folder; it may be left out of the path.
Folder top(const Folder& folder) {
  const auto inner = folder.folders();
  return bins(folder, "").empty() && inner.size() == 1 ? folder.at(inner.front()) : folder;
}

bool recognizes(const Location& location) {
  if (!location.folder) return is_bin_name(location.path);
  const Folder folder = top(*location.folder);
  return !bins(folder, "data_batch").empty() || !bins(folder, "test_batch").empty();
}

std::shared_ptr<const DatasetReader> open_cifar10(const Location& location, const std::string& split) {
  std::vector<BinFile> files;
  if (!location.folder) {
    if (!split.empty()) fail("{} is one file and has no splits", location.path);
    files.push_back(read_bin(read_file(location.path), location.path));
  } else {
    const Folder folder = top(*location.folder);
    const auto add = [&](const char* prefix) {
      const auto names = bins(folder, prefix);
      if (names.empty()) fail("{} has no {}*.bin (CIFAR-10's binary version)", folder.display(""), prefix);
      for (const std::string& name : names)
        files.push_back(read_bin(folder.read(name), folder.display(name)));
    };
    const Parts wanted = parts_of(split);
    if (wanted.train) add("data_batch");
    if (wanted.test) add("test_batch");
  }
  return std::make_shared<CifarReader>(std::move(files));
}

}  // namespace

DatasetFormat cifar10_format() {
  return {"cifar10",
          "CIFAR-10's binary version: a folder with data_batch_*.bin and test_batch.bin, or one .bin file",
          recognizes, open_cifar10};
}

}  // namespace kvant::data
