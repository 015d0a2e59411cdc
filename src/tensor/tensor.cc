// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <type_traits>

namespace kvant {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr std::align_val_t kAlignment{64};

std::shared_ptr<const std::byte> allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = ::operator new(bytes, kAlignment, std::nothrow);
  if (memory == nullptr) fail("not enough memory for a tensor of {} bytes", bytes);
  return {static_cast<const std::byte*>(memory),
          [](const std::byte* p) { ::operator delete(const_cast<std::byte*>(p), kAlignment); }};
}

template <class To, class From>
To convert(From x) {
  constexpr bool from_small = std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>;
  constexpr bool to_small = std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>;
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (from_small) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (to_small) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From{};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Out of range is undefined in C++: saturate for 64-bit targets, wrap like numpy below.
    if (x != x) return To{};
    const double wide = static_cast<double>(x);
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (wide >= 18446744073709551616.0) return UINT64_MAX;
      if (wide >= 0) return static_cast<uint64_t>(wide);
    }
    if (wide >= 9223372036854775808.0) return static_cast<To>(INT64_MAX);
    if (wide < -9223372036854775808.0) return static_cast<To>(INT64_MIN);
    return static_cast<To>(static_cast<int64_t>(wide));
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  bool zero = false;
  for (const int64_t dim : shape) {
    if (dim < 0) fail("negative dimension in shape {}", to_string(shape));
    if (dim == 0) {
      zero = true;
    } else if (dim > kMaxElements / count) {
      fail("shape {} is too large", to_string(shape));
    } else {
      count *= dim;
    }
  }
  return zero ? 0 : count;
}

std::string to_string(const Shape& shape) {
  if (shape.empty()) return "scalar";
  std::string text;
  for (const int64_t dim : shape) {
    if (!text.empty()) text += 'x';
    text += dim == kUnknownDim ? "?" : std::to_string(dim);
  }
  return text;
}

std::vector<int64_t> strides_of(const Shape& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b) {
  const size_t rank = std::max(a.size(), b.size());
  Shape result(rank);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t x = i < rank - a.size() ? 1 : a[i - (rank - a.size())];
    const int64_t y = i < rank - b.size() ? 1 : b[i - (rank - b.size())];
    if (x != y && x != 1 && y != 1) {
      fail("shapes {} and {} cannot be broadcast together", to_string(a), to_string(b));
    }
    result[i] = x == 1 ? y : x;
  }
  return result;
}

int64_t normalize_axis(int64_t axis, size_t rank) {
  const auto n = static_cast<int64_t>(rank);
  if (axis < -n || axis >= n) fail("axis {} is outside a tensor of rank {}", axis, rank);
  return axis < 0 ? axis + n : axis;
}

Tensor::Tensor() = default;

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), size_(element_count(shape_)) {
  storage_ = allocate(byte_size());
  if (storage_) std::memset(const_cast<std::byte*>(storage_.get()), 0, byte_size());
}

Tensor::Tensor(DType dtype, Shape shape, std::shared_ptr<const std::byte> owner)
    : dtype_(dtype),
      shape_(std::move(shape)),
      size_(element_count(shape_)),
      storage_(std::move(owner)),
      owned_(false) {}

Tensor Tensor::full(Shape shape, float value) {
  Tensor result(DType::Float32, std::move(shape));
  std::ranges::fill(result.mutable_data<float>(), value);
  return result;
}

std::byte* Tensor::mutable_raw() {
  if (storage_ && (!owned_ || storage_.use_count() > 1)) {
    std::shared_ptr<const std::byte> copy = allocate(byte_size());
    std::memcpy(const_cast<std::byte*>(copy.get()), storage_.get(), byte_size());
    storage_ = std::move(copy);
    owned_ = true;
  }
  return const_cast<std::byte*>(storage_.get());
}

Tensor Tensor::reshaped(Shape shape) const {
  const int64_t count = element_count(shape);
  if (count != size_) fail("cannot reshape {} to {}", to_string(shape_), to_string(shape));
  Tensor result = *this;
  result.shape_ = std::move(shape);
  return result;
}

Tensor Tensor::cast(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor result(dtype, shape_);
  visit_dtype(dtype_, [&]<class From>() {
    visit_dtype(dtype, [&]<class To>() {
      const auto in = data<From>();
      const auto out = result.mutable_data<To>();
      for (size_t i = 0; i < in.size(); ++i) out[i] = convert<To>(in[i]);
    });
  });
  return result;
}

std::vector<int64_t> Tensor::to_ints() const {
  const Tensor wide = cast(DType::Int64);
  const auto values = wide.data<int64_t>();
  return {values.begin(), values.end()};
}

std::vector<float> Tensor::to_floats() const {
  const Tensor wide = cast(DType::Float32);
  const auto values = wide.data<float>();
  return {values.begin(), values.end()};
}

bool operator==(const Tensor& a, const Tensor& b) {
  return a.dtype_ == b.dtype_ && a.shape_ == b.shape_ &&
         (a.byte_size() == 0 || a.raw() == b.raw() || std::memcmp(a.raw(), b.raw(), a.byte_size()) == 0);
}

Tensor transpose(const Tensor& t, std::span<const int64_t> permutation) {
  const size_t rank = t.rank();
  KVANT_CHECK(permutation.size() == rank, "permutation does not fit the rank");
  Shape shape(rank);
  std::vector<int64_t> source(rank);  // stride in t of each result axis
  const std::vector<int64_t> strides = strides_of(t.shape());
  for (size_t i = 0; i < rank; ++i) {
    const auto axis = static_cast<size_t>(permutation[i]);
    KVANT_CHECK(axis < rank, "permutation names an axis that is not there");
    shape[i] = t.shape()[axis];
    source[i] = strides[axis];
  }
  Tensor result(t.dtype(), shape);
  if (result.size() == 0) return result;
  const auto move = [&]<class Word>(Word) {
    const auto* in = reinterpret_cast<const Word*>(t.raw());
    auto* out = reinterpret_cast<Word*>(result.mutable_raw());
    std::vector<int64_t> index(rank, 0);
    const int64_t inner = rank == 0 ? 1 : shape[rank - 1];
    const int64_t step = rank == 0 ? 1 : source[rank - 1];
    int64_t offset = 0;
    for (int64_t done = 0; done < result.size(); done += inner) {
      for (int64_t i = 0; i < inner; ++i) out[done + i] = in[offset + i * step];
      for (size_t axis = rank; axis-- > 1;) {
        const size_t a = axis - 1;
        offset += source[a];
        if (++index[a] < shape[a]) break;
        offset -= source[a] * shape[a];
        index[a] = 0;
      }
    }
  };
  switch (size_of(t.dtype())) {
    case 1:
      move(uint8_t{});
      break;
    case 2:
      move(uint16_t{});
      break;
    case 4:
      move(uint32_t{});
      break;
    default:
      move(uint64_t{});
      break;
  }
  return result;
}

double max_abs_difference(const Tensor& a, const Tensor& b) {
  KVANT_CHECK(a.shape() == b.shape(), "tensors of different shape are compared");
  const Tensor x = a.cast(DType::Float64), y = b.cast(DType::Float64);
  double worst = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    const double p = x.data<double>()[static_cast<size_t>(i)], q = y.data<double>()[static_cast<size_t>(i)];
    if (p == q || (p != p && q != q)) continue;
    const double d = std::abs(p - q);
    worst = d != d ? INFINITY : std::max(worst, d);
  }
  return worst;
}

}  // namespace kvant
