// SPDX-License-Identifier: Apache-2.0
// Arrays x (samples) and y (labels) of an .npz file. Bytes that are evidently pictures (N x H x W, N x H x W
// x 1|3, N x 1|3 x H x W) are images; all else is taken as ready tensors.
#include <cstring>
#include <utility>

#include "base/error.h"
#include "data/dataset.h"
#include "data/npy.h"

namespace kvant::data {
namespace {

enum class Content { GrayImages, Nhwc, Nchw, Tensors };

bool is_channels(int64_t dim) { return dim == 1 || dim == 3; }

Content content_of(const Tensor& x) {
  if (x.dtype() != DType::UInt8 || x.size() == 0) return Content::Tensors;
  if (x.rank() == 3) return Content::GrayImages;
  if (x.rank() == 4 && is_channels(x.dim(3))) return Content::Nhwc;
  if (x.rank() == 4 && is_channels(x.dim(1))) return Content::Nchw;
  return Content::Tensors;
}

class NpzReader : public DatasetReader {
 public:
  NpzReader(std::string name, Tensor x, std::vector<int64_t> labels)
      : name_(std::move(name)), x_(std::move(x)), labels_(std::move(labels)), content_(content_of(x_)) {
    shape_.assign(x_.shape().begin() + 1, x_.shape().end());
    sample_bytes_ = static_cast<size_t>(element_count(shape_)) * size_of(x_.dtype());
  }
  int64_t size() const override { return x_.dim(0); }
  bool decodes() const override { return false; }
  bool holds_images() const override { return content_ != Content::Tensors; }
  int64_t label(int64_t i) const override {
    return labels_.empty() ? kNoLabel : labels_[static_cast<size_t>(i)];
  }
  std::string describe(int64_t i) const override { return fmt::format("{}, sample {}", name_, i); }
  Tensor tensor(int64_t i) const override {
    Tensor result(x_.dtype(), shape_);
    if (sample_bytes_ > 0) std::memcpy(result.mutable_raw(), sample(i), sample_bytes_);
    return result;
  }
  Image image(int64_t i) const override {
    if (content_ == Content::Nchw) return from_planes(i);
    Image result(shape_[0], shape_[1], content_ == Content::Nhwc ? shape_[2] : 1);
    std::memcpy(result.pixels.data(), sample(i), sample_bytes_);
    return result;
  }

 private:
  const std::byte* sample(int64_t i) const { return x_.raw() + static_cast<size_t>(i) * sample_bytes_; }
  Image from_planes(int64_t i) const {
    Image result(shape_[1], shape_[2], shape_[0]);
    const auto channels = static_cast<size_t>(shape_[0]);
    const size_t plane = sample_bytes_ / channels;
    for (size_t p = 0; p < plane; ++p) {
      for (size_t c = 0; c < channels; ++c) {
        result.pixels[p * channels + c] = std::to_integer<uint8_t>(sample(i)[c * plane + p]);
      }
    }
    return result;
  }

  std::string name_;
  Tensor x_;
  std::vector<int64_t> labels_;
  Content content_;
  Shape shape_;
  size_t sample_bytes_ = 0;
};

const Tensor* find(const NamedTensors& arrays, const std::string& name) {
  for (const auto& [known, tensor] : arrays) {
    if (known == name) return &tensor;
  }
  return nullptr;
}

std::string listed(const NamedTensors& arrays) {
  std::string result;
  for (const auto& [name, tensor] : arrays) result += (result.empty() ? "" : ", ") + name;
  return result.empty() ? "none" : result;
}

std::vector<int64_t> labels_of(const Tensor& y, int64_t samples, const std::string& what) {
  const bool column = y.rank() == 2 && y.dim(1) == 1;
  if (!is_integer(y.dtype()) || (y.rank() != 1 && !column)) {
    fail("{} must be a list of whole numbers, one label a sample; it is {} of type {}", what,
         to_string(y.shape()), name(y.dtype()));
  }
  if (y.dim(0) != samples) fail("{} has {} labels, but there are {} samples", what, y.dim(0), samples);
  std::vector<int64_t> labels = y.to_ints();
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) fail("{} has a negative label: {} at sample {}", what, labels[i], i);
  }
  return labels;
}

bool recognizes(const Location& location) { return !location.folder && location.path.ends_with(".npz"); }

std::shared_ptr<const DatasetReader> open_npz(const Location& location, const std::string& split) {
  const NamedTensors arrays = read_npz(location.path);
  std::string suffix = split.empty() ? "" : "_" + split;
  if (split.empty() && find(arrays, "x") == nullptr && find(arrays, "x_train") != nullptr) suffix = "_train";
  const Tensor* x = find(arrays, "x" + suffix);
  if (x == nullptr) fail("{} has no array 'x{}' (its arrays: {})", location.path, suffix, listed(arrays));
  if (x->rank() == 0)
    fail("{}: the array 'x{}' is a single number, not a list of samples", location.path, suffix);
  const Tensor* y = find(arrays, "y" + suffix);
  std::vector<int64_t> labels;
  if (y != nullptr)
    labels = labels_of(*y, x->dim(0), fmt::format("{}: the array 'y{}'", location.path, suffix));
  return std::make_shared<NpzReader>(location.path, *x, std::move(labels));
}

}  // namespace

DatasetFormat npz_format() {
  return {"npz", "an .npz file with the arrays x and y (or x_train, y_train, x_test, y_test)", recognizes,
          open_npz};
}

}  // namespace kvant::data
