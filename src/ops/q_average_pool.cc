// SPDX-License-Identifier: Apache-2.0
#include "ops/epilogue.h"
#include "ops/integer_operands.h"
#include "ops/pooling.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_average_pool(const ir::InferArgs& args) {
  require_code_type("QAveragePool", "x", args.inputs[0].dtype);
  return {{parse_code_output(args.attributes()).dtype,
           pool_shape_nhwc("QAveragePool", args.attributes(), args.inputs[0].shape)}};
}

std::vector<Tensor> evaluate_q_average_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const CodeOutput output = parse_code_output(args.attributes());
  const Pool pool = plan_pool_nhwc("QAveragePool", args.attributes(), x.shape());
  const bool count_include_pad = args.attributes().integer("count_include_pad", 0) != 0;
  const float multiplier = args.attributes().real("multiplier", 1.0f);
  const int32_t x_zero_point = zero_point_attribute(args.attributes(), "x_zero_point");
  const auto codes =
      pool_with(pool, to_doubles(x, x_zero_point), [&](const PoolWindow& window, auto element) {
        double sum = 0;
        for (const int64_t offset : window.offsets) sum += element(offset);
        const auto own = static_cast<int64_t>(window.offsets.size());
        const int64_t count = std::max<int64_t>(count_include_pad ? window.padded_count : own, 1);
        return static_cast<double>(
            output.code(static_cast<float>(sum) * (multiplier / static_cast<float>(count))));
      });
  return {from_doubles(DType::Int32, pool.output, codes).cast(output.dtype)};
}

std::vector<ir::AttributeDef> attributes_q_average_pool() {
  auto result = pool_attributes();
  const auto more = code_output_attributes();
  result.insert(result.end(), more.begin(), more.end());
  result.push_back({"count_include_pad", ir::AttributeKind::Integer});
  result.push_back({"multiplier", ir::AttributeKind::Real, true});
  result.push_back({"x_zero_point", ir::AttributeKind::Integer});
  return result;
}

}  // namespace

ir::OpDef q_average_pool() {
  return {.name = "QAveragePool",
          .attributes = attributes_q_average_pool(),
          .traits = ir::Trait::Internal,
          .infer = infer_q_average_pool,
          .evaluate = evaluate_q_average_pool};
}

}  // namespace kvant::ops
