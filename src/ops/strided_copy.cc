// SPDX-License-Identifier: Apache-2.0
#include "ops/strided_copy.h"

#include <algorithm>
#include <cstring>

namespace kvant::ops {
namespace {

// Drops dimensions of 1 and joins neighbours that are one walk on both sides. At least one dimension remains.
StridedBox merged(const StridedBox& box) {
  StridedBox result;
  for (size_t d = 0; d < box.extents.size(); ++d) {
    const int64_t extent = box.extents[d], from = box.source_strides[d], to = box.target_strides[d];
    if (extent == 1) continue;
    const bool joins = !result.extents.empty() && result.source_strides.back() == from * extent &&
                       result.target_strides.back() == to * extent;
    if (joins) {
      result.extents.back() *= extent;
      result.source_strides.back() = from;
      result.target_strides.back() = to;
    } else {
      result.extents.push_back(extent);
      result.source_strides.push_back(from);
      result.target_strides.push_back(to);
    }
  }
  if (result.extents.empty()) return {{1}, {1}, {1}};
  return result;
}

template <class Word>
void copy_run(const std::byte* source, int64_t from, std::byte* target, int64_t to, int64_t n) {
  if (from == 1 && to == 1) {
    std::memcpy(target, source, static_cast<size_t>(n) * sizeof(Word));
    return;
  }
  const auto* in = reinterpret_cast<const Word*>(source);
  auto* out = reinterpret_cast<Word*>(target);
  for (int64_t i = 0; i < n; ++i) out[i * to] = in[i * from];
}

template <class Word>
void copy_box(const StridedBox& box, const std::byte* source, std::byte* target) {
  const size_t outer = box.extents.size() - 1;
  const int64_t size = sizeof(Word);
  std::vector<int64_t> index(outer, 0);
  int64_t from = 0, to = 0;
  while (true) {
    copy_run<Word>(source + from * size, box.source_strides[outer], target + to * size,
                   box.target_strides[outer], box.extents[outer]);
    size_t d = outer;
    while (d-- > 0) {
      from += box.source_strides[d];
      to += box.target_strides[d];
      if (++index[d] < box.extents[d]) break;
      from -= box.source_strides[d] * box.extents[d];
      to -= box.target_strides[d] * box.extents[d];
      index[d] = 0;
      if (d == 0) return;
    }
    if (outer == 0) return;
  }
}

}  // namespace

void copy_strided(const StridedBox& box, size_t element_size, const std::byte* source, std::byte* target) {
  if (std::find(box.extents.begin(), box.extents.end(), 0) != box.extents.end()) return;
  const StridedBox plan = merged(box);
  visit_word(element_size, [&]<class Word>() { copy_box<Word>(plan, source, target); });
}

void fill(Tensor& tensor, const Tensor& value) {
  KVANT_CHECK(tensor.dtype() == value.dtype() && value.size() == 1, "fill value does not fit");
  if (tensor.size() == 0) return;
  visit_word(size_of(tensor.dtype()), [&]<class Word>() {
    auto* out = reinterpret_cast<Word*>(tensor.mutable_raw());
    std::fill_n(out, tensor.size(), *reinterpret_cast<const Word*>(value.raw()));
  });
}

void require_index_dtype(std::string_view op, DType dtype) {
  if (dtype != DType::Int64 && dtype != DType::Int32)
    fail("{} takes indices of i64 or i32, not {}", op, name(dtype));
}

int64_t checked_index(std::string_view op, int64_t index, int64_t extent) {
  if (index < -extent || index >= extent)
    fail("{}: index {} is outside a dimension of {}", op, index, extent);
  return index < 0 ? index + extent : index;
}

std::vector<int64_t> checked_indices(std::string_view op, const Tensor& indices, int64_t extent) {
  require_index_dtype(op, indices.dtype());
  std::vector<int64_t> result = indices.to_ints();
  for (int64_t& index : result) index = checked_index(op, index, extent);
  return result;
}

int64_t count_before(const Shape& shape, size_t axis) {
  return element_count(Shape(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis)));
}

int64_t count_from(const Shape& shape, size_t axis) {
  return element_count(Shape(shape.begin() + static_cast<std::ptrdiff_t>(axis), shape.end()));
}

}  // namespace kvant::ops
