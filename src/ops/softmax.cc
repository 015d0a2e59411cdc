// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "ops/axis_lines.h"

namespace kvant::ops {
namespace {

std::vector<Tensor> evaluate_softmax(const ir::EvalArgs& args) {
  return map_lines(args, [](std::span<double> line) {
    const double largest = *std::max_element(line.begin(), line.end());
    double sum = 0;
    for (double& value : line) sum += value = std::exp(value - largest);
    for (double& value : line) value /= sum;
  });
}

}  // namespace

ir::OpDef softmax() {
  return {.name = "Softmax",
          .attributes = {{"axis", ir::AttributeKind::Integer}},
          .infer = lines_type,
          .evaluate = evaluate_softmax};
}

}  // namespace kvant::ops
