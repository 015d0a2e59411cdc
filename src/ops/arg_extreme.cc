// SPDX-License-Identifier: Apache-2.0
#include "ops/arg_extreme.h"

#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

struct Choice {
  bool largest;
  bool last;
};

// Whether `v` replaces `best`, of which it comes later.
template <class V>
bool beats(V v, V best, Choice choice) {
  if (best != best) return choice.last && v != v;
  if (v != v || v == best) return v != v || choice.last;
  return choice.largest ? v > best : v < best;
}

template <class T>
int64_t best_index(const T* x, int64_t n, int64_t step, Choice choice) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; ++i) {
    if (beats(widen(x[i * step]), widen(x[best * step]), choice)) best = i;
  }
  return best;
}

}  // namespace

std::vector<ir::AttributeDef> arg_extreme_attributes() {
  return {{"axis", ir::AttributeKind::Integer},
          {"keepdims", ir::AttributeKind::Integer},
          {"select_last_index", ir::AttributeKind::Integer}};
}

std::vector<Type> infer_arg_extreme(const ir::InferArgs& args) {
  require_dtype(args.node.op, DTypes::Numbers, args.inputs[0].dtype);
  const auto& shape = args.inputs[0].shape;
  if (!shape) return {Type{DType::Int64, std::nullopt}};
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), shape->size());
  return {Type{DType::Int64, reduced_shape(*shape, {axis}, keeps_dims(args.node))}};
}

std::vector<Tensor> arg_extreme(const ir::EvalArgs& args, bool largest) {
  const Tensor& x = args.in(0);
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), x.rank());
  const Choice choice{largest, args.attributes().integer("select_last_index", 0) != 0};
  Tensor y(DType::Int64, reduced_shape(x.shape(), {axis}, keeps_dims(args.node)));
  if (y.size() == 0) return {y};
  const int64_t n = x.dim(axis), inner = strides_of(x.shape())[axis];
  if (n == 0)
    fail("{}: axis {} of {} has no elements to choose from", args.node.op, axis, to_string(x.shape()));
  visit<DTypes::Numbers>(args.node.op, x.dtype(), [&]<class T>() {
    const T* in = x.data<T>().data();
    int64_t* out = y.mutable_data<int64_t>().data();
    for (int64_t start = 0; start < x.size(); start += n * inner) {
      for (int64_t i = 0; i < inner; ++i) *out++ = best_index(in + start + i, n, inner, choice);
    }
  });
  return {y};
}

}  // namespace kvant::ops
