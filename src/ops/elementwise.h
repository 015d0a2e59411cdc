// SPDX-License-Identifier: Apache-2.0
// Element by element maps over tensors: unary, and binary with ONNX's multidirectional broadcasting. The
// 16-bit floats are computed in float and rounded once. Functions are generic lambdas: [](auto x) { return
// std::exp(x); }.
#pragma once

#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "ir/op_def.h"
#include "tensor/tensor.h"

namespace kvant::ops {

// The type in which elements of type T are computed: float for Half and BFloat16, else T itself.
template <class T>
using Computed = std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;
template <class T>
inline constexpr bool kIsFloat = std::is_floating_point_v<Computed<T>>;

template <class T>
Computed<T> widen(T x) {
  return static_cast<Computed<T>>(x);
}
// Rounds (16-bit floats) or converts a computed value to the element type.
template <class T, class V>
T narrow(V x) {
  return static_cast<T>(static_cast<Computed<T>>(x));
}

// Which element types an operator takes.
enum class DTypes { Floats, Numbers, SignedNumbers, Integers, UnsignedIntegers, Bools, All };

constexpr bool contains(DTypes set, DType dtype) {
  const bool floating = dtype == DType::Float32 || dtype == DType::Float64 || dtype == DType::Float16 ||
                        dtype == DType::BFloat16;
  const bool is_unsigned =
      dtype == DType::UInt8 || dtype == DType::UInt16 || dtype == DType::UInt32 || dtype == DType::UInt64;
  const bool boolean = dtype == DType::Bool;
  switch (set) {
    case DTypes::Floats:
      return floating;
    case DTypes::Numbers:
      return !boolean;
    case DTypes::SignedNumbers:
      return !boolean && !is_unsigned;
    case DTypes::Integers:
      return !floating && !boolean;
    case DTypes::UnsignedIntegers:
      return is_unsigned;
    case DTypes::Bools:
      return boolean;
    case DTypes::All:
      return true;
  }
  return false;
}

// Fails unless `dtype` is in `set`; `op` is named in the message.
void require_dtype(std::string_view op, DTypes set, DType dtype);
// Fails unless both element types are equal.
void require_same_dtype(std::string_view op, DType a, DType b);

// Calls fn.template operator()<T>() for the C++ type of `dtype`, instantiated for the types in Set only;
// fails for others.
template <DTypes Set, class Fn>
void visit(std::string_view op, DType dtype, Fn&& fn) {
  require_dtype(op, Set, dtype);
  visit_dtype(dtype, [&]<class T>() {
    if constexpr (contains(Set, dtype_of<T>())) fn.template operator()<T>();
  });
}

// y[i] = fn(x[i]), same dtype and shape.
template <DTypes Set, class Fn>
Tensor map_elements(std::string_view op, const Tensor& x, Fn fn) {
  Tensor y(x.dtype(), x.shape());
  visit<Set>(op, x.dtype(), [&]<class T>() {
    const auto in = x.data<T>();
    const auto out = y.mutable_data<T>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = narrow<T>(fn(widen(in[i])));
  });
  return y;
}

// y[i] = fn(x[i]) as Bool.
template <DTypes Set, class Fn>
Tensor map_to_bool(std::string_view op, const Tensor& x, Fn fn) {
  Tensor y(DType::Bool, x.shape());
  visit<Set>(op, x.dtype(), [&]<class T>() {
    const auto in = x.data<T>();
    const auto out = y.mutable_data<bool>();
    for (size_t i = 0; i < in.size(); ++i) out[i] = fn(widen(in[i]));
  });
  return y;
}

// How operands are walked to a common shape: adjacent dimensions are merged where every operand allows it, so
// that equal shapes and scalars become one loop.
struct Broadcast {
  Shape shape;                   // of the result
  std::vector<int64_t> extents;  // merged dimensions, at least one
  std::vector<std::vector<int64_t>>
      strides;  // [operand][merged dimension] in elements; 0 where it is repeated
  int64_t run() const { return extents.back(); }
};

// Fails if the shapes do not fit.
Broadcast plan_broadcast(std::span<const Shape> operands);

// Calls fn(i, offsets) for each innermost run: `i` is the index of the run's first element in the result,
// offsets[k] in operand k. A run has plan.run() elements; operand k advances by plan.strides[k].back().
template <class Fn>
void for_each_run(const Broadcast& plan, Fn&& fn) {
  const int64_t total = element_count(plan.shape);
  if (total == 0) return;
  const size_t outer = plan.extents.size() - 1;
  const size_t operands = plan.strides.size();
  std::vector<int64_t> index(outer, 0), offsets(operands, 0);
  for (int64_t i = 0; i < total; i += plan.run()) {
    fn(i, std::as_const(offsets));
    for (size_t d = outer; d-- > 0;) {
      for (size_t k = 0; k < operands; ++k) offsets[k] += plan.strides[k][d];
      if (++index[d] < plan.extents[d]) break;
      for (size_t k = 0; k < operands; ++k) offsets[k] -= plan.strides[k][d] * plan.extents[d];
      index[d] = 0;
    }
  }
}

// out[i] = fn(a[..], b[..]) over the broadcast of two operands.
template <class R, class A, class B, class Fn>
void broadcast_into(const Broadcast& plan, const A* a, const B* b, R* out, Fn fn) {
  const int64_t n = plan.run(), step_a = plan.strides[0].back(), step_b = plan.strides[1].back();
  for_each_run(plan, [&](int64_t i, const std::vector<int64_t>& offsets) {
    const A* pa = a + offsets[0];
    const B* pb = b + offsets[1];
    R* po = out + i;
    if (step_a == 1 && step_b == 1) {
      for (int64_t j = 0; j < n; ++j) po[j] = narrow<R>(fn(widen(pa[j]), widen(pb[j])));
    } else if (step_b == 0) {
      const auto y = widen(*pb);
      for (int64_t j = 0; j < n; ++j) po[j] = narrow<R>(fn(widen(pa[j * step_a]), y));
    } else if (step_a == 0) {
      const auto x = widen(*pa);
      for (int64_t j = 0; j < n; ++j) po[j] = narrow<R>(fn(x, widen(pb[j * step_b])));
    } else {
      for (int64_t j = 0; j < n; ++j) po[j] = narrow<R>(fn(widen(pa[j * step_a]), widen(pb[j * step_b])));
    }
  });
}

// fn over two tensors of one dtype (fails if they differ), result of the same dtype.
template <DTypes Set, class Fn>
Tensor map_pairs(std::string_view op, const Tensor& a, const Tensor& b, Fn fn) {
  require_same_dtype(op, a.dtype(), b.dtype());
  const Shape shapes[] = {a.shape(), b.shape()};
  const Broadcast plan = plan_broadcast(shapes);
  Tensor y(a.dtype(), plan.shape);
  visit<Set>(op, a.dtype(), [&]<class T>() {
    broadcast_into(plan, a.data<T>().data(), b.data<T>().data(), y.mutable_data<T>().data(), fn);
  });
  return y;
}

// The same with a Bool result.
template <DTypes Set, class Fn>
Tensor compare_pairs(std::string_view op, const Tensor& a, const Tensor& b, Fn fn) {
  require_same_dtype(op, a.dtype(), b.dtype());
  const Shape shapes[] = {a.shape(), b.shape()};
  const Broadcast plan = plan_broadcast(shapes);
  Tensor y(DType::Bool, plan.shape);
  visit<Set>(op, a.dtype(), [&]<class T>() {
    broadcast_into(plan, a.data<T>().data(), b.data<T>().data(), y.mutable_data<bool>().data(), fn);
  });
  return y;
}

// Folds all inputs of a variadic operator from the left with map_pairs; one input is returned as it is.
template <DTypes Set, class Fn>
Tensor fold_inputs(const ir::EvalArgs& args, Fn fn) {
  Tensor result = args.in(0);
  require_dtype(args.node.op, Set, result.dtype());
  for (size_t i = 1; i < args.inputs.size(); ++i)
    result = map_pairs<Set>(args.node.op, result, args.in(i), fn);
  return result;
}

// Integer arithmetic that wraps around (two's complement), float arithmetic as it is: for generic lambdas.
template <class T>
T add_wrapping(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}
template <class T>
T subtract_wrapping(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  else
    return a - b;
}
template <class T>
T multiply_wrapping(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}
// The larger / smaller; NaN wins (numpy's maximum and minimum).
template <class T>
T maximum(T a, T b) {
  return a != a || a > b ? a : b;
}
template <class T>
T minimum(T a, T b) {
  return a != a || a < b ? a : b;
}

}  // namespace kvant::ops
