// SPDX-License-Identifier: Apache-2.0
// What stands behind the classes of include/kvant/kvant.h, and the crossing between its types and ours.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "backends/backends.h"
#include "base/error.h"
#include "engine/engine.h"
#include "ir/graph.h"
#include "kvant/kvant.h"
#include "quant/calibration_set.h"
#include "quant/placement/sites.h"

namespace kvant::api {

struct Model::State {
  ir::Graph graph;
};

struct Placement::State {
  quant::Sites& sites;
  const std::string& origin;  // name of the case
};

struct Engine::State {
  State(engine::Plan own, std::shared_ptr<backends::DeviceBackends> on, const engine::EngineOptions& options);
  State(const State& origin, const engine::EngineOptions& options);
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);
  // The engine for these shapes, by input; the plan's own unless the model is known.
  engine::Engine& engine_for(const std::vector<Shape>& shapes);

  std::shared_ptr<backends::DeviceBackends> device;
  engine::Plan plan;  // as it was built or read: a loaded engine lets go of what it has unpacked
  engine::Engine runner;
  std::function<std::unique_ptr<engine::ShapedEngine>(const engine::EngineOptions&)> make_shaped;
  std::unique_ptr<engine::ShapedEngine> shaped;  // for other shapes, where the model is known
};

Model model_of(ir::Graph graph);
Node node_of(const ir::Graph& graph, ir::NodeId id);
// Fails where the numbers do not fill the shape; `what` names the array.
Tensor tensor_of(const Array& array, DType dtype, const std::string& what);
Array array_of(const Tensor& tensor);
// One tensor for each of the graph's first `count` inputs, of their types. Fails on another number of arrays.
std::vector<Tensor> tensors_of(const std::vector<Array>& arrays, const ir::Graph& graph, size_t count);
quant::CalibrationSet calibration_set_of(const Samples& samples, const ir::Graph& graph);

// An Error of ours, or a Bug, as the Error that the header promises.
Error translated(const std::exception& error);

// Every function of the header runs in here.
template <class Work>
auto guarded(Work&& work) -> std::invoke_result_t<Work> {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw translated(error);
  }
}

}  // namespace kvant::api
