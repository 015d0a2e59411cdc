// SPDX-License-Identifier: Apache-2.0
#include "api/states.h"

#include <fmt/ranges.h>

namespace kvant::api {

Model model_of(ir::Graph graph) {
  return Model(std::make_shared<const Model::State>(Model::State{std::move(graph)}));
}

Node node_of(const ir::Graph& graph, ir::NodeId id) {
  const auto names = [&graph](const std::vector<ir::ValueId>& values) {
    std::vector<std::string> result;
    for (const ir::ValueId value : values)
      result.push_back(value == ir::kNone ? "" : graph.value(value).name);
    return result;
  };
  const ir::Node& node = graph.node(id);
  return {quant::label(graph, id), node.op, names(node.inputs), names(node.outputs)};
}

Tensor tensor_of(const Array& array, DType dtype, const std::string& what) {
  const int64_t count = element_count(array.shape);
  if (static_cast<size_t>(count) != array.values.size()) {
    fail("{}: the shape {} holds {} numbers, and {} are given", what, to_string(array.shape), count,
         array.values.size());
  }
  return Tensor::of<float>(array.shape, array.values).cast(dtype);
}

Array array_of(const Tensor& tensor) { return {tensor.shape(), tensor.to_floats()}; }

std::vector<Tensor> tensors_of(const std::vector<Array>& arrays, const ir::Graph& graph, size_t count) {
  if (arrays.size() != count) fail("the model takes {} inputs, and {} are given", count, arrays.size());
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < count; ++i) {
    const ir::Value& input = graph.value(graph.inputs()[i]);
    tensors.push_back(tensor_of(arrays[i], input.type.dtype, fmt::format("input '{}'", input.name)));
  }
  return tensors;
}

quant::CalibrationSet calibration_set_of(const Samples& samples, const ir::Graph& graph) {
  if (!samples) return {};
  return quant::CalibrationSet::reopened([&samples, &graph]() -> quant::BatchSource {
    return [next = samples(), &graph]() -> std::optional<std::vector<Tensor>> {
      const Batch batch = next();
      if (batch.empty()) return std::nullopt;
      return tensors_of(batch, graph, graph.inputs().size());
    };
  });
}

Error translated(const std::exception& error) {
  std::string text = error.what();
  if (const auto* ours = dynamic_cast<const kvant::Error*>(&error); ours != nullptr && !ours->trail().empty())
    text += fmt::format(" ({})", fmt::join(ours->trail(), "; "));
  return Error(text);
}

}  // namespace kvant::api
