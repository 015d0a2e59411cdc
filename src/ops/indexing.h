// SPDX-License-Identifier: Apache-2.0
// Where gathers read and scatters write: checked index tensors turned into element offsets.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "tensor/tensor.h"

namespace kvant::ops {

// GatherElements, ScatterElements: for each element of `indices` (row-major) the offset in a tensor of shape
// `data` of the element at the same position, but with the index along `axis`. Fails if ranks differ, another
// dimension of `indices` is larger than data's, or an index is outside.
std::vector<int64_t> element_offsets(std::string_view op, const Shape& data, const Tensor& indices,
                                     size_t axis);

// GatherND, ScatterND: the last dimension of `indices`, which is how many axes of `data` a tuple addresses
// after the batch ones. Fails if that is more than there are, or batch dimensions differ (unknown ones fit).
size_t index_depth(std::string_view op, const Shape& data, const Shape& indices, size_t batch_dims);
// For each index tuple (row-major over the other dimensions) the offset of the slice that it addresses.
std::vector<int64_t> slice_offsets(std::string_view op, const Shape& data, const Tensor& indices,
                                   size_t batch_dims);

enum class ScatterMode { Replace, Add, Multiply, Max, Min };
// Attribute `reduction` of a scatter: none, add, mul, max, min.
ScatterMode scatter_mode(const ir::Node& node);
// Combines `updates` into `target` in order: slice i of `length` elements at offsets[i]. Fails for a mode
// other than Replace on bool tensors.
void apply_updates(Tensor& target, const std::vector<int64_t>& offsets, const Tensor& updates, int64_t length,
                   ScatterMode mode);

}  // namespace kvant::ops
