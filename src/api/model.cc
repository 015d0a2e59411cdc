// SPDX-License-Identifier: Apache-2.0
#include "formats/model.h"
#include "api/states.h"
#include "ir/interpreter.h"
#include "ops/ops.h"

namespace kvant::api {
namespace {

std::vector<std::string> names_of(const ir::Graph& graph, std::span<const ir::ValueId> values) {
  std::vector<std::string> names;
  for (const ir::ValueId value : values) names.push_back(graph.value(value).name);
  return names;
}

}  // namespace

Model Model::read(const std::filesystem::path& path) {
  return guarded([&] {
    return noting([&] { return "while reading " + path.string(); },
                  [&] {
                    ir::Graph graph = formats::read(path);
                    formats::require_finite_weights(graph);
                    return model_of(std::move(graph));
                  });
  });
}

void Model::write(const std::filesystem::path& path, int opset) const {
  guarded([&] { formats::write(state_->graph, path, {.opset = opset}); });
}

std::vector<std::string> Model::inputs() const { return names_of(state_->graph, state_->graph.inputs()); }
std::vector<std::string> Model::outputs() const { return names_of(state_->graph, state_->graph.outputs()); }

std::vector<Node> Model::nodes() const {
  std::vector<Node> nodes;
  for (const ir::NodeId id : state_->graph.topological_order()) nodes.push_back(node_of(state_->graph, id));
  return nodes;
}

std::vector<Array> interpret(const Model& model, const std::vector<Array>& inputs) {
  return guarded([&] {
    const ir::Graph& graph = model.state().graph;
    const std::vector<Tensor> tensors = tensors_of(inputs, graph, graph.inputs().size());
    std::vector<Array> outputs;
    for (const Tensor& tensor : ir::evaluate(graph, ops::standard(), tensors))
      outputs.push_back(array_of(tensor));
    return outputs;
  });
}

std::string version() { return KVANT_VERSION; }

}  // namespace kvant::api
