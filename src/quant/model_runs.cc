// SPDX-License-Identifier: Apache-2.0
#include "quant/model_runs.h"

#include <algorithm>

#include "base/error.h"
#include "ir/infer.h"

namespace kvant::quant {

ModelRuns::ModelRuns(const ir::Graph& graph, const ir::OpTable& ops, const RunnerFactory& make,
                     std::vector<std::string> watch)
    : graph_(graph), ops_(ops), make_(make) {
  std::sort(watch.begin(), watch.end());
  watch.erase(std::unique(watch.begin(), watch.end()), watch.end());
  for (std::string& name : watch) {
    KVANT_CHECK(graph.find_value(name) != ir::kNone, "no tensor '" + name + "' to watch");
    const auto inputs = graph.inputs();
    const auto input = std::find(inputs.begin(), inputs.end(), graph.find_value(name));
    if (input != inputs.end()) {
      inputs_.emplace_back(static_cast<size_t>(input - inputs.begin()), std::move(name));
    } else {
      inner_.push_back(std::move(name));
    }
  }
}

ir::Runner& ModelRuns::runner_for(std::span<const Tensor> inputs) {
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  const auto [entry, fresh] = bound_.try_emplace(shapes);
  if (!fresh) return *entry->second.runner;
  entry->second.graph = std::make_unique<ir::Graph>(graph_);
  std::map<std::string, Shape> by_name;
  for (size_t i = 0; i < shapes.size(); ++i) by_name[graph_.value(graph_.inputs()[i]).name] = shapes[i];
  ir::bind_shapes(*entry->second.graph, ops_, by_name);
  entry->second.runner = make_(*entry->second.graph);
  if (!inner_.empty()) entry->second.runner->watch(inner_);
  return *entry->second.runner;
}

std::vector<Tensor> ModelRuns::run(std::span<const Tensor> inputs, const ir::Runner::Observer& observer) {
  ir::check_inputs(graph_, inputs);
  if (observer) {
    for (const auto& [i, name] : inputs_) observer(name, inputs[i]);
  }
  return runner_for(inputs).run(inputs, inner_.empty() ? ir::Runner::Observer{} : observer);
}

}  // namespace kvant::quant
