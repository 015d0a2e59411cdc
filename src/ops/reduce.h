// SPDX-License-Identifier: Apache-2.0
// Reductions over axes. The input is walked once in memory order; every output element has a state of the
// caller's choice (double for sums of floats), updated element by element and finished at the end.
#pragma once

#include <limits>
#include <vector>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

struct Reduction {
  Shape shape;                   // of the result, reduced dimensions kept as 1 or dropped
  std::vector<int64_t> extents;  // input dimensions, adjacent ones of a kind merged; at least one
  std::vector<int64_t> strides;  // of the result for each of them; 0 for reduced ones
  int64_t count = 1;             // input elements for each result element
};

// Plans the reduction of a tensor of `shape` over `axes` (sorted, in range).
Reduction plan_reduction(const Shape& shape, const std::vector<size_t>& axes, bool keep_dims);

// Reduces `x`: each result element starts as `start`, takes step(state, widened element) for each of its
// elements, and becomes finish(state). T: x's element type; R: the result's.
template <class T, class R, class State, class Step, class Finish>
Tensor reduce(const Tensor& x, const Reduction& plan, State start, Step step, Finish finish) {
  Tensor y(dtype_of<R>(), plan.shape);
  const auto in = x.data<T>();
  std::vector<State> states(static_cast<size_t>(y.size()), start);
  const int64_t run = plan.extents.back(), run_stride = plan.strides.back();
  std::vector<int64_t> index(plan.extents.size() - 1, 0);
  int64_t offset = 0;
  for (int64_t i = 0; i < x.size(); i += run) {
    const T* source = in.data() + i;
    State* target = states.data() + offset;
    if (run_stride == 0) {
      State state = *target;
      for (int64_t j = 0; j < run; ++j) step(state, widen(source[j]));
      *target = state;
    } else {
      for (int64_t j = 0; j < run; ++j) step(target[j], widen(source[j]));
    }
    for (size_t d = index.size(); d-- > 0;) {
      offset += plan.strides[d];
      if (++index[d] < plan.extents[d]) break;
      offset -= plan.strides[d] * plan.extents[d];
      index[d] = 0;
    }
  }
  const auto out = y.mutable_data<R>();
  for (size_t i = 0; i < states.size(); ++i) out[i] = finish(states[i]);
  return y;
}

// The axes of a Reduce* node (opset 18 form): input 1 when present and not empty; else none with
// noop_with_empty_axes = 1, else all.
std::vector<size_t> reduced_axes(const ir::EvalArgs& args);

// Type rule of Reduce*: element type of the input (refused outside `Set`), reduced shape; rank unknown while
// the axes are and keepdims = 0.
std::vector<Type> infer_reduction(const ir::InferArgs& args, DTypes set);
template <DTypes Set>
std::vector<Type> reduction_type(const ir::InferArgs& args) {
  return infer_reduction(args, Set);
}
// The shape left of `shape` (may have unknown dimensions).
Shape reduced_shape(const Shape& shape, const std::vector<size_t>& axes, bool keep_dims);

// The attributes that all Reduce* share, and the value of one of them.
bool keeps_dims(const ir::Node& node);
std::vector<ir::AttributeDef> reduction_attributes();

// Converts a double to an element type: floats round; integers truncate and saturate, NaN gives 0.
template <class R>
R from_double(double x) {
  if constexpr (std::is_integral_v<R>) {
    constexpr double low = static_cast<double>(std::numeric_limits<R>::min());
    constexpr double high = static_cast<double>(std::numeric_limits<R>::max());
    if (x != x) return 0;
    if (x <= low) return std::numeric_limits<R>::min();
    if (x >= high) return std::numeric_limits<R>::max();
    return static_cast<R>(x);
  } else {
    return narrow<R>(x);
  }
}

// Reduces a Reduce* node whose result is a function of a sum of terms: term(x) is summed (floats in double,
// integers in wrapping 64 bits), finish(sum, count) gives the result: a double for floats, what the element
// type holds for integers.
template <DTypes Set, class Term, class Finish>
std::vector<Tensor> reduce_sum_of(const ir::EvalArgs& args, Term term, Finish finish) {
  const Tensor& x = args.in(0);
  const Reduction plan = plan_reduction(x.shape(), reduced_axes(args), keeps_dims(args.node));
  Tensor y;
  visit<Set>(args.node.op, x.dtype(), [&]<class T>() {
    if constexpr (kIsFloat<T>) {
      y = reduce<T, T>(
          x, plan, 0.0, [&](double& sum, auto v) { sum += term(static_cast<double>(v)); },
          [&](double sum) { return narrow<T>(finish(sum, plan.count)); });
    } else {
      using Sum = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
      y = reduce<T, T>(
          x, plan, Sum{0}, [&](Sum& sum, auto v) { sum = add_wrapping(sum, term(static_cast<Sum>(v))); },
          [&](Sum sum) {
            const auto result = finish(sum, plan.count);
            if constexpr (std::is_floating_point_v<decltype(finish(sum, plan.count))>)
              return from_double<T>(result);
            else
              return static_cast<T>(result);
          });
    }
  });
  return {y};
}

// ReduceMax (kLargest) and ReduceMin.
template <bool kLargest>
std::vector<Tensor> reduce_extreme(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Reduction plan = plan_reduction(x.shape(), reduced_axes(args), keeps_dims(args.node));
  Tensor y;
  visit<DTypes::All>(args.node.op, x.dtype(), [&]<class T>() {
    // bool as a byte: the states are an array whose elements have addresses.
    using State = std::conditional_t<std::is_same_v<T, bool>, uint8_t, Computed<T>>;
    using Limits = std::numeric_limits<Computed<T>>;
    constexpr auto highest = Limits::has_infinity ? Limits::infinity() : Limits::max();
    constexpr auto lowest = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    y = reduce<T, T>(
        x, plan, static_cast<State>(kLargest ? lowest : highest),
        [](State& best, auto v) {
          const auto value = static_cast<State>(v);
          best = kLargest ? maximum(best, value) : minimum(best, value);
        },
        [](State best) { return narrow<T>(best); });
  });
  return {y};
}

}  // namespace kvant::ops
