// SPDX-License-Identifier: Apache-2.0
#include "ops/layer_lines.h"

#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

int64_t line_length(const ir::Node& node, const Shape& x) {
  const size_t axis = checked_axis(node.op, node.attributes.integer("axis", -1), x.size());
  return element_count(Shape(x.begin() + static_cast<std::ptrdiff_t>(axis), x.end()));
}

Shape line_statistics_shape(const ir::Node& node, const Shape& x) {
  Shape result = x;
  for (size_t d = checked_axis(node.op, node.attributes.integer("axis", -1), x.size()); d < x.size(); ++d)
    result[d] = 1;
  return result;
}

std::vector<double> broadcast_values(const ir::Node& node, std::string_view what, const Tensor& tensor,
                                     const Shape& x) {
  if (broadcast_partial(node.op, tensor.shape(), x) != x)
    fail("{}: {} is {}; it does not broadcast to {}", node.op, what, to_string(tensor.shape()), to_string(x));
  const std::vector<double> values = to_doubles(tensor);
  std::vector<double> result(static_cast<size_t>(element_count(x)));
  const Shape shapes[] = {tensor.shape(), x};
  const Broadcast plan = plan_broadcast(shapes);
  const int64_t step = plan.strides[0].back();
  for_each_run(plan, [&](int64_t begin, const std::vector<int64_t>& offsets) {
    for (int64_t j = 0; j < plan.run(); ++j)
      result[static_cast<size_t>(begin + j)] = values[static_cast<size_t>(offsets[0] + j * step)];
  });
  return result;
}

}  // namespace kvant::ops
