// SPDX-License-Identifier: Apache-2.0
// Attributes between ONNX's messages and kvant's.
#pragma once

#include <string>

#include "formats/onnx/kvant_onnx.pb.h"
#include "formats/onnx/tensor_proto.h"
#include "ir/attributes.h"

namespace kvant::formats {

// Fails on subgraphs, sparse tensors, types and references to a function's attributes; `what` names the node
// in errors.
ir::Attributes to_attributes(const kvant_onnx::NodeProto& node, ExternalData& external,
                             const std::string& what);

void from_attribute(const std::string& name, const ir::Attribute& value, kvant_onnx::AttributeProto& proto);

}  // namespace kvant::formats
