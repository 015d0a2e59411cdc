// SPDX-License-Identifier: Apache-2.0
// Moving elements of any type by bytes: what the data movement operators are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace kvant::ops {

// Calls fn.template operator()<Word>() with the unsigned integer of `bytes` bytes (1, 2, 4 or 8).
template <class Fn>
void visit_word(size_t bytes, Fn&& fn) {
  switch (bytes) {
    case 1:
      return fn.template operator()<uint8_t>();
    case 2:
      return fn.template operator()<uint16_t>();
    case 4:
      return fn.template operator()<uint32_t>();
    case 8:
      return fn.template operator()<uint64_t>();
  }
  throw_bug(__FILE__, __LINE__, "bytes", "no element type has this size");
}

// Copies the elements of a box: the one at index i goes from source + sum(i * source_strides) to
// target + sum(i * target_strides). Strides count elements; a source stride may be 0 or negative. The caller
// has checked that both stay inside their tensors. Runs that are dense on both sides are copied by memcpy.
struct StridedBox {
  std::vector<int64_t> extents;
  std::vector<int64_t> source_strides;
  std::vector<int64_t> target_strides;
};
void copy_strided(const StridedBox& box, size_t element_size, const std::byte* source, std::byte* target);

// Sets every element to the single element of `value` (same dtype).
void fill(Tensor& tensor, const Tensor& value);

// Fails unless `dtype` is i32 or i64.
void require_index_dtype(std::string_view op, DType dtype);
// Indices of a tensor as non-negative numbers below `extent`; negative ones count from the end. Fails outside
// [-extent, extent), with the index.
std::vector<int64_t> checked_indices(std::string_view op, const Tensor& indices, int64_t extent);
int64_t checked_index(std::string_view op, int64_t index, int64_t extent);

// Products of the dimensions before and from `axis` on.
int64_t count_before(const Shape& shape, size_t axis);
int64_t count_from(const Shape& shape, size_t axis);

}  // namespace kvant::ops
