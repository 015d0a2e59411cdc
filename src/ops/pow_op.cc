// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

template <class T>
T integer_power(T base, int64_t exponent) {
  T result = 1;
  for (auto left = static_cast<uint64_t>(exponent); left != 0; left >>= 1) {
    if (left & 1) result = multiply_wrapping(result, base);
    base = multiply_wrapping(base, base);
  }
  return result;
}

std::vector<Tensor> evaluate_pow(const ir::EvalArgs& args) {
  const Tensor& a = args.in(0);
  const Tensor& b = args.in(1);
  require_dtype(args.node.op, DTypes::Numbers, b.dtype());
  const bool integers = is_integer(a.dtype()) && is_integer(b.dtype());
  const bool alike = a.dtype() == b.dtype();
  const Tensor exponent = integers ? b.cast(DType::Int64) : alike ? b : b.cast(DType::Float64);
  const Shape shapes[] = {a.shape(), b.shape()};
  const Broadcast plan = plan_broadcast(shapes);
  Tensor y(a.dtype(), plan.shape);
  visit<DTypes::Numbers>(args.node.op, a.dtype(), [&]<class T>() {
    const T* base = a.data<T>().data();
    T* out = y.mutable_data<T>().data();
    const auto in_double = [](auto x, auto e) {
      return from_double<Computed<T>>(std::pow(static_cast<double>(x), static_cast<double>(e)));
    };
    if constexpr (kIsFloat<T>) {
      if (alike) {
        broadcast_into(plan, base, exponent.data<T>().data(), out,
                       [](auto x, auto e) { return std::pow(x, e); });
        return;
      }
    } else if (integers) {
      broadcast_into(plan, base, exponent.data<int64_t>().data(), out,
                     [&](auto x, int64_t e) { return e < 0 ? in_double(x, e) : integer_power(x, e); });
      return;
    }
    broadcast_into(plan, base, exponent.data<double>().data(), out, in_double);
  });
  return {y};
}

}  // namespace

// a to the power b; the result has a's element type (integers: truncated, products wrap around), b any.
ir::OpDef pow_op() {
  return {.name = "Pow",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::Elementwise,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            require_dtype(args.node.op, DTypes::Numbers, args.inputs[0].dtype);
            require_dtype(args.node.op, DTypes::Numbers, args.inputs[1].dtype);
            return {Type{args.inputs[0].dtype, broadcast_inputs(args)}};
          },
          .evaluate = evaluate_pow};
}

}  // namespace kvant::ops
