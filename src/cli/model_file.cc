// SPDX-License-Identifier: Apache-2.0
#include "cli/model_file.h"

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "engine/plan/header.h"
#include "formats/model.h"
#include "ops/ops.h"
#include "train/torch_runner.h"

namespace kvant::cli {
namespace {

bool is_plan_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  constexpr size_t n = sizeof engine::kPlanMagic;
  return file.bytes().size() >= n && std::memcmp(file.bytes().data(), engine::kPlanMagic, n) == 0;
}

}  // namespace

ModelFile read_model(const std::filesystem::path& path) {
  ModelFile model{.path = path, .graph = {}, .plan = {}};
  if (is_plan_file(path)) {
    model.plan = engine::read_plan(path, ops::standard());
  } else {
    model.graph = formats::read(path);
  }
  return model;
}

ir::Graph read_graph(const std::filesystem::path& path) {
  ModelFile model = read_model(path);
  if (model.is_plan())
    fail("{} is a plan; this command needs the ONNX model that it was built from", path.string());
  return std::move(*model.graph);
}

backends::DeviceBackends device_of(const Flags& flags, const engine::Plan* plan) {
  const std::string device = flags.text("device");
  const bool for_card = plan != nullptr && plan->needs.contains("cuda");
  if (for_card && !flags.given("device")) return backends::DeviceBackends("cuda");
  if (for_card && device == "cpu") {
    fail("the plan was built for a card ({}): run it with --device cuda, or build it again for the CPU",
         plan->needs.at("cuda"));
  }
  if (plan != nullptr && !for_card && device != "cpu")
    fail("the plan was built for the CPU: build it again with --device {}", device);
  return backends::DeviceBackends(device);
}

size_t host_layers(const engine::Plan& plan) {
  return static_cast<size_t>(std::ranges::count_if(plan.steps, [](const engine::PlanStep& step) {
    return step.backend != engine::kView && step.backend != "cuda";
  }));
}

std::string host_layers_line(const engine::Plan& plan, const std::string& device) {
  const size_t on_host = host_layers(plan);
  if (on_host == 0) return fmt::format("all layers run on {}\n", device);
  return fmt::format(
      "{} of {} layers have no kernel for {} and run on the host, with copies there and back\n", on_host,
      plan.steps.size(), device);
}

LoadedModel load_runner(const ModelFile& model, const RunnerOptions& options) {
  if (model.is_plan()) {
    if (options.runner != "engine") {
      throw UsageError(fmt::format("--runner {} runs ONNX models only; {} is a plan", options.runner,
                                   model.path.string()));
    }
    const ir::Graph& graph = model.plan->graph;
    const Shape& shape = *graph.value(graph.inputs()[0]).type.shape;
    const int64_t batch = shape.empty() ? 1 : shape[0];
    return {std::make_unique<engine::Engine>(
                *model.plan, options.backends,
                engine::EngineOptions{.threads = options.threads, .spin = options.spin}),
            batch};
  }
  return noting([&] { return "while reading " + model.path.string(); },
                [&]() -> LoadedModel {
                  if (options.runner == "interpreter") {
                    return {std::make_unique<ir::Interpreter>(*model.graph, ops::standard()), options.batch};
                  }
                  const engine::BuildOptions build{
                      .batch = options.batch, .threads = options.threads, .mode = options.mode};
                  engine::Plan plan = engine::build(*model.graph, ops::standard(), options.backends, build);
                  return {std::make_unique<engine::Engine>(std::move(plan), options.backends,
                                                           engine::EngineOptions{.spin = options.spin}),
                          options.batch};
                });
}

Flag no_spin_flag() {
  return {.name = "no-spin",
          .value = "",
          .help = "threads that wait for work sleep at once: slower, but other programs get the cores"};
}

Flag runner_flag() {
  return {.name = "runner",
          .value = "NAME",
          .help =
              "what computes an ONNX model: the engine with Q and DQ as the file says, or the interpreter "
              "(slow, the oracle)",
          .fallback = "engine",
          .choices = {"engine", "interpreter", "torch"}};
}

}  // namespace kvant::cli
