// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

Tensor channel_constant(const std::vector<double>& values, size_t rank) {
  Shape shape(rank, 1);
  shape[1] = static_cast<int64_t>(values.size());
  Tensor result(DType::Float32, shape);
  const auto out = result.mutable_data<float>();
  for (size_t k = 0; k < values.size(); ++k) out[k] = static_cast<float>(values[k]);
  return result;
}

bool expand(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const ir::Node node = graph.node(id);
  const auto shape = static_shape(graph, node.inputs[0]);
  if (node.attributes.integer("training_mode", 0) != 0 || !shape || shape->size() < 2) return false;
  std::vector<std::vector<float>> parts;
  for (size_t i = 1; i < 5; ++i) {
    const Tensor* part = graph.constant(input_at(node, i));
    if (part == nullptr || part->dtype() != DType::Float32 || part->size() != (*shape)[1]) return false;
    parts.push_back(part->to_floats());
  }
  const double epsilon = node.attributes.real("epsilon", 1e-5f);
  std::vector<double> gain, offset;
  for (size_t k = 0; k < parts[0].size(); ++k) {
    gain.push_back(parts[0][k] / std::sqrt(static_cast<double>(parts[3][k]) + epsilon));
    offset.push_back(parts[1][k] - parts[2][k] * gain.back());
  }
  const std::string& name = node.name;
  const ir::ValueId g = edit.constant(name + "_gain", channel_constant(gain, shape->size()));
  const ir::ValueId b = edit.constant(name + "_offset", channel_constant(offset, shape->size()));
  const ir::ValueId scaled = edit.value("Mul", name + "_mul", {node.inputs[0], g}, {}, {id});
  edit.take_place(node.outputs[0], edit.value("Add", name + "_add", {scaled, b}, {}, {id}));
  return true;
}

}  // namespace

// BN(x) => x * gain + offset, per channel: an epilogue of a convolution takes both, whatever its weights are.
ir::Pass expand_batch_norm(const LoweringOptions&) {
  return {"expand-batch-norm", "BatchNormalization(x) => x * gain + offset", ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            size_t changes = 0;
            for (const ir::NodeId id : graph.topological_order()) {
              if (graph.node(id).op == "BatchNormalization") changes += expand(edit, id);
            }
            graph.erase_dead();
            return changes;
          }};
}

}  // namespace kvant::engine
