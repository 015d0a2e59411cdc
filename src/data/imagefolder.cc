// SPDX-License-Identifier: Apache-2.0
// One folder a class, pictures inside; classes in the order of their names. Folders train/, test/, val/
// around that are splits. A folder of pictures without classes is an unlabelled set.
#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"
#include "data/dataset.h"

namespace kvant::data {
namespace {

struct Picture {
  std::string path;
  int64_t label;
};

class FolderReader : public DatasetReader {
 public:
  FolderReader(Folder folder, std::vector<Picture> pictures, std::vector<std::string> classes)
      : folder_(std::move(folder)), pictures_(std::move(pictures)), classes_(std::move(classes)) {}
  int64_t size() const override { return static_cast<int64_t>(pictures_.size()); }
  int64_t label(int64_t i) const override { return at(i).label; }
  std::vector<std::string> class_names() const override { return classes_; }
  std::string describe(int64_t i) const override { return folder_.display(at(i).path); }
  Image image(int64_t i) const override { return decode_image(folder_.read(at(i).path).view, describe(i)); }

 private:
  const Picture& at(int64_t i) const { return pictures_[static_cast<size_t>(i)]; }

  Folder folder_;
  std::vector<Picture> pictures_;
  std::vector<std::string> classes_;
};

std::vector<std::string> pictures_in(const Folder& folder, std::string_view inside) {
  auto names = folder.files(inside);
  std::erase_if(names, [](const std::string& name) { return !has_image_ending(name); });
  return names;
}

// The split folders of `folder`, empty if there are other folders or pictures beside them.
std::vector<std::string> split_folders(const Folder& folder) {
  const std::set<std::string> known = {"train", "test", "val", "valid", "validation"};
  const auto names = folder.folders();
  const bool all_known =
      std::ranges::all_of(names, [&](const std::string& name) { return known.contains(name); });
  // A set of two classes called "train" and "test" has pictures, not folders, in them.
  const bool deep =
      !names.empty() && std::ranges::any_of(names, [&](auto& name) { return !folder.folders(name).empty(); });
  return all_known && deep ? names : std::vector<std::string>();
}

// The folders to read, of those in which classes are looked for.
struct Choice {
  std::vector<std::string> all;  // every split, for the class names
  std::vector<std::string> chosen;
};

Choice choose(const Folder& folder, const std::string& split) {
  const auto splits = split_folders(folder);
  if (splits.empty()) {
    if (split.empty()) return {{""}, {""}};
    if (folder.has_folder(split)) return {{split}, {split}};
    fail("{} has no folder for the split '{}'{}", folder.display(""), split,
         nearest_hint(split, folder.folders()));
  }
  if (split == "all") return {splits, splits};
  if (split.empty()) {
    const bool has_train = std::ranges::find(splits, "train") != splits.end();
    return {splits, {has_train ? "train" : splits.front()}};
  }
  if (std::ranges::find(splits, split) == splits.end()) {
    fail("{} has no folder for the split '{}'{}", folder.display(""), split, nearest_hint(split, splits));
  }
  return {splits, {split}};
}

bool recognizes(const Location& location) {
  if (!location.folder) return false;
  const Folder& folder = *location.folder;
  if (!pictures_in(folder, "").empty() || !split_folders(folder).empty()) return true;
  return std::ranges::any_of(folder.folders(),
                             [&](auto& name) { return !pictures_in(folder, name).empty(); });
}

std::shared_ptr<const DatasetReader> open_imagefolder(const Location& location, const std::string& split) {
  if (!location.folder) fail("{} is not a folder (one folder a class is expected in it)", location.path);
  const Folder& folder = *location.folder;
  const Choice choice = choose(folder, split);
  std::set<std::string> names;
  for (const std::string& part : choice.all) {
    const auto inside = folder.folders(part);
    names.insert(inside.begin(), inside.end());
  }
  const std::vector<std::string> classes(names.begin(), names.end());
  std::vector<Picture> pictures;
  for (const std::string& part : choice.chosen) {
    for (size_t label = 0; label < classes.size(); ++label) {
      const std::string inside = join(part, classes[label]);
      if (!folder.has_folder(inside)) continue;
      for (const auto& name : pictures_in(folder, inside)) {
        pictures.push_back({join(inside, name), static_cast<int64_t>(label)});
      }
    }
    if (!classes.empty()) continue;
    for (const auto& name : pictures_in(folder, part)) pictures.push_back({join(part, name), kNoLabel});
  }
  if (pictures.empty()) fail("{} has no pictures (.jpg, .jpeg or .png in one folder a class)", location.path);
  return std::make_shared<FolderReader>(folder, std::move(pictures), classes);
}

}  // namespace

DatasetFormat imagefolder_format() {
  return {"imagefolder", "a folder, or a .tar of it, with one folder of .jpg or .png files a class",
          recognizes, open_imagefolder};
}

}  // namespace kvant::data
