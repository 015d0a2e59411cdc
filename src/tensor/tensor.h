// SPDX-License-Identifier: Apache-2.0
// Dense row-major tensors with shared, copy-on-write storage: a Tensor is a value, cheap to copy, and may
// point into a mapped file (external data, plans) without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace kvant {

// Dimensions, outermost first. In types a dimension may be kUnknownDim; in a Tensor never.
using Shape = std::vector<int64_t>;
inline constexpr int64_t kUnknownDim = -1;

// Product of the dimensions (1 for a scalar). Fails if it overflows, if a dimension is negative, or above
// 2^40.
int64_t element_count(const Shape& shape);
std::string to_string(const Shape& shape);  // "1x3x224x224", "scalar", unknown as "?"
// Row-major strides in elements.
std::vector<int64_t> strides_of(const Shape& shape);
// ONNX/numpy multidirectional broadcasting; fails if the shapes do not fit.
Shape broadcast(const Shape& a, const Shape& b);
// Maps an axis in [-rank, rank) to [0, rank); fails otherwise.
int64_t normalize_axis(int64_t axis, size_t rank);

class Tensor {
 public:
  // An empty f32 tensor of shape {0}.
  Tensor();
  // Zero-filled, 64-byte aligned.
  Tensor(DType dtype, Shape shape);
  // A view of memory that somebody else fills and `owner` keeps alive; never written through.
  Tensor(DType dtype, Shape shape, std::shared_ptr<const std::byte> owner);

  template <class T>
  static Tensor of(Shape shape, std::span<const T> values);
  template <class T>
  static Tensor of(Shape shape, std::initializer_list<T> values) {
    return of<T>(std::move(shape), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor of(Shape shape, const std::vector<T>& values) {
    return of<T>(std::move(shape), std::span<const T>(values));
  }
  template <class T>
  static Tensor scalar(T value) {
    return of<T>({}, {value});
  }
  template <class T>
  static Tensor vector(std::initializer_list<T> values) {
    return of<T>({static_cast<int64_t>(values.size())}, values);
  }
  template <class T>
  static Tensor vector(const std::vector<T>& values) {
    return of<T>({static_cast<int64_t>(values.size())}, values);
  }
  static Tensor full(Shape shape, float value);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  size_t rank() const { return shape_.size(); }
  int64_t dim(size_t axis) const { return shape_[axis]; }
  int64_t size() const { return size_; }  // elements
  size_t byte_size() const { return static_cast<size_t>(size_) * size_of(dtype_); }

  const std::byte* raw() const { return storage_.get(); }
  std::byte* mutable_raw();
  // Elements as T; a Bug if T is not the element type (callers check dtype() first).
  template <class T>
  std::span<const T> data() const {
    KVANT_CHECK(dtype_ == dtype_of<T>(), "tensor holds " + std::string(name(dtype_)));
    return {reinterpret_cast<const T*>(raw()), static_cast<size_t>(size_)};
  }
  // The same, writable; copies the storage first if it is shared.
  template <class T>
  std::span<T> mutable_data() {
    KVANT_CHECK(dtype_ == dtype_of<T>(), "tensor holds " + std::string(name(dtype_)));
    return {reinterpret_cast<T*>(mutable_raw()), static_cast<size_t>(size_)};
  }

  // The same elements under another shape of equal size (shares storage).
  Tensor reshaped(Shape shape) const;
  // Element-wise conversion as ONNX Cast: floats to integers truncate toward zero, to Bool as != 0. No-op if
  // equal.
  Tensor cast(DType dtype) const;
  // All elements as int64 (shape arithmetic) or float; any numeric dtype.
  std::vector<int64_t> to_ints() const;
  std::vector<float> to_floats() const;

  // Same dtype, shape and bytes.
  friend bool operator==(const Tensor& a, const Tensor& b);

 private:
  DType dtype_ = DType::Float32;
  Shape shape_{0};
  int64_t size_ = 0;
  std::shared_ptr<const std::byte> storage_;
  bool owned_ = true;  // storage was allocated by a Tensor, so it may be written when not shared
};

template <class T>
Tensor Tensor::of(Shape shape, std::span<const T> values) {
  Tensor result(dtype_of<T>(), std::move(shape));
  KVANT_CHECK(static_cast<size_t>(result.size()) == values.size(), "value count does not fit the shape");
  auto out = result.mutable_data<T>();
  for (size_t i = 0; i < values.size(); ++i) out[i] = values[i];
  return result;
}

// Axes permuted: result.shape[i] = t.shape[permutation[i]].
Tensor transpose(const Tensor& t, std::span<const int64_t> permutation);
// Largest absolute difference of two tensors of equal shape, compared as double; NaN against NaN counts as
// equal.
double max_abs_difference(const Tensor& a, const Tensor& b);

}  // namespace kvant
