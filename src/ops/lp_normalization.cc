// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/axis_lines.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_lp_normalization(const ir::InferArgs& args) {
  const int64_t p = args.attributes().integer("p", 2);
  if (p != 1 && p != 2) fail("LpNormalization: p is {}; it must be 1 or 2", p);
  return lines_type(args);
}

std::vector<Tensor> evaluate_lp_normalization(const ir::EvalArgs& args) {
  const bool absolute = args.attributes().integer("p", 2) == 1;
  return map_lines(args, [absolute](std::span<double> line) {
    double norm = 0;
    for (const double value : line) norm += absolute ? std::abs(value) : value * value;
    if (!absolute) norm = std::sqrt(norm);
    for (double& value : line) value = norm == 0 ? 0 : value / norm;
  });
}

}  // namespace

ir::OpDef lp_normalization() {
  return {.name = "LpNormalization",
          .attributes = {{"axis", ir::AttributeKind::Integer}, {"p", ir::AttributeKind::Integer}},
          .infer = infer_lp_normalization,
          .evaluate = evaluate_lp_normalization};
}

}  // namespace kvant::ops
