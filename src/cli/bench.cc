// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <numeric>

#include "base/interrupt.h"
#include "base/random.h"
#include "cli/model_file.h"
#include "ir/infer.h"
#include "ops/ops.h"
#include "report/table.h"
#include "train/torch_runner.h"

namespace kvant::cli {
namespace {

using Clock = std::chrono::steady_clock;

// Never zeros: sparse or constant data flatters some kernels.
Tensor random_input(const ir::Type& type, Random& random) {
  Tensor floats(DType::Float32, *type.shape);
  for (float& x : floats.mutable_data<float>())
    x = is_float(type.dtype) ? random.normal() : static_cast<float>(random.below(2));
  return floats.cast(type.dtype);
}

struct Latency {
  std::vector<double> ms;  // sorted
  double at(double share) const {
    return ms[std::min(ms.size() - 1, static_cast<size_t>(share * static_cast<double>(ms.size())))];
  }
  double mean() const { return std::accumulate(ms.begin(), ms.end(), 0.0) / static_cast<double>(ms.size()); }
};

Latency measure(engine::Engine& engine, std::span<const Tensor> inputs, int64_t warmup, int64_t iterations,
                Progress& progress) {
  Latency latency;
  for (int64_t i = 0; i < warmup; ++i) engine.run(inputs);
  progress.begin("timing", iterations, "runs");
  for (int64_t i = 0; i < iterations; ++i) {
    check_interrupt();
    const auto start = Clock::now();
    engine.run(inputs);
    latency.ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    progress.update(i + 1, "");
  }
  progress.end();
  std::ranges::sort(latency.ms);
  return latency;
}

std::string precision_of(const ir::Graph& graph, const ir::Node& node) {
  if (node.outputs.empty() || node.outputs[0] == ir::kNone) return "";
  for (const ir::ValueId input : node.inputs) {
    if (input != ir::kNone) return std::string(name(graph.value(input).type.dtype));
  }
  return std::string(name(graph.value(node.outputs[0]).type.dtype));
}

void add_profile(engine::Engine& engine, std::span<const Tensor> inputs, int64_t iterations, Result& result) {
  engine.set_profiling(true);
  for (int64_t i = 0; i < iterations; ++i) {
    check_interrupt();
    engine.run(inputs);
  }
  const std::vector<engine::LayerTime> layers = engine.profile();
  double total = 0;
  for (const engine::LayerTime& layer : layers) total += static_cast<double>(layer.nanoseconds);
  report::Table table({"layer", "operator", "tactic", "input", "ms", "share"},
                      {report::Align::Left, report::Align::Left, report::Align::Left, report::Align::Left,
                       report::Align::Right, report::Align::Right});
  Json list = Json::array();
  const ir::Graph& graph = engine.plan().graph;
  for (const engine::LayerTime& layer : layers) {
    const double ms =
        static_cast<double>(layer.nanoseconds) / 1e6 / static_cast<double>(std::max<int64_t>(1, layer.runs));
    const double share = total > 0 ? static_cast<double>(layer.nanoseconds) / total : 0;
    const ir::NodeId node = graph.find_node(layer.node);
    const std::string precision = node == ir::kNone ? "" : precision_of(graph, graph.node(node));
    list.push_back({{"name", layer.node},
                    {"nodes", layer.sources},
                    {"tactic", layer.tactic},
                    {"precision", precision},
                    {"ms", ms},
                    {"share", share}});
    table.add({layer.node, layer.op, layer.tactic, precision, fmt::format("{:.4f}", ms),
               fmt::format("{:.1f} %", 100 * share)});
  }
  result.json["layers"] = std::move(list);
  result.text += "\n" + table.text();
}

std::vector<Tensor> inputs_of(const ir::Graph& graph, size_t count, const Flags& flags) {
  Random random(static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX)));
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < count; ++i)
    inputs.push_back(random_input(graph.value(graph.inputs()[i]).type, random));
  return inputs;
}

Result describe(const Flags& flags, const Latency& latency, int64_t batch, int threads) {
  const double median = latency.at(0.5), throughput = 1000.0 * static_cast<double>(batch) / median;
  Result result;
  result.json = {{"device", "cpu"},
                 {"runner", flags.text("runner")},
                 {"batch", batch},
                 {"threads", threads},
                 {"iterations", latency.ms.size()},
                 {"latency_ms",
                  {{"min", latency.ms.front()},
                   {"median", median},
                   {"mean", latency.mean()},
                   {"p90", latency.at(0.9)},
                   {"p99", latency.at(0.99)},
                   {"max", latency.ms.back()}}},
                 {"throughput", throughput}};
  result.text = fmt::format(
      "{}: batch {}, {} threads, {} runs\nlatency ms   min {:.4f}  median {:.4f}  mean {:.4f}  p90 {:.4f}  "
      "p99 {:.4f}  max {:.4f}\nthroughput   {:.1f} images/s\n",
      flags.text("MODEL"), batch, threads, latency.ms.size(), latency.ms.front(), median, latency.mean(),
      latency.at(0.9), latency.at(0.99), latency.ms.back(), throughput);
  return result;
}

// The same network in LibTorch: what a user of the framework has today.
Result run_torch(const Flags& flags) {
  ir::Graph graph = read_graph(flags.path("MODEL"));
  const int64_t batch = flags.integer("batch", 1, 65536);
  std::map<std::string, Shape> shapes;
  for (size_t i = 0; i < graph.inputs().size(); ++i)
    shapes[graph.value(graph.inputs()[i]).name] = ir::batched_shape(graph, i, batch);
  ir::bind_shapes(graph, ops::standard(), shapes);
  train::TorchRunner runner(graph, threads_of(flags));
  const std::vector<Tensor> inputs = inputs_of(graph, graph.inputs().size(), flags);
  Latency latency{runner.bench(inputs, static_cast<int>(flags.integer("iterations", 1, 10'000'000)),
                               static_cast<int>(flags.integer("warmup", 0, 10'000'000)))};
  std::ranges::sort(latency.ms);
  return describe(flags, latency, batch, threads_of(flags));
}

engine::Plan plan_of(ModelFile model, const Flags& flags, double& seconds, Progress& progress) {
  if (model.is_plan()) return std::move(*model.plan);
  engine::BuildOptions options{.batch = flags.integer("batch", 1, 65536), .threads = threads_of(flags)};
  options.progress = &progress;
  options.tune = flags.on("tune");
  const auto start = Clock::now();
  engine::Plan plan =
      noting([&] { return "while building " + model.path.string(); },
             [&] { return engine::build(std::move(*model.graph), ops::standard(), backends(), options); });
  seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return plan;
}

Result run(const Flags& flags, Progress& progress) {
  const int64_t iterations = flags.integer("iterations", 1, 10'000'000),
                warmup = flags.integer("warmup", 0, 10'000'000);
  if (flags.text("runner") == "torch") return run_torch(flags);
  double build_seconds = 0;
  engine::Plan plan = plan_of(read_model(flags.path("MODEL")), flags, build_seconds, progress);
  const size_t steps = plan.steps.size();
  engine::Engine engine(std::move(plan), backends(), {.threads = threads_of(flags)});
  const std::vector<Tensor> inputs = inputs_of(engine.plan().graph, engine.plan().input_count, flags);
  const Latency latency = measure(engine, inputs, warmup, iterations, progress);
  const int64_t batch = inputs.empty() || inputs[0].rank() == 0 ? 1 : inputs[0].dim(0);
  Result result = describe(flags, latency, batch, engine.threads());
  result.json["build"] = {{"tactics", steps}, {"seconds", build_seconds}};
  if (flags.on("profile")) add_profile(engine, inputs, std::min<int64_t>(iterations, 100), result);
  return result;
}

}  // namespace

Command bench() {
  return {
      .name = "bench",
      .summary = "latency and throughput of a model or plan on random inputs",
      .example = "model.plan --profile",
      .flags = {{.name = "MODEL", .value = "", .help = "ONNX file (built first) or plan", .required = true},
                {.name = "batch", .value = "N", .help = "batch size, for ONNX files", .fallback = "1"},
                {.name = "iterations", .value = "N", .help = "timed runs", .fallback = "200"},
                {.name = "warmup", .value = "N", .help = "runs before", .fallback = "20"},
                {.name = "tune",
                 .value = "",
                 .help = "time the candidates of each layer first, for ONNX files"},
                {.name = "profile", .value = "", .help = "time of each layer"},
                {.name = "runner",
                 .value = "NAME",
                 .help = "what runs an ONNX file",
                 .fallback = "engine",
                 .choices = {"engine", "torch"}}},
      .run = run};
}

}  // namespace kvant::cli
