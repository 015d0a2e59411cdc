// SPDX-License-Identifier: Apache-2.0
#include "train/roles.h"

#include <algorithm>
#include <set>
#include <string>

#include "ir/qdq.h"

namespace kvant::train {
namespace {

using Roles = std::map<ir::ValueId, kvant_train_role>;

bool is_weighted(const std::string& op) {
  return op == "Conv" || op == "ConvTranspose" || op == "Gemm" || op == "MatMul";
}

// The float constant that `value` is, through Q/DQ and operators that only move data; kNone when there is
// none.
ir::ValueId constant_behind(const ir::Graph& graph, ir::ValueId value) {
  static const std::set<std::string> movers{"Identity",  "Transpose", "Reshape", "Squeeze",
                                            "Unsqueeze", "Flatten",   "Expand",  "Tile"};
  while (value != ir::kNone && !graph.is_constant(value)) {
    const ir::Node* node = graph.producer(value);
    if (node == nullptr) return ir::kNone;
    const ir::ValueId source = ir::quantized_source(graph, value);
    if (source != value) {
      value = source;
    } else if (movers.contains(node->op)) {
      value = node->inputs[0];
    } else {
      return ir::kNone;
    }
  }
  const bool real = value != ir::kNone && graph.constant(value)->dtype() == DType::Float32;
  return real ? value : ir::kNone;
}

class Finder {
 public:
  explicit Finder(const ir::Graph& graph) : graph_(graph) {}

  void visit(const ir::Node& node) {
    const bool weighted = is_weighted(node.op);
    if (weighted) {
      for (size_t i = 0; i < 2; ++i) give(node, i, KVANT_TRAIN_WEIGHT);
      give(node, 2, KVANT_TRAIN_PARAMETER);
    } else if (node.op == "BatchNormalization") {
      give(node, 1, KVANT_TRAIN_PARAMETER);
      give(node, 2, KVANT_TRAIN_PARAMETER);
      give(node, 3, KVANT_TRAIN_STATISTIC);
      give(node, 4, KVANT_TRAIN_STATISTIC);
    } else if (node.op == "LayerNormalization" || node.op == "InstanceNormalization") {
      give(node, 1, KVANT_TRAIN_PARAMETER);
      give(node, 2, KVANT_TRAIN_PARAMETER);
    } else if (node.op == "PRelu") {
      give(node, 1, KVANT_TRAIN_PARAMETER);
    } else if ((node.op == "Add" || node.op == "Mul" || node.op == "Concat") && after_weights(node)) {
      // Gains and offsets, position embeddings; Concat: class tokens.
      for (size_t i = 0; i < node.inputs.size(); ++i) give_vector(node, i);
    }
    if (weighted || after_weights(node)) after_.insert(node.outputs.begin(), node.outputs.end());
  }

  Roles take() { return std::move(roles_); }

 private:
  bool after_weights(const ir::Node& node) const {
    return std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](ir::ValueId v) { return after_.contains(v); });
  }
  void give(const ir::Node& node, size_t input, kvant_train_role role) {
    if (input >= node.inputs.size()) return;
    const ir::ValueId constant = constant_behind(graph_, node.inputs[input]);
    if (constant == ir::kNone) return;
    // A vector as a MatMul's operand is no matrix to decay.
    if (role == KVANT_TRAIN_WEIGHT && graph_.constant(constant)->rank() < 2) role = KVANT_TRAIN_PARAMETER;
    roles_.emplace(constant, role);
  }
  // One number beside a tensor is arithmetic of the model (Div by sqrt(d), the 3 of a hard swish), not a
  // parameter.
  void give_vector(const ir::Node& node, size_t input) {
    const ir::ValueId constant = constant_behind(graph_, node.inputs[input]);
    if (constant != ir::kNone && graph_.constant(constant)->size() > 1)
      roles_.emplace(constant, KVANT_TRAIN_PARAMETER);
  }

  const ir::Graph& graph_;
  Roles roles_;
  std::set<ir::ValueId> after_;  // values that depend on a weighted operator
};

}  // namespace

std::map<ir::ValueId, kvant_train_role> trained_constants(const ir::Graph& graph,
                                                          const std::vector<ir::ValueId>& outputs) {
  const std::vector<ir::NodeId> order = graph.topological_order();
  std::set<ir::ValueId> needed(outputs.begin(), outputs.end());
  std::vector<ir::NodeId> live;
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const ir::Node& node = graph.node(*id);
    if (std::none_of(node.outputs.begin(), node.outputs.end(),
                     [&](ir::ValueId v) { return needed.contains(v); })) {
      continue;
    }
    live.push_back(*id);
    needed.insert(node.inputs.begin(), node.inputs.end());
  }
  Finder finder(graph);
  for (auto id = live.rbegin(); id != live.rend(); ++id) finder.visit(graph.node(*id));
  return finder.take();
}

}  // namespace kvant::train
