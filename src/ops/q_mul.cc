// SPDX-License-Identifier: Apache-2.0
#include "ops/epilogue.h"
#include "ops/integer_operands.h"

namespace kvant::ops {
namespace {

bool fits(const Shape& a, const Shape& b) {
  return a == b || (a.size() == 4 && b.size() == 4 && b == Shape{a[0], 1, 1, a[3]});
}

void check_shapes(const Shape& a, const Shape& b) {
  if (!fits(a, b)) fail("QMul: a is {} and b {}; b must be equal or [N,1,1,C]", to_string(a), to_string(b));
}

std::vector<ir::Type> infer_q_mul(const ir::InferArgs& args) {
  const ir::Type &a = args.inputs[0], &b = args.inputs[1];
  require_code_type("QMul", "a", a.dtype);
  require_code_type("QMul", "b", b.dtype);
  if (a.is_static() && b.is_static()) check_shapes(*a.shape, *b.shape);
  return {{parse_code_output(args.attributes()).dtype, a.shape}};
}

std::vector<Tensor> evaluate_q_mul(const ir::EvalArgs& args) {
  const Tensor &a = args.in(0), &b = args.in(1);
  check_shapes(a.shape(), b.shape());
  const ir::Attributes& attributes = args.attributes();
  const CodeOutput output = parse_code_output(attributes);
  const float multiplier = attributes.real("multiplier", 1.0f);
  const int64_t za = zero_point_attribute(attributes, "a_zero_point");
  const int64_t zb = zero_point_attribute(attributes, "b_zero_point");
  const std::vector<int64_t> x = a.to_ints(), y = b.to_ints();
  const bool same = a.shape() == b.shape();
  const size_t channels = a.rank() == 0 ? 1 : static_cast<size_t>(a.shape().back());
  const size_t image = a.rank() == 4 ? static_cast<size_t>(a.dim(1) * a.dim(2)) * channels : 1;
  Tensor codes(DType::Int32, a.shape());
  const auto out = codes.mutable_data<int32_t>();
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t j = same ? i : i / image * channels + i % channels;
    out[i] = output.code(static_cast<float>((x[i] - za) * (y[j] - zb)) * multiplier);
  }
  return {codes.cast(output.dtype)};
}

std::vector<ir::AttributeDef> q_mul_attributes() {
  using ir::AttributeKind;
  auto result = code_output_attributes();
  result.insert(result.end(), {{"multiplier", AttributeKind::Real, true},
                               {"a_zero_point", AttributeKind::Integer},
                               {"b_zero_point", AttributeKind::Integer}});
  return result;
}

}  // namespace

ir::OpDef q_mul() {
  return {.name = "QMul",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = q_mul_attributes(),
          .traits = ir::Trait::Internal,
          .infer = infer_q_mul,
          .evaluate = evaluate_q_mul};
}

}  // namespace kvant::ops
