// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_top_k(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("TopK", DTypes::Numbers, x.dtype);
  Type values = x;
  if (x.shape) {
    const size_t axis = checked_axis("TopK", args.attributes().integer("axis", -1), x.shape->size());
    const auto k = constant_ints(args, 1, "K");
    (*values.shape)[axis] = k ? single_int(*k, "TopK", "K") : kUnknownDim;
  }
  return {values, {DType::Int64, values.shape}};
}

// Order of elements `a` and `b`; equal ones keep the order of their indices.
template <class T>
bool before(T a, T b, bool largest) {
  return largest ? widen(a) > widen(b) : widen(a) < widen(b);
}

std::vector<Tensor> evaluate_top_k(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const size_t axis = checked_axis("TopK", args.attributes().integer("axis", -1), x.rank());
  const int64_t k = single_int(input_ints(args, 1, "K"), "TopK", "K"), length = x.dim(axis);
  if (k < 0 || k > length) fail("TopK: K is {}; axis {} has {} elements", k, axis, length);
  const bool largest = args.attributes().integer("largest", 1) != 0;
  Shape shape = x.shape();
  shape[axis] = k;
  Tensor values(x.dtype(), shape), indices(DType::Int64, shape);
  const int64_t inner = strides_of(x.shape())[axis];
  const int64_t outer = x.size() == 0 ? 0 : x.size() / (inner * length);
  const auto index_out = indices.mutable_data<int64_t>();
  std::vector<int64_t> order(static_cast<size_t>(length));
  visit<DTypes::Numbers>("TopK", x.dtype(), [&]<class T>() {
    const auto in = x.data<T>();
    const auto out = values.mutable_data<T>();
    for (int64_t line = 0; line < outer * inner; ++line) {
      const int64_t o = line / inner, i = line % inner;
      const T* first = in.data() + o * length * inner + i;
      std::iota(order.begin(), order.end(), int64_t{0});
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return before(first[a * inner], first[b * inner], largest);
      });
      for (int64_t j = 0; j < k; ++j) {
        const auto at = static_cast<size_t>((o * k + j) * inner + i);
        out[at] = first[order[static_cast<size_t>(j)] * inner];
        index_out[at] = order[static_cast<size_t>(j)];
      }
    }
  });
  return {values, indices};
}

}  // namespace

ir::OpDef top_k() {
  using ir::AttributeKind;
  return {.name = "TopK",
          .min_inputs = 2,
          .max_inputs = 2,
          .max_outputs = 2,
          .attributes = {{"axis", AttributeKind::Integer},
                         {"largest", AttributeKind::Integer},
                         {"sorted", AttributeKind::Integer}},
          .infer = infer_top_k,
          .evaluate = evaluate_top_k};
}

}  // namespace kvant::ops
