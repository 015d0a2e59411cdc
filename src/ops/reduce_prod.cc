// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

namespace kvant::ops {

namespace {

std::vector<Tensor> evaluate_reduce_prod(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Reduction plan = plan_reduction(x.shape(), reduced_axes(args), keeps_dims(args.node));
  Tensor y;
  visit<DTypes::Numbers>(args.node.op, x.dtype(), [&]<class T>() {
    using Product = std::conditional_t<kIsFloat<T>, double, Computed<T>>;
    y = reduce<T, T>(
        x, plan, Product{1},
        [](Product& product, auto v) { product = multiply_wrapping(product, static_cast<Product>(v)); },
        [](Product product) { return narrow<T>(product); });
  });
  return {y};
}

}  // namespace

// The product over axes; 1 of nothing. Floats are multiplied in double; integers wrap around.
ir::OpDef reduce_prod() {
  return {.name = "ReduceProd",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .infer = reduction_type<DTypes::Numbers>,
          .evaluate = evaluate_reduce_prod};
}

}  // namespace kvant::ops
