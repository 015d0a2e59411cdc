// SPDX-License-Identifier: Apache-2.0
#include "ops/onnx_dtype.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

void require_matrix(const Shape& shape) {
  if (shape.size() != 2) fail("EyeLike takes a matrix, not {}", to_string(shape));
}

}  // namespace

// Ones on the diagonal k (above the main one for k > 0) of a zero matrix of x's shape.
ir::OpDef eye_like() {
  return {.name = "EyeLike",
          .attributes = {{"dtype", ir::AttributeKind::Integer}, {"k", ir::AttributeKind::Integer}},
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            if (args.inputs[0].shape) require_matrix(*args.inputs[0].shape);
            return {Type{dtype_attribute(args.node, "dtype", args.inputs[0].dtype), args.inputs[0].shape}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const Shape& shape = args.in(0).shape();
            require_matrix(shape);
            const int64_t k = args.attributes().integer("k", 0);
            Tensor eye(DType::UInt8, shape);
            const auto out = eye.mutable_data<uint8_t>();
            for (int64_t row = 0; row < shape[0] && k < shape[1] && k > -shape[0]; ++row) {
              const int64_t column = row + k;
              if (column >= 0 && column < shape[1]) out[static_cast<size_t>(row * shape[1] + column)] = 1;
            }
            return {eye.cast(dtype_attribute(args.node, "dtype", args.in(0).dtype()))};
          }};
}

}  // namespace kvant::ops
