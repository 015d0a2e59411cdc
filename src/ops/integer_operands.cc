// SPDX-License-Identifier: Apache-2.0
#include "ops/integer_operands.h"

#include "ops/real_values.h"

namespace kvant::ops {
namespace {

void require_count(const ir::EvalArgs& args, std::string_view what, const Tensor& tensor, int64_t count) {
  if (tensor.size() != 1 && tensor.size() != count)
    fail("{}: {} is {}; one value or {} are needed", args.node.op, what, to_string(tensor.shape()), count);
}

}  // namespace

void require_code_type(std::string_view op, std::string_view what, DType dtype) {
  if (dtype != DType::Int8 && dtype != DType::UInt8)
    fail("{}: {} holds {}; i8 or u8 is needed", op, what, name(dtype));
}

void require_table(std::string_view op, DType dtype, const std::optional<Shape>& shape, bool reals) {
  if (dtype != DType::UInt8 && dtype != DType::Int8 && !(reals && dtype == DType::Float32))
    fail("{}: the table holds {}; {} is needed", op, name(dtype), reals ? "u8, i8 or f32" : "u8 or i8");
  if (shape && (shape->size() != 1 || ((*shape)[0] != 256 && (*shape)[0] != kUnknownDim)))
    fail("{}: the table is {}; 256 entries are needed", op, to_string(*shape));
}

Tensor look_up(const Tensor& codes, const Tensor& table) {
  Tensor y(table.dtype(), codes.shape());
  const auto* bytes = reinterpret_cast<const uint8_t*>(codes.raw());
  visit_dtype(table.dtype(), [&]<class T>() {
    const auto entries = table.data<T>();
    const auto out = y.mutable_data<T>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = entries[bytes[i]];
  });
  return y;
}

std::vector<int32_t> zero_points(const ir::EvalArgs& args, size_t i, std::string_view what,
                                 const Tensor& codes, int64_t count) {
  if (!args.has(i)) return {0};
  const Tensor& tensor = args.in(i);
  if (tensor.dtype() != codes.dtype())
    fail("{}: {} holds {}, its codes are {}", args.node.op, what, name(tensor.dtype()), name(codes.dtype()));
  require_count(args, what, tensor, count);
  std::vector<int32_t> result;
  for (const int64_t value : tensor.to_ints()) result.push_back(static_cast<int32_t>(value));
  return result;
}

std::vector<float> scales(const ir::EvalArgs& args, size_t i, std::string_view what, int64_t count) {
  require_count(args, what, args.in(i), count);
  return args.in(i).to_floats();
}

std::vector<double> centred(const Tensor& codes, const std::vector<int32_t>& zero_points, int64_t inner) {
  if (zero_points.size() == 1) return to_doubles(codes, zero_points[0]);
  std::vector<double> result = to_doubles(codes);
  for (size_t i = 0; i < result.size(); ++i)
    result[i] -= zero_points[i / static_cast<size_t>(inner) % zero_points.size()];
  return result;
}

std::vector<double> centred_rows(const ir::EvalArgs& args, const Tensor& codes, size_t i,
                                 std::string_view what) {
  if (!args.has(i) || args.in(i).size() == 1) return centred(codes, zero_points(args, i, what, codes), 1);
  if (codes.rank() < 2) fail("{}: {} must be one value for a vector", args.node.op, what);
  // One for each row of one matrix, or of all of them.
  const int64_t rows = codes.dim(codes.rank() - 2), columns = codes.shape().back();
  const int64_t all = columns == 0 ? rows : codes.size() / columns;
  const auto points = zero_points(args, i, what, codes, args.in(i).size() == all ? all : rows);
  return centred(codes, points, columns);
}

std::vector<double> centred_columns(const ir::EvalArgs& args, const Tensor& codes, size_t i,
                                    std::string_view what) {
  if (!args.has(i) || args.in(i).size() == 1) return centred(codes, zero_points(args, i, what, codes), 1);
  if (codes.rank() < 2) fail("{}: {} must be one value for a vector", args.node.op, what);
  const int64_t rows = codes.dim(codes.rank() - 2), columns = codes.shape().back();
  const int64_t matrices = rows * columns == 0 ? 1 : codes.size() / (rows * columns);
  const bool each = args.in(i).size() == matrices * columns;
  const auto points = zero_points(args, i, what, codes, each ? matrices * columns : columns);
  std::vector<double> result = to_doubles(codes);
  for (int64_t j = 0; j < codes.size(); ++j) {
    const int64_t column = j % columns, matrix = each ? j / (rows * columns) : 0;
    result[static_cast<size_t>(j)] -= points[static_cast<size_t>(matrix * columns + column)];
  }
  return result;
}

}  // namespace kvant::ops
