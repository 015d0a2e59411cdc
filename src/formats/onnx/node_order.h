// SPDX-License-Identifier: Apache-2.0
// The order in which the nodes of a file can be built, whatever order they are written in.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "formats/onnx/kvant_onnx.pb.h"

namespace kvant::formats {

// "Conv 'conv1'"; nodes without a name are told by their first output.
std::string label(const kvant_onnx::NodeProto& node);

// Indices of the nodes, each after those that it reads from, else as in the file. `given` are the names of
// inputs and initializers. Fails, naming node and tensor, if a name is defined twice, is defined nowhere, or
// a cycle is found.
std::vector<int> node_order(const kvant_onnx::GraphProto& graph, const std::set<std::string>& given);

}  // namespace kvant::formats
