// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "base/file.h"
#include "cli/model_file.h"
#include "engine/engine.h"
#include "formats/model.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

Result run(const Flags& flags, Progress& progress) {
  const std::filesystem::path output = flags.path("output");
  require_writable(output);
  const ir::Graph graph = read_graph(flags.path("MODEL"));
  formats::require_finite_weights(graph);
  engine::BuildOptions options{.batch = flags.integer("batch", 1, 1 << 20), .threads = threads_of(flags)};
  options.tune = flags.on("tune") || flags.given("timing-cache");
  if (flags.given("timing-cache")) options.timing_cache = flags.path("timing-cache");
  options.progress = &progress;
  for (const std::string& pass : flags.texts("skip-pass")) options.skip.insert(pass);
  std::string dump;
  if (flags.given("dump")) {
    options.check = [&dump](const ir::Pass& pass, const ir::Graph&, const ir::Graph& after) {
      dump += fmt::format("# after {}\n{}\n", pass.name, ir::print(after));
    };
  }
  const backends::DeviceBackends device = device_of(flags);
  const auto start = std::chrono::steady_clock::now();
  const engine::Plan plan =
      noting([&] { return "while building " + flags.text("MODEL"); },
             [&] { return engine::build(graph, ops::standard(), device.list(), options); });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  engine::write_plan(plan, output);
  if (flags.given("dump")) write_text(flags.path("dump"), dump);

  Result result;
  size_t fallbacks = 0;
  const bool card = device.device() != "cpu";
  report::Table table(
      {"layer", "operator", card ? "why it runs on the host" : "why it runs on the reference"});
  for (const engine::PlanStep& step : plan.steps) {
    fallbacks += step.backend == "reference" ? 1 : 0;
    if (step.fallback.empty() || (!card && step.backend != "reference")) continue;
    const ir::Node& node = plan.graph.node(step.node);
    table.add({node.name, node.op, step.fallback});
  }
  const auto bytes = std::filesystem::file_size(output);
  result.json = {{"output", output.string()},       {"layers", plan.steps.size()},
                 {"reference_layers", fallbacks},   {"bytes", bytes},
                 {"arena_bytes", plan.arena_bytes}, {"seconds", seconds}};
  result.text = fmt::format("{}: {} layers, {} bytes, arena {} bytes, built in {:.2f} s\n", output.string(),
                            plan.steps.size(), bytes, plan.arena_bytes, seconds);
  if (card) {
    result.json["device"] = device.device();
    result.json["host_layers"] = host_layers(plan);
    result.text += host_layers_line(plan, device.device());
  }
  if (fallbacks > 0 || (card && host_layers(plan) > 0)) result.text += "\n" + table.text();
  return result;
}

}  // namespace

Command build() {
  return {
      .name = "build",
      .summary = "compile a QDQ (or float) model to an engine plan for this machine",
      .example = "model.qdq.onnx -o model.plan",
      .flags =
          {{.name = "MODEL", .value = "", .help = "ONNX file", .required = true},
           {.name = "output", .value = "FILE", .help = "plan to write", .required = true, .letter = "o"},
           {.name = "batch", .value = "N", .help = "batch size of the plan", .fallback = "1"},
           {.name = "skip-pass", .value = "NAME", .help = "leave out a pass (may be repeated)", .many = true},
           {.name = "tune", .value = "", .help = "time the candidates of each layer and take the fastest"},
           {.name = "timing-cache",
            .value = "FILE",
            .help = "the same, remembering what was fastest in FILE"},
           {.name = "dump", .value = "FILE", .help = "write the graph after each pass as text"}},
      .run = run,
      .any_device = true};
}

}  // namespace kvant::cli
