// SPDX-License-Identifier: Apache-2.0
// Whole tensors as doubles, for operators whose reference computes in double and rounds once at the end.
#pragma once

#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::ops {

// All elements of a tensor of any element type, widened (64-bit integers are rounded).
std::vector<double> to_doubles(const Tensor& x);
// The same with `zero_point` subtracted: exact for codes.
std::vector<double> to_doubles(const Tensor& x, int32_t zero_point);
// A float tensor (f32, f64, f16, bf16) of the values, each rounded to the element type; or an i32 tensor of
// values that are integers, taken modulo 2^32 as int32 accumulators are. Fails on other element types.
Tensor from_doubles(DType dtype, Shape shape, std::span<const double> values);

}  // namespace kvant::ops
