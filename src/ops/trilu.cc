// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

std::vector<Tensor> evaluate_trilu(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  require_rank(args.node.op, x.shape(), 2);
  const bool upper = args.attributes().integer("upper", 1) != 0;
  int64_t k = args.has(1) ? single_int(input_ints(args, 1, "k"), args.node.op, "k") : 0;
  const int64_t rows = x.dim(x.rank() - 2), columns = x.dim(x.rank() - 1);
  k = std::clamp(k, -rows - 1, columns + 1);
  Tensor y(x.dtype(), x.shape());
  if (y.size() == 0) return {y};
  const size_t size = size_of(x.dtype());
  std::byte* out = y.mutable_raw();
  for (int64_t line = 0; line < x.size() / columns; ++line) {
    // The first column of the upper part, which is where the lower one (to its diagonal k) ends, but for one.
    const int64_t diagonal = line % rows + k;
    const int64_t first = upper ? std::clamp<int64_t>(diagonal, 0, columns) : 0;
    const int64_t last = upper ? columns : std::clamp<int64_t>(diagonal + 1, 0, columns);
    const size_t at = static_cast<size_t>(line * columns + first) * size;
    std::memcpy(out + at, x.raw() + at, static_cast<size_t>(last - first) * size);
  }
  return {y};
}

}  // namespace

// The upper (or lower) triangle of the last two dimensions, from diagonal k on; 0 elsewhere.
ir::OpDef trilu() {
  return {.name = "Trilu",
          .max_inputs = 2,
          .attributes = {{"upper", ir::AttributeKind::Integer}},
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            if (args.inputs[0].shape) require_rank(args.node.op, *args.inputs[0].shape, 2);
            return same_type(args);
          },
          .evaluate = evaluate_trilu};
}

}  // namespace kvant::ops
