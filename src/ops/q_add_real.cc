// SPDX-License-Identifier: Apache-2.0
#include "ops/epilogue.h"
#include "ops/integer_operands.h"

namespace kvant::ops {
namespace {

void check_add_real(const ir::Attributes& attributes, DType b_type, const Shape* a, const Shape* b) {
  if (b_type != DType::Float32) fail("QAddReal: b holds {}; f32 is needed", name(b_type));
  if (a != nullptr && b != nullptr && *a != *b)
    fail("QAddReal: a is {} and b {}; they must be equal", to_string(*a), to_string(*b));
  for (const char* scale : {"a_scale", "y_scale"}) {
    const float value = attributes.real(scale, 0.0f);
    if (!(value > 0)) fail("QAddReal: {} is {}; it must be above 0", scale, value);
  }
}

std::vector<ir::Type> infer_add_real(const ir::InferArgs& args) {
  const ir::Type &a = args.inputs[0], &b = args.inputs[1];
  require_code_type("QAddReal", "a", a.dtype);
  const bool known = a.is_static() && b.is_static();
  check_add_real(args.attributes(), b.dtype, known ? &*a.shape : nullptr, known ? &*b.shape : nullptr);
  return {{parse_code_output(args.attributes()).dtype, a.shape}};
}

std::vector<Tensor> evaluate_add_real(const ir::EvalArgs& args) {
  const Tensor &a = args.in(0), &b = args.in(1);
  const ir::Attributes& attributes = args.attributes();
  check_add_real(attributes, b.dtype(), &a.shape(), &b.shape());
  const CodeOutput output = parse_code_output(attributes);
  const float a_scale = attributes.real("a_scale", 1.0f), y_scale = attributes.real("y_scale", 1.0f);
  const int64_t zero_point = zero_point_attribute(attributes, "a_zero_point");
  const std::vector<int64_t> from = a.to_ints();
  const auto summand = b.data<float>();
  Tensor codes(DType::Int32, a.shape());
  const auto to = codes.mutable_data<int32_t>();
  for (size_t i = 0; i < to.size(); ++i) {
    const float v = static_cast<float>(from[i] - zero_point) * a_scale;
    const float sum = v + summand[i];
    to[i] = output.code(sum / y_scale);
  }
  return {codes.cast(output.dtype)};
}

std::vector<ir::AttributeDef> add_real_attributes() {
  using ir::AttributeKind;
  auto result = code_output_attributes();
  result.insert(result.end(), {{"a_scale", AttributeKind::Real, true},
                               {"y_scale", AttributeKind::Real, true},
                               {"a_zero_point", AttributeKind::Integer}});
  return result;
}

}  // namespace

// Q(DQ(a) + b), where b is float.
ir::OpDef q_add_real() {
  return {.name = "QAddReal",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = add_real_attributes(),
          .traits = ir::Trait::Internal,
          .infer = infer_add_real,
          .evaluate = evaluate_add_real};
}

}  // namespace kvant::ops
