// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/layout.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

// Blocks of pixels are made of, or into, channels that lie beside one another.
bool convert_blocks(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const ir::Node node = graph.node(id);
  const bool to_space = node.op == "DepthToSpace";
  if (!to_space && node.op != "SpaceToDepth") return false;
  const ir::Node* before = graph.producer(node.inputs[0]);
  const auto x = static_shape(graph, node.inputs[0]), y = static_shape(graph, node.outputs[0]);
  if (before == nullptr || before->op != "Transpose" || before->attributes.integers("perm") != to_nchw_axes())
    return false;
  if (!x || !y) return false;
  const int64_t b = node.attributes.integer("blocksize", 1);
  const bool blocks_first = node.attributes.text("mode", "DCR") == "DCR";
  std::vector<int64_t> split, order;
  if (!to_space) {
    split = {0, (*y)[2], b, (*y)[3], b, (*x)[1]};
    order = blocks_first ? std::vector<int64_t>{0, 1, 3, 2, 4, 5} : std::vector<int64_t>{0, 1, 3, 5, 2, 4};
  } else if (blocks_first) {
    split = {0, (*x)[2], (*x)[3], b, b, (*y)[1]};
    order = {0, 1, 3, 2, 4, 5};
  } else {
    split = {0, (*x)[2], (*x)[3], (*y)[1], b, b};
    order = {0, 1, 4, 2, 5, 3};
  }
  const auto reshaped = [&](const std::string& name, ir::ValueId value, const std::vector<int64_t>& shape) {
    return edit.value("Reshape", name, {value, edit.constant("", Tensor::vector<int64_t>(shape))}, {}, {id});
  };
  graph.rename_node(id, node.name + "~");
  ir::ValueId value = reshaped(node.name + "_split", to_nhwc(edit, node.inputs[0]), split);
  value = edit.value("Transpose", node.name, {value}, {{"perm", order}}, {id});
  value = reshaped(node.name + "_joined", value, {0, (*y)[2], (*y)[3], (*y)[1]});
  edit.take_place(node.outputs[0], to_nchw(edit, value, {id}));
  return true;
}

}  // namespace

// DepthToSpace | SpaceToDepth(Transpose(x)) => Transpose(the same over channels-last x)
ir::Pass channels_last_blocks(const LoweringOptions&) {
  return {"channels-last-blocks", "DepthToSpace(x) => Transpose(Reshape(Transpose(Reshape(Transpose(x)))))",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            size_t changes = 0;
            for (const ir::NodeId id : graph.topological_order()) changes += convert_blocks(edit, id);
            graph.erase_dead();
            return changes;
          }};
}

}  // namespace kvant::engine
