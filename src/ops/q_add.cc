// SPDX-License-Identifier: Apache-2.0
#include "ops/epilogue.h"
#include "ops/integer_operands.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_add(const ir::InferArgs& args) {
  const ir::Type &a = args.inputs[0], &b = args.inputs[1];
  require_code_type("QAdd", "a", a.dtype);
  require_code_type("QAdd", "b", b.dtype);
  if (a.is_static() && b.is_static() && *a.shape != *b.shape)
    fail("QAdd: a is {} and b {}; they must be equal", to_string(*a.shape), to_string(*b.shape));
  return {{parse_code_output(args.attributes()).dtype, a.shape}};
}

std::vector<Tensor> evaluate_q_add(const ir::EvalArgs& args) {
  const Tensor &a = args.in(0), &b = args.in(1);
  if (a.shape() != b.shape())
    fail("QAdd: a is {} and b {}; they must be equal", to_string(a.shape()), to_string(b.shape()));
  const ir::Attributes& attributes = args.attributes();
  const CodeOutput output = parse_code_output(attributes);
  const float a_multiplier = attributes.real("a_multiplier", 1.0f),
              b_multiplier = attributes.real("b_multiplier", 1.0f);
  const int64_t za = zero_point_attribute(attributes, "a_zero_point");
  const int64_t zb = zero_point_attribute(attributes, "b_zero_point");
  const std::vector<int64_t> x = a.to_ints(), y = b.to_ints();
  Tensor codes(DType::Int32, a.shape());
  const auto out = codes.mutable_data<int32_t>();
  for (size_t i = 0; i < out.size(); ++i) {
    const float first = static_cast<float>(x[i] - za) * a_multiplier;
    out[i] = output.code(std::fma(static_cast<float>(y[i] - zb), b_multiplier, first));
  }
  return {codes.cast(output.dtype)};
}

std::vector<ir::AttributeDef> q_add_attributes() {
  using ir::AttributeKind;
  auto result = code_output_attributes();
  result.insert(result.end(), {{"a_multiplier", AttributeKind::Real, true},
                               {"b_multiplier", AttributeKind::Real, true},
                               {"a_zero_point", AttributeKind::Integer},
                               {"b_zero_point", AttributeKind::Integer}});
  return result;
}

}  // namespace

ir::OpDef q_add() {
  return {.name = "QAdd",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = q_add_attributes(),
          .traits = ir::Trait::Internal,
          .infer = infer_q_add,
          .evaluate = evaluate_q_add};
}

}  // namespace kvant::ops
