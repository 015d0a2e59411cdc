// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "ops/activation_map.h"
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

// The one element of an optional bound.
template <class T>
Computed<T> bound(const ir::EvalArgs& args, size_t i, Computed<T> absent) {
  if (!args.has(i)) return absent;
  const Tensor& value = args.in(i);
  require_same_dtype(args.node.op, args.in(0).dtype(), value.dtype());
  if (value.size() != 1)
    fail("Clip: its bounds must be single numbers, not of shape {}", to_string(value.shape()));
  return widen(value.data<T>()[0]);
}

std::vector<Tensor> evaluate_clip(const ir::EvalArgs& args) {
  Tensor y;
  visit<DTypes::Numbers>(args.node.op, args.in(0).dtype(), [&]<class T>() {
    using Limits = std::numeric_limits<Computed<T>>;
    const auto low = bound<T>(args, 1, Limits::has_infinity ? -Limits::infinity() : Limits::lowest());
    const auto high = bound<T>(args, 2, Limits::has_infinity ? Limits::infinity() : Limits::max());
    if constexpr (kIsFloat<T>) {
      y = map_activation(args, Activation::Clip, low, high)[0];
    } else {
      y = map_elements<DTypes::Numbers>(args.node.op, args.in(0), [=](auto x) {
        const auto wide = static_cast<T>(x);
        return static_cast<decltype(x)>(std::min(std::max(wide, low), high));
      });
    }
  });
  return {y};
}

}  // namespace

// y = min(max(x, min), max), either bound optional; max wins where they cross.
ir::OpDef clip() {
  return {.name = "Clip",
          .max_inputs = 3,
          .traits = ir::Trait::Elementwise,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            for (size_t i = 1; i < args.inputs.size(); ++i) {
              if (args.has(i)) require_same_dtype(args.node.op, args.inputs[0].dtype, args.inputs[i].dtype);
            }
            return same_type_of<DTypes::Numbers>(args);
          },
          .evaluate = evaluate_clip};
}

}  // namespace kvant::ops
