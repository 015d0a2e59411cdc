// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

template <class Word>
void choose(const Broadcast& plan, const bool* condition, const std::byte* x, const std::byte* y,
            std::byte* out) {
  const auto* a = reinterpret_cast<const Word*>(x);
  const auto* b = reinterpret_cast<const Word*>(y);
  auto* result = reinterpret_cast<Word*>(out);
  const int64_t step_c = plan.strides[0].back(), step_a = plan.strides[1].back(),
                step_b = plan.strides[2].back();
  for_each_run(plan, [&](int64_t i, const std::vector<int64_t>& offsets) {
    for (int64_t j = 0; j < plan.run(); ++j) {
      const bool first = condition[offsets[0] + j * step_c];
      result[i + j] = first ? a[offsets[1] + j * step_a] : b[offsets[2] + j * step_b];
    }
  });
}

std::vector<Tensor> evaluate_where(const ir::EvalArgs& args) {
  const Tensor& condition = args.in(0);
  const Tensor& x = args.in(1);
  const Tensor& y = args.in(2);
  require_dtype("Where (condition)", DTypes::Bools, condition.dtype());
  require_same_dtype(args.node.op, x.dtype(), y.dtype());
  const Shape shapes[] = {condition.shape(), x.shape(), y.shape()};
  const Broadcast plan = plan_broadcast(shapes);
  Tensor result(x.dtype(), plan.shape);
  const bool* c = condition.data<bool>().data();
  std::byte* out = result.mutable_raw();
  switch (size_of(x.dtype())) {
    case 1:
      choose<uint8_t>(plan, c, x.raw(), y.raw(), out);
      break;
    case 2:
      choose<uint16_t>(plan, c, x.raw(), y.raw(), out);
      break;
    case 4:
      choose<uint32_t>(plan, c, x.raw(), y.raw(), out);
      break;
    default:
      choose<uint64_t>(plan, c, x.raw(), y.raw(), out);
      break;
  }
  return {result};
}

}  // namespace

// x where the condition holds, else y; all three broadcast.
ir::OpDef where() {
  return {.name = "Where",
          .min_inputs = 3,
          .max_inputs = 3,
          .traits = ir::Trait::Elementwise,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            require_dtype("Where (condition)", DTypes::Bools, args.inputs[0].dtype);
            require_same_dtype(args.node.op, args.inputs[1].dtype, args.inputs[2].dtype);
            return {Type{args.inputs[1].dtype, broadcast_inputs(args)}};
          },
          .evaluate = evaluate_where};
}

}  // namespace kvant::ops
