// SPDX-License-Identifier: Apache-2.0
// Runs a graph node by node through the operators' reference evaluation. Slow, and always right: the oracle.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::ir {

// Something that runs a graph over inputs and shows tensors on the way: the interpreter here, the engine
// elsewhere.
class Runner {
 public:
  // Sees the value of `watched` tensors as soon as they are there; the name is the value's name in the graph.
  using Observer = std::function<void(const std::string& name, const Tensor& tensor)>;
  virtual ~Runner() = default;
  // Names of the tensors that observers shall see from now on; unknown names are an Error.
  virtual void watch(std::vector<std::string> names) = 0;
  // Inputs and outputs in the graph's order.
  virtual std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer& observer = {}) = 0;
};

class Interpreter final : public Runner {
 public:
  // Keeps references: graph and ops must outlive it. Fails on an unknown operator, with the node.
  Interpreter(const Graph& graph, const OpTable& ops);
  void watch(std::vector<std::string> names) override;
  std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer& observer = {}) override;

 private:
  const Graph& graph_;
  const OpTable& ops_;
  std::vector<NodeId> order_;
  std::vector<int> use_counts_;  // by value: to free tensors as soon as they are done with
  std::vector<char> watched_;
};

// One call without an object.
std::vector<Tensor> evaluate(const Graph& graph, const OpTable& ops, std::span<const Tensor> inputs);

// Checks inputs against the graph's declared types (count, dtype, rank, fixed dimensions); fails with the
// input's name.
void check_inputs(const Graph& graph, std::span<const Tensor> inputs);

}  // namespace kvant::ir
