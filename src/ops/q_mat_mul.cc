// SPDX-License-Identifier: Apache-2.0
#include "ops/batched_product.h"
#include "ops/epilogue.h"
#include "ops/integer_operands.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

using Axes = std::vector<int64_t>;

// The shape after a permutation; an empty one keeps it. Fails when it is none of that many axes.
std::optional<Shape> permuted(std::string_view what, const std::optional<Shape>& shape, const Axes& axes) {
  if (!shape || axes.empty()) return shape;
  std::vector<bool> seen(axes.size(), false);
  Shape result;
  for (const int64_t axis : axes) {
    if (axes.size() != shape->size() || axis < 0 || axis >= static_cast<int64_t>(axes.size()) ||
        seen[static_cast<size_t>(axis)])
      fail("QMatMul: {} is no permutation of the {} axes of {}", what, shape->size(), to_string(*shape));
    seen[static_cast<size_t>(axis)] = true;
    result.push_back((*shape)[static_cast<size_t>(axis)]);
  }
  return result;
}

DType output_type(const ir::Attributes& attributes) {
  return attributes.text("output", "") == "f32" ? DType::Float32 : parse_code_output(attributes).dtype;
}

std::vector<ir::Type> infer_q_mat_mul(const ir::InferArgs& args) {
  const ir::Attributes& attributes = args.attributes();
  for (const size_t i : {0, 1}) require_code_type("QMatMul", i == 0 ? "a" : "b", args.inputs[i].dtype);
  const auto product =
      matmul_shape("QMatMul", permuted("a_perm", args.inputs[0].shape, attributes.integers("a_perm")),
                   permuted("b_perm", args.inputs[1].shape, attributes.integers("b_perm")));
  return {{output_type(attributes), permuted("y_perm", product, attributes.integers("y_perm"))}};
}

Tensor operand(const ir::EvalArgs& args, size_t i, std::string_view perm) {
  const Axes axes = args.attributes().integers(perm);
  permuted(perm, args.in(i).shape(), axes);
  return axes.empty() ? args.in(i) : transpose(args.in(i), axes);
}

std::vector<Tensor> evaluate_q_mat_mul(const ir::EvalArgs& args) {
  const ir::Attributes& attributes = args.attributes();
  const Tensor a = operand(args, 0, "a_perm"), b = operand(args, 1, "b_perm");
  const MatmulResult acc =
      matmul("QMatMul", a.shape(), to_doubles(a, zero_point_attribute(attributes, "a_zero_point")), b.shape(),
             to_doubles(b, zero_point_attribute(attributes, "b_zero_point")));
  const float multiplier = attributes.real("multiplier", 1.0f);
  const bool reals = output_type(attributes) == DType::Float32;
  Tensor values(DType::Float32, acc.shape), codes(DType::Int32, reals ? Shape{0} : acc.shape);
  const auto y = values.mutable_data<float>();
  const auto q = codes.mutable_data<int32_t>();
  const CodeOutput output = reals ? CodeOutput{} : parse_code_output(attributes);
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = static_cast<float>(static_cast<int32_t>(acc.values[i])) * multiplier;
    if (!reals) q[i] = output.code(y[i]);
  }
  const Tensor result = reals ? values : codes.cast(output.dtype);
  const Axes axes = attributes.integers("y_perm");
  permuted("y_perm", result.shape(), axes);
  return {axes.empty() ? result : transpose(result, axes)};
}

std::vector<ir::AttributeDef> q_mat_mul_attributes() {
  using ir::AttributeKind;
  auto result = code_output_attributes();
  result.insert(result.end(), {{"multiplier", AttributeKind::Real, true},
                               {"a_zero_point", AttributeKind::Integer},
                               {"b_zero_point", AttributeKind::Integer},
                               {"a_perm", AttributeKind::Integers},
                               {"b_perm", AttributeKind::Integers},
                               {"y_perm", AttributeKind::Integers}});
  return result;
}

}  // namespace

ir::OpDef q_mat_mul() {
  return {.name = "QMatMul",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = q_mat_mul_attributes(),
          .traits = ir::Trait::Internal,
          .infer = infer_q_mat_mul,
          .evaluate = evaluate_q_mat_mul};
}

}  // namespace kvant::ops
