// SPDX-License-Identifier: Apache-2.0
// The model on a command line: an ONNX file (float or QDQ) or a plan, told apart by content, and something
// that runs it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/backends.h"
#include "cli/command.h"
#include "engine/engine.h"
#include "ir/interpreter.h"

namespace kvant::cli {

struct ModelFile {
  std::filesystem::path path;
  std::optional<ir::Graph> graph;    // of an ONNX file
  std::optional<engine::Plan> plan;  // of a plan

  bool is_plan() const { return plan.has_value(); }
  // The network (of a plan: lowered) and how many of its inputs are the model's own.
  const ir::Graph& network() const { return is_plan() ? plan->graph : *graph; }
  size_t input_count() const { return is_plan() ? plan->input_count : graph->inputs().size(); }
  const std::map<std::string, std::string>& metadata() const { return network().metadata; }
};

// Fails with a sentence for what is neither; errors carry the path.
ModelFile read_model(const std::filesystem::path& path);
// The same, refusing plans: for commands that need the network itself.
ir::Graph read_graph(const std::filesystem::path& path);

// The backends of --device; without that flag those that a plan was built for. Fails when plan and device do
// not fit.
backends::DeviceBackends device_of(const Flags& flags, const engine::Plan* plan = nullptr);
inline backends::DeviceBackends device_of(const Flags& flags, const ModelFile& model) {
  return device_of(flags, model.is_plan() ? &*model.plan : nullptr);
}

// Layers of a plan for a card that run on the host, and the sentence about them.
size_t host_layers(const engine::Plan& plan);
std::string host_layers_line(const engine::Plan& plan, const std::string& device);

struct RunnerOptions {
  std::string runner = "engine";  // engine, interpreter or torch
  int64_t batch = 1;
  int threads = 1;
  engine::Mode mode = engine::Mode::Simulate;
  bool spin = true;  // the engine's threads, while they wait for work
  std::span<const engine::Backend* const> backends = backends::shared();
};

// A runner with the batch size that it takes: of a plan its own, of the interpreter any.
struct LoadedModel {
  std::unique_ptr<ir::Runner> runner;
  int64_t batch = 1;
};

// `model` must outlive the result. A plan runs on the engine only (UsageError otherwise).
LoadedModel load_runner(const ModelFile& model, const RunnerOptions& options);

// "--no-spin" for commands that run the engine.
Flag no_spin_flag();
// "--runner" for commands that can choose.
Flag runner_flag();

}  // namespace kvant::cli
