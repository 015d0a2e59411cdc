// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/axis_lines.h"

namespace kvant::ops {
namespace {

std::vector<Tensor> evaluate_hardmax(const ir::EvalArgs& args) {
  return map_lines(args, [](std::span<double> line) {
    const auto largest = std::max_element(line.begin(), line.end()) - line.begin();
    std::fill(line.begin(), line.end(), 0.0);
    line[static_cast<size_t>(largest)] = 1.0;
  });
}

}  // namespace

ir::OpDef hardmax() {
  return {.name = "Hardmax",
          .attributes = {{"axis", ir::AttributeKind::Integer}},
          .infer = lines_type,
          .evaluate = evaluate_hardmax};
}

}  // namespace kvant::ops
