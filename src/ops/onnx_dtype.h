// SPDX-License-Identifier: Apache-2.0
// ONNX's numbering of element types (TensorProto.DataType), as attributes such as Cast's `to` hold it.
#pragma once

#include <cstdint>
#include <string_view>

#include "ir/graph.h"

namespace kvant::ops {

// Fails for types that kvant does not have (string, complex, float8, int4 ...), with their ONNX name.
DType dtype_of_onnx(std::string_view op, int64_t number);
int64_t onnx_number(DType dtype);
// The type that attribute `attribute` of `node` names, or `absent`.
DType dtype_attribute(const ir::Node& node, std::string_view attribute, DType absent);

}  // namespace kvant::ops
