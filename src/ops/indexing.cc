// SPDX-License-Identifier: Apache-2.0
#include "ops/indexing.h"

#include <cstring>

#include "ops/elementwise.h"
#include "ops/strided_copy.h"

namespace kvant::ops {
namespace {

// Advances a row-major index over `extents`; false after the last one.
bool advance(std::vector<int64_t>& index, const Shape& extents) {
  for (size_t d = index.size(); d-- > 0;) {
    if (++index[d] < extents[d]) return true;
    index[d] = 0;
  }
  return false;
}

template <class V>
V combine(ScatterMode mode, V old, V update) {
  switch (mode) {
    case ScatterMode::Replace:
      return update;
    case ScatterMode::Add:
      return add_wrapping(old, update);
    case ScatterMode::Multiply:
      return multiply_wrapping(old, update);
    case ScatterMode::Max:
      return maximum(old, update);
    case ScatterMode::Min:
      return minimum(old, update);
  }
  return update;
}

}  // namespace

std::vector<int64_t> element_offsets(std::string_view op, const Shape& data, const Tensor& indices,
                                     size_t axis) {
  const Shape& shape = indices.shape();
  bool fits = shape.size() == data.size();
  for (size_t d = 0; d < data.size() && fits; ++d) fits = d == axis || shape[d] <= data[d];
  if (!fits) fail("{}: indices of shape {} do not fit a tensor of {}", op, to_string(shape), to_string(data));
  std::vector<int64_t> offsets = checked_indices(op, indices, data[axis]);
  if (offsets.empty()) return offsets;
  const auto strides = strides_of(data);
  std::vector<int64_t> at(shape.size(), 0);
  for (int64_t& offset : offsets) {
    offset *= strides[axis];
    for (size_t d = 0; d < at.size(); ++d) offset += d == axis ? 0 : at[d] * strides[d];
    advance(at, shape);
  }
  return offsets;
}

size_t index_depth(std::string_view op, const Shape& data, const Shape& indices, size_t batch_dims) {
  if (indices.empty() || data.empty()) fail("{} takes data and indices of at least one dimension", op);
  const int64_t depth = indices.back();
  if (batch_dims >= indices.size() || depth < 0 || batch_dims + static_cast<size_t>(depth) > data.size()) {
    fail("{}: index tuples of {} (after {} batch dimensions) do not fit a tensor of {}", op, depth,
         batch_dims, to_string(data));
  }
  for (size_t d = 0; d < batch_dims; ++d) {
    if (data[d] != indices[d] && data[d] != kUnknownDim && indices[d] != kUnknownDim) {
      fail("{}: batch dimension {} is {} in data and {} in indices", op, d, data[d], indices[d]);
    }
  }
  return static_cast<size_t>(depth);
}

std::vector<int64_t> slice_offsets(std::string_view op, const Shape& data, const Tensor& indices,
                                   size_t batch_dims) {
  require_index_dtype(op, indices.dtype());
  const size_t depth = index_depth(op, data, indices.shape(), batch_dims);
  const Shape tuples(indices.shape().begin(), indices.shape().end() - 1);
  const int64_t count = element_count(tuples), batches = count_before(data, batch_dims);
  std::vector<int64_t> offsets(static_cast<size_t>(count), 0);
  if (count == 0) return offsets;
  const auto strides = strides_of(data);
  const int64_t batch_stride = count_from(data, batch_dims), per_batch = count / batches;
  const std::vector<int64_t> values = indices.to_ints();
  for (size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = static_cast<int64_t>(i) / per_batch * batch_stride;
    for (size_t k = 0; k < depth; ++k) {
      const size_t axis = batch_dims + k;
      offsets[i] += checked_index(op, values[i * depth + k], data[axis]) * strides[axis];
    }
  }
  return offsets;
}

ScatterMode scatter_mode(const ir::Node& node) {
  const std::string reduction = node.attributes.text("reduction", "none");
  if (reduction == "none") return ScatterMode::Replace;
  if (reduction == "add") return ScatterMode::Add;
  if (reduction == "mul") return ScatterMode::Multiply;
  if (reduction == "max") return ScatterMode::Max;
  if (reduction == "min") return ScatterMode::Min;
  fail("{}: reduction is \"{}\"; it can be none, add, mul, max or min", node.op, reduction);
}

void apply_updates(Tensor& target, const std::vector<int64_t>& offsets, const Tensor& updates, int64_t length,
                   ScatterMode mode) {
  if (updates.size() == 0) return;
  if (mode == ScatterMode::Replace) {
    const size_t size = size_of(target.dtype()), bytes = static_cast<size_t>(length) * size;
    std::byte* out = target.mutable_raw();
    for (size_t i = 0; i < offsets.size(); ++i) {
      std::memcpy(out + static_cast<size_t>(offsets[i]) * size, updates.raw() + i * bytes, bytes);
    }
    return;
  }
  visit<DTypes::Numbers>("a scatter with reduction", target.dtype(), [&]<class T>() {
    const T* in = updates.data<T>().data();
    T* out = target.mutable_data<T>().data();
    for (const int64_t offset : offsets) {
      for (int64_t j = 0; j < length; ++j, ++in) {
        out[offset + j] = narrow<T>(combine(mode, widen(out[offset + j]), widen(*in)));
      }
    }
  });
}

}  // namespace kvant::ops
