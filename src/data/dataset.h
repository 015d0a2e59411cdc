// SPDX-License-Identifier: Apache-2.0
// Data sets behind one interface: open("FORMAT:PATH#split") gives images (or ready tensors) with labels,
// whatever the file format. Formats are listed in formats.inc, one file each; DatasetReader is what a format
// implements.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/folder.h"
#include "data/image.h"
#include "tensor/tensor.h"

namespace kvant::data {

inline constexpr int64_t kNoLabel = -1;

// Implemented once a format. All functions may be called from several threads at once; `i` lies in [0,
// size()).
class DatasetReader {
 public:
  virtual ~DatasetReader() = default;
  virtual int64_t size() const = 0;
  // At least 0, or kNoLabel in an unlabelled set (all or none).
  virtual int64_t label(int64_t i) const = 0;
  // Index = label; empty when the format has no names.
  virtual std::vector<std::string> class_names() const { return {}; }
  // Where sample `i` comes from, for messages: "labels.csv, line 17 (n01440764.jpg)".
  virtual std::string describe(int64_t i) const = 0;
  // False: samples are tensors that need no preprocessing, and only tensor() may be called.
  virtual bool holds_images() const { return true; }
  // False where image() is a mere copy, so that keeping decoded images in memory would gain nothing.
  virtual bool decodes() const { return true; }
  virtual Image image(int64_t i) const;
  virtual Tensor tensor(int64_t i) const;
};

// A value: cheap to copy, shares its reader, may be a selection of the reader's samples.
class Dataset {
 public:
  Dataset(std::shared_ptr<const DatasetReader> reader, std::string spec);

  int64_t size() const { return chosen_ ? static_cast<int64_t>(chosen_->size()) : reader_->size(); }
  int64_t label(int64_t i) const { return reader_->label(at(i)); }
  bool labelled() const { return size() > 0 && label(0) != kNoLabel; }
  std::vector<std::string> class_names() const { return reader_->class_names(); }
  std::string describe(int64_t i) const { return reader_->describe(at(i)); }
  bool holds_images() const { return reader_->holds_images(); }
  bool decodes() const { return reader_->decodes(); }
  Image image(int64_t i) const { return reader_->image(at(i)); }
  Tensor tensor(int64_t i) const { return reader_->tensor(at(i)); }
  // "FORMAT:PATH" or "FORMAT:PATH#split" as it was understood, with the guessed format where none was given.
  const std::string& spec() const { return spec_; }
  // True if the format was guessed: the command line prints spec() then.
  bool guessed() const { return guessed_; }
  void set_guessed() { guessed_ = true; }

  // Number of classes: that of class_names(), else the largest label + 1; 0 if unlabelled.
  int64_t class_count() const;
  // Fails unless every sample has a label in [0, classes); `classes` 0 accepts any label.
  void require_labels(int64_t classes = 0) const;
  // The samples at `indices`, in that order.
  Dataset select(std::vector<int64_t> indices) const;
  // `count` samples spread evenly over the set (all if it has no more): i * size / count. For calibration,
  // which must not see the first class only.
  Dataset spread(int64_t count) const;

 private:
  int64_t at(int64_t i) const { return chosen_ ? (*chosen_)[static_cast<size_t>(i)] : i; }
  std::shared_ptr<const DatasetReader> reader_;
  std::shared_ptr<const std::vector<int64_t>> chosen_;
  std::string spec_;
  bool guessed_ = false;
};

// What the user pointed at, opened once: a folder (or an archive in its place), or a file.
struct Location {
  std::string path;
  std::optional<Folder> folder;  // set if `path` is a folder
};

// What formats.inc lists.
struct DatasetFormat {
  std::string name;
  // For help and error messages: "MNIST family: train-images-idx3-ubyte[.gz] and labels in a folder".
  std::string what;
  // Whether what lies there looks like this format; asked in the order of formats.inc.
  bool (*recognizes)(const Location& location);
  // Opens; `split` is "" when none was asked for.
  std::shared_ptr<const DatasetReader> (*open)(const Location& location, const std::string& split);
};

const std::vector<DatasetFormat>& formats();

// Opens "FORMAT:PATH", "PATH", each with "#split" at its end if wanted:
//   idx, cifar10   train (default), test, all
//   imagefolder    the name of a subfolder that holds the class folders (default train where train/ and test/
//   or val/
//                  are the only folders); all takes every one of them
//   csv            a value of the column `split` (default: every row); where the pictures do not lie beside
//   the file,
//                  an images.tar beside it is taken for them
//   npz            arrays x_SPLIT and y_SPLIT (default x and y, else x_train and y_train)
// PATH may be or pass through a .tar, .tar.gz or .tar.zst wherever a folder may stand ("images.tar/photos").
// Fails on a missing path, an unknown format or split, an empty set, and on what the format refuses.
Dataset open(std::string_view spec);

}  // namespace kvant::data
