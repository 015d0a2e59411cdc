// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <set>

#include "base/cpu.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "cli/bench_kernels.h"
#include "cli/memory_rates.h"
#include "cli/model_file.h"
#include "cli/sampling.h"
#include "engine/run/team.h"
#include "ir/infer.h"
#include "ir/statistics.h"
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

std::string precision_of(const ir::Graph& graph, const ir::Node& node) {
  if (node.outputs.empty() || node.outputs[0] == ir::kNone) return "";
  for (const ir::ValueId input : node.inputs) {
    if (input != ir::kNone) return std::string(name(graph.value(input).type.dtype));
  }
  return std::string(name(graph.value(node.outputs[0]).type.dtype));
}

struct LayerLine {
  double ms, share, gmacs;  // gmacs: GMAC/s, 0 where nothing is multiplied
  std::string precision;
  int64_t bytes;  // of inputs, weights and outputs, each once
};

int64_t bytes_of(const ir::Graph& graph, const ir::Node& node) {
  std::set<ir::ValueId> values(node.inputs.begin(), node.inputs.end());
  values.insert(node.outputs.begin(), node.outputs.end());
  int64_t bytes = 0;
  for (const ir::ValueId id : values) {
    if (id == ir::kNone || !graph.value(id).type.is_static()) continue;
    const ir::Type& type = graph.value(id).type;
    bytes += element_count(*type.shape) * static_cast<int64_t>(size_of(type.dtype));
  }
  return bytes;
}

LayerLine line_of(const ir::Graph& graph, const engine::LayerTime& layer, double total) {
  LayerLine line{};
  line.ms =
      static_cast<double>(layer.nanoseconds) / 1e6 / static_cast<double>(std::max<int64_t>(1, layer.runs));
  line.share = total > 0 ? static_cast<double>(layer.nanoseconds) / total : 0;
  const ir::NodeId id = graph.find_node(layer.node);
  if (id == ir::kNone) return line;
  line.precision = precision_of(graph, graph.node(id));
  line.bytes = bytes_of(graph, graph.node(id));
  const auto macs = static_cast<double>(ir::count_macs(graph, graph.node(id)).value_or(0));
  if (line.ms > 0) line.gmacs = macs * 1e-6 / line.ms;
  return line;
}

void add_profile(engine::Engine& engine, std::span<const Tensor> inputs, int64_t iterations, double peak,
                 Result& result) {
  engine.set_profiling(true);
  for (int64_t i = 0; i < iterations; ++i) {
    check_interrupt();
    engine.run(inputs);
  }
  const std::vector<engine::LayerTime> layers = engine.profile();
  double total = 0;
  for (const engine::LayerTime& layer : layers) total += static_cast<double>(layer.nanoseconds);
  using report::Align;
  report::Table table({"layer", "operator", "tactic", "input", "ms", "share", "GMAC/s", "of peak"},
                      {Align::Left, Align::Left, Align::Left, Align::Left, Align::Right, Align::Right,
                       Align::Right, Align::Right});
  Json list = Json::array();
  for (const engine::LayerTime& layer : layers) {
    const LayerLine line = line_of(engine.plan().graph, layer, total);
    const double of_peak = peak > 0 ? line.gmacs / peak : 0;
    list.push_back({{"name", layer.node},
                    {"nodes", layer.sources},
                    {"tactic", layer.tactic},
                    {"backend", layer.backend},
                    {"fallback", layer.fallback},
                    {"precision", line.precision},
                    {"ms", line.ms},
                    {"share", line.share},
                    {"gmacs", line.gmacs},
                    {"bytes", line.bytes},
                    {"of_peak", of_peak}});
    const bool weighted = line.gmacs > 0;
    const bool strayed = !layer.fallback.empty() && engine.plan().needs.contains("cuda");
    table.add({layer.node, layer.op,
               strayed ? layer.backend + ":" + layer.tactic + " (on the host)" : layer.tactic, line.precision,
               fmt::format("{:.4f}", line.ms), fmt::format("{:.1f} %", 100 * line.share),
               weighted ? fmt::format("{:.1f}", line.gmacs) : "",
               weighted ? fmt::format("{:.1f} %", 100 * of_peak) : ""});
  }
  const MemoryRates rates =
      memory_rates([&](const std::function<void(int, int)>& fn) { engine.on_each_thread(fn); });
  result.json["memory"] = {{"cache_gb_s", rates.cache}, {"dram_gb_s", rates.dram}};
  result.json["layers"] = std::move(list);
  result.text += "\n" + table.text(140);
}

std::vector<Tensor> inputs_of(const ir::Graph& graph, size_t count, const Flags& flags) {
  Random random(static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX)));
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < count; ++i)
    inputs.push_back(random_input(graph.value(graph.inputs()[i]).type, random));
  return inputs;
}

Result describe(const Flags& flags, const Samples& samples, int64_t batch, int threads, int64_t macs,
                const std::string& device = "cpu") {
  const double median = samples.at(0.5), throughput = 1000.0 * static_cast<double>(batch) / median;
  Result result;
  result.json = {{"device", device},
                 {"cpu", cpu_model()},
                 {"runner", flags.text("runner")},
                 {"batch", batch},
                 {"threads", threads},
                 {"iterations", samples.ms.size()},
                 {"latency_ms", latency_json(samples)},
                 {"throughput", throughput},
                 {"macs", macs},
                 {"canary", canary_json(samples, macs)}};
  result.text = fmt::format(
      "{}: batch {}, {} threads, {} runs\nlatency ms   min {:.4f}  p10 {:.4f}  median {:.4f}  mean {:.4f}  "
      "p90 "
      "{:.4f}  p99 {:.4f}  max {:.4f}\nthroughput   {:.1f} images/s\n",
      flags.text("MODEL"), batch, threads, samples.ms.size(), samples.ms.front(), samples.at(0.1), median,
      samples.mean(), samples.at(0.9), samples.at(0.99), samples.ms.back(), throughput);
  if (!samples.canary.empty()) result.text += canary_line(samples, macs);
  return result;
}

SamplingOptions sampling_of(const Flags& flags) {
  return {.warmup = flags.integer("warmup", 0, 10'000'000),
          .iterations = flags.integer("iterations", 1, 10'000'000),
          .seconds = flags.given("seconds") ? flags.real("seconds", 0, 1e6) : 1e9};
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
  Samples samples;
  const SamplingOptions sampling = sampling_of(flags);
  samples.ms = runner.bench(inputs, static_cast<int>(sampling.iterations), static_cast<int>(sampling.warmup));
  std::ranges::sort(samples.ms);
  return describe(flags, samples, batch, threads_of(flags), ir::count_macs(graph).value_or(0));
}

engine::Plan plan_of(ModelFile model, const Flags& flags, std::span<const engine::Backend* const> backends,
                     double& seconds, Progress& progress) {
  if (model.is_plan()) return std::move(*model.plan);
  engine::BuildOptions options{.batch = flags.integer("batch", 1, 65536), .threads = threads_of(flags)};
  options.progress = &progress;
  options.tune = flags.on("tune");
  const auto start = Clock::now();
  engine::Plan plan =
      noting([&] { return "while building " + model.path.string(); },
             [&] { return engine::build(std::move(*model.graph), ops::standard(), backends, options); });
  seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return plan;
}

// Times of the device alone: a replay of the recorded network with its inputs there already.
void add_device(engine::Engine& engine, const backends::DeviceBackends& device,
                const SamplingOptions& sampling, Result& result) {
  Samples replays;
  for (int64_t i = 0; i < std::min<int64_t>(sampling.iterations, 200); ++i) {
    check_interrupt();
    replays.ms.push_back(static_cast<double>(engine.replay_nanoseconds()) * 1e-6);
  }
  std::ranges::sort(replays.ms);
  const engine::Copies copies = engine.copies();
  result.json["device_name"] = device.description();
  result.json["device_ms"] = latency_json(replays);
  result.json["host_layers"] = host_layers(engine.plan());
  result.json["copies"] = {{"count", copies.count}, {"bytes", copies.bytes}};
  result.text +=
      fmt::format("{}: median {:.4f} ms without copies; {} copies of {} bytes together in a run\n{}",
                  device.description(), replays.at(0.5), copies.count, copies.bytes,
                  host_layers_line(engine.plan(), device.device()));
}

// The canary alone: what the machine gives to so many threads just now.
Result run_canary(const Flags& flags, Progress& progress) {
  engine::SpinningTeam team(threads_of(flags), false);
  const auto on_each_thread = [&](const std::function<void(int, int)>& fn) { team.run(fn); };
  const Samples samples = take_samples([] {}, on_each_thread, sampling_of(flags), progress);
  Result result;
  result.json = {{"threads", team.size()}, {"canary", canary_json(samples, 0)}};
  result.text = fmt::format("{} threads\n{}", team.size(), canary_line(samples, 0));
  return result;
}

Result run(const Flags& flags, Progress& progress) {
  if (flags.text("MODEL") == "canary") return run_canary(flags, progress);
  if (flags.text("MODEL") == "kernels") return bench_kernels(flags, sampling_of(flags), progress);
  const SamplingOptions sampling = sampling_of(flags);
  if (flags.text("runner") == "torch") return run_torch(flags);
  double build_seconds = 0;
  const auto start = Clock::now();
  ModelFile model = read_model(flags.path("MODEL"));
  const backends::DeviceBackends device = device_of(flags, model);
  engine::Plan plan = plan_of(std::move(model), flags, device.list(), build_seconds, progress);
  const size_t steps = plan.steps.size();
  engine::Engine engine(
      std::move(plan), device.list(),
      {.threads = threads_of(flags), .spin = !flags.on("no-spin"), .images_apart = !flags.on("whole-batch")});
  const double start_ms =
      std::chrono::duration<double, std::milli>(Clock::now() - start).count() - 1000 * build_seconds;
  const std::vector<Tensor> inputs = inputs_of(engine.plan().graph, engine.plan().input_count, flags);
  // Threads of libraries are made by the first run, before this one's are held to their cores.
  engine.run(inputs);
  engine.on_each_thread([](int thread, int) { engine::pin_this_thread(thread); });
  const Samples samples = take_samples(
      [&] { engine.run(inputs); },
      [&](const std::function<void(int, int)>& fn) { engine.on_each_thread(fn); }, sampling, progress);
  const int64_t batch = inputs.empty() || inputs[0].rank() == 0 ? 1 : inputs[0].dim(0);
  Result result = describe(flags, samples, batch, engine.threads(),
                           ir::count_macs(engine.plan().graph).value_or(0), device.device());
  result.json["build"] = {{"tactics", steps}, {"seconds", build_seconds}};
  result.json["start_ms"] = start_ms;
  result.json["arena_bytes"] = device.device() == "cpu" ? engine.arena_bytes() : engine.plan().arena_bytes;
  result.json["images_apart"] = engine.images_apart() > 1;
  if (engine.images_apart() > 1)
    result.text += fmt::format("{} images run one by one, each thread on its own\n", engine.images_apart());
  if (device.device() != "cpu") add_device(engine, device, sampling, result);
  if (flags.on("profile"))
    add_profile(engine, inputs, std::min<int64_t>(sampling.iterations, 100), samples.peak(), result);
  return result;
}

}  // namespace

Command bench() {
  return {
      .name = "bench",
      .summary = "latency and throughput of a model or plan on random inputs",
      .example = "model.plan --profile",
      .flags =
          {{.name = "MODEL",
            .value = "",
            .help = "ONNX file (built first) or plan; 'kernels'; 'canary'",
            .required = true},
           {.name = "batch", .value = "N", .help = "batch size, for ONNX files", .fallback = "1"},
           {.name = "iterations", .value = "N", .help = "timed runs", .fallback = "200"},
           {.name = "warmup", .value = "N", .help = "runs before", .fallback = "20"},
           {.name = "seconds", .value = "S", .help = "end the timed runs after so long (at least 5 runs)"},
           {.name = "tune", .value = "", .help = "time the candidates of each layer first, for ONNX files"},
           {.name = "shape", .value = "SHAPE", .help = "for 'kernels': HxWxC:K:KHxKW[:STRIDE[:PAD[:GROUP]]]"},
           {.name = "activation", .value = "NAME", .help = "for 'kernels': what stands behind the sums"},
           {.name = "profile", .value = "", .help = "time of each layer"},
           no_spin_flag(),
           {.name = "whole-batch",
            .value = "",
            .help = "each layer takes the whole batch, also where images could run one by one"},
           {.name = "runner",
            .value = "NAME",
            .help = "what runs an ONNX file",
            .fallback = "engine",
            .choices = {"engine", "torch"}}},
      .run = run,
      .any_device = true};
}

}  // namespace kvant::cli
