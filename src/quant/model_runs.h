// SPDX-License-Identifier: Apache-2.0
// Runs a graph whose batch may be symbolic over inputs of any shape, showing tensors on the way.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/interpreter.h"
#include "ir/op_def.h"

namespace kvant::quant {

// Makes what runs a graph whose shapes are all known. The graph outlives the runner.
using RunnerFactory = std::function<std::unique_ptr<ir::Runner>(const ir::Graph&)>;

class ModelRuns {
 public:
  // `watch` names values of `graph`, its inputs too. Everything must outlive it; the graph is copied as it is
  // when inputs of a new shape come.
  ModelRuns(const ir::Graph& graph, const ir::OpTable& ops, const RunnerFactory& make,
            std::vector<std::string> watch = {});

  // The runner for inputs of these shapes, made at their first occurrence; watched tensors are up to the
  // caller.
  ir::Runner& runner_for(std::span<const Tensor> inputs);
  // Inputs and outputs in the graph's order; `observer` sees the tensors of `watch`, graph inputs first.
  std::vector<Tensor> run(std::span<const Tensor> inputs, const ir::Runner::Observer& observer = {});

 private:
  struct Bound {
    std::unique_ptr<ir::Graph> graph;
    std::unique_ptr<ir::Runner> runner;
  };
  const ir::Graph& graph_;
  const ir::OpTable& ops_;
  const RunnerFactory& make_;
  std::vector<std::string> inner_;
  std::vector<std::pair<size_t, std::string>> inputs_;  // watched ones
  std::map<std::vector<Shape>, Bound> bound_;
};

}  // namespace kvant::quant
