// SPDX-License-Identifier: Apache-2.0
#include "ops/pooling.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_max_pool(const ir::InferArgs& args) {
  require_dtype("MaxPool", DTypes::Numbers, args.inputs[0].dtype);
  const auto shape = pool_shape("MaxPool", args.attributes(), args.inputs[0].shape);
  return {{args.inputs[0].dtype, shape}, {DType::Int64, shape}};
}

// storage_order 1: indices of a plane stored with its first axis fastest.
int64_t column_major(const Pool& pool, int64_t index) {
  const int64_t plane = pool.input_plane();
  int64_t rest = index % plane, result = 0, coordinate[3];
  for (size_t axis = 3; axis-- > 0;) {
    coordinate[axis] = rest % pool.axes[axis].input;
    rest /= pool.axes[axis].input;
  }
  for (size_t axis = 3; axis-- > 0;) result = result * pool.axes[axis].input + coordinate[axis];
  return index / plane * plane + result;
}

std::vector<Tensor> evaluate_max_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Pool pool = plan_pool("MaxPool", args.attributes(), x.shape());
  std::vector<int64_t> indices = largest_under(pool, to_doubles(x));
  std::vector<Tensor> results{pick(x, pool.output, indices)};
  if (args.node.outputs.size() > 1) {
    if (args.attributes().integer("storage_order", 0) != 0)
      for (int64_t& index : indices) index = index < 0 ? index : column_major(pool, index);
    results.push_back(Tensor::of<int64_t>(pool.output, indices));
  }
  return results;
}

std::vector<ir::AttributeDef> attributes_max_pool() {
  auto result = pool_attributes();
  result.push_back({"storage_order", ir::AttributeKind::Integer});
  return result;
}

}  // namespace

ir::OpDef max_pool() {
  return {.name = "MaxPool",
          .max_outputs = 2,
          .attributes = attributes_max_pool(),
          .traits = ir::Trait::Monotone,
          .infer = infer_max_pool,
          .evaluate = evaluate_max_pool};
}

}  // namespace kvant::ops
