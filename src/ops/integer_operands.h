// SPDX-License-Identifier: Apache-2.0
// Operands of ONNX's integer products (ConvInteger, MatMulInteger, QLinearConv, QLinearMatMul): codes, and
// the scales and zero points given as inputs beside them.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/op_def.h"

namespace kvant::ops {

// Fails unless the element type is u8 or i8.
void require_code_type(std::string_view op, std::string_view what, DType dtype);
// Zero points in input i, or one 0 where it is absent. Fails if the element type is not that of the codes or
// there is not one or `count` of them.
std::vector<int32_t> zero_points(const ir::EvalArgs& args, size_t i, std::string_view what,
                                 const Tensor& codes, int64_t count = 1);
// Scales in input i, as float. Fails if there is not one or `count` of them.
std::vector<float> scales(const ir::EvalArgs& args, size_t i, std::string_view what, int64_t count = 1);

// Fails unless a table of codes is u8 or i8 (f32 too where `reals`) and has 256 entries.
void require_table(std::string_view op, DType dtype, const std::optional<Shape>& shape, bool reals);
// table[byte of each code].
Tensor look_up(const Tensor& codes, const Tensor& table);

// codes[..., channel, ...] minus the zero point of its channel; `inner` is the number of elements of one
// channel in a row, zero_points one or one for each channel.
std::vector<double> centred(const Tensor& codes, const std::vector<int32_t>& zero_points, int64_t inner);

// Matrices [..., rows, columns] minus zero points: one, one for each row (columns) of a matrix, or one for
// each row (column) of all matrices, [..., rows, 1] ([..., 1, columns]). Input i is the zero points; absent
// means 0.
std::vector<double> centred_rows(const ir::EvalArgs& args, const Tensor& codes, size_t i,
                                 std::string_view what);
std::vector<double> centred_columns(const ir::EvalArgs& args, const Tensor& codes, size_t i,
                                    std::string_view what);

}  // namespace kvant::ops
