// SPDX-License-Identifier: Apache-2.0
#include "ops/axis_lines.h"

#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

std::vector<Tensor> map_lines(const ir::EvalArgs& args, const std::function<void(std::span<double>)>& fn) {
  const Tensor& x = args.in(0);
  if (x.size() == 0) return {x};
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", -1), x.rank());
  const int64_t step = strides_of(x.shape())[axis], length = x.dim(axis);
  std::vector<double> values = to_doubles(x), line(static_cast<size_t>(length));
  for (int64_t begin = 0; begin < x.size(); begin += step * length)
    for (int64_t i = 0; i < step; ++i) {
      double* first = values.data() + begin + i;
      for (int64_t k = 0; k < length; ++k) line[static_cast<size_t>(k)] = first[k * step];
      fn(line);
      for (int64_t k = 0; k < length; ++k) first[k * step] = line[static_cast<size_t>(k)];
    }
  return {from_doubles(x.dtype(), x.shape(), values)};
}

std::vector<Type> lines_type(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype(args.node.op, DTypes::Floats, x.dtype);
  if (x.shape) checked_axis(args.node.op, args.attributes().integer("axis", -1), x.shape->size());
  return {x};
}

}  // namespace kvant::ops
