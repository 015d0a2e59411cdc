// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/commuting.h"

#include <set>

namespace kvant::engine {
namespace {

Tensor code_scalar(int32_t code, DType dtype) { return Tensor::scalar<int32_t>(code).cast(dtype); }

bool moves_by_copy(const ir::Node& node) {
  if (node.op == "Resize")
    return node.attributes.text("mode", "nearest") == "nearest" &&
           node.attributes.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize";
  if (node.op == "MaxPool") return node.outputs.size() == 1;  // no indices
  static const std::set<std::string, std::less<>> kMoving = {
      "Reshape", "Flatten", "Transpose", "Squeeze",      "Unsqueeze",    "Slice",    "Split",        "Pad",
      "Gather",  "Expand",  "Tile",      "DepthToSpace", "SpaceToDepth", "Identity", "GlobalMaxPool"};
  return kMoving.contains(node.op);
}

}  // namespace

std::vector<size_t> data_inputs(const ir::Graph& graph, const ir::Node& node) {
  if (node.op == "Concat") {
    std::vector<size_t> all(node.inputs.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
  }
  if (!moves_by_copy(node)) return {};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] != ir::kNone && node.op != "Gather" && !graph.is_constant(node.inputs[i])) return {};
  }
  return {0};
}

std::optional<ir::NodeId> on_codes(Edit& edit, ir::NodeId id, std::vector<ir::ValueId> inputs,
                                   const QuantParams& params, bool from_q) {
  ir::Graph& graph = edit.graph();
  const ir::Node node = graph.node(id);
  if (node.op == "Pad" && node.attributes.text("mode", "constant") == "constant") {
    const ir::ValueId given = input_at(node, 2);
    const auto value = given == ir::kNone ? std::optional<float>(0.0f) : scalar_at(graph, given);
    if (!value) return std::nullopt;
    const int32_t zero_point = params.zero_point_at(0);
    const int32_t code = quantize_value(*value, params.scale[0], zero_point, code_range(params.dtype));
    if (!from_q && dequantize_value(code, params.scale[0], zero_point) != *value) return std::nullopt;
    if (inputs.size() < 3) inputs.resize(3, ir::kNone);
    inputs[2] = edit.constant(node.name + "_value", code_scalar(code, params.dtype));
  }
  const std::string op = node.op == "Concat" ? "QConcat" : node.op;
  graph.rename_node(id, node.name + "~");
  return edit.node(op, node.name, std::move(inputs), node.attributes, {id},
                   std::vector<std::string>(node.outputs.size()));
}

}  // namespace kvant::engine
