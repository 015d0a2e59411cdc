// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "ops/axis_lines.h"

namespace kvant::ops {
namespace {

std::vector<Tensor> evaluate_log_softmax(const ir::EvalArgs& args) {
  return map_lines(args, [](std::span<double> line) {
    const double largest = *std::max_element(line.begin(), line.end());
    double sum = 0;
    for (const double value : line) sum += std::exp(value - largest);
    const double shift = largest + std::log(sum);
    for (double& value : line) value -= shift;
  });
}

}  // namespace

ir::OpDef log_softmax() {
  return {.name = "LogSoftmax",
          .attributes = {{"axis", ir::AttributeKind::Integer}},
          .infer = lines_type,
          .evaluate = evaluate_log_softmax};
}

}  // namespace kvant::ops
