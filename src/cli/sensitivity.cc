// SPDX-License-Identifier: Apache-2.0
#include "choose/sensitivity.h"

#include <cmath>

#include "api/calibration_runner.h"
#include "base/file.h"
#include "cli/data_flags.h"
#include "cli/model_file.h"
#include "formats/model.h"
#include "ir/statistics.h"
#include "ops/ops.h"
#include "quant/quantize.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

Json number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json();
}

Json score_json(const choose::Score& score, const choose::Score& floats) {
  Json json = {{"relative_error", score.relative_error}, {"sqnr_db", number(score.sqnr_db())}};
  json["top1"] = number(score.top1);
  json["top1_drop"] = score.top1 && floats.top1 ? Json(*floats.top1 - *score.top1) : Json();
  json["agreement"] = number(score.agreement);
  return json;
}

std::string ms_text(const std::optional<double>& ms) { return ms ? fmt::format("{:.4f}", *ms) : "-"; }
std::string points(const std::optional<double>& share) {
  return share ? fmt::format("{:.2f}", 100 * *share) : "-";
}

void add_layers(const choose::Sensitivity& found, Result& result) {
  using report::Align;
  Json layers = Json::array();
  report::Table table(
      {"layer", "operator", "SQNR dB", "top-1 loss", "float ms", "int8 ms", "computed in"},
      {Align::Left, Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Left});
  for (const choose::LayerCost& layer : found.layers) {
    Json entry = {{"name", layer.name}, {"op", layer.op}};
    entry.update(score_json(layer.score, found.of_float));
    entry["float_ms"] = number(layer.float_ms);
    entry["int8_ms"] = number(layer.int8_ms);
    entry["fused_into"] = layer.fused_into;
    layers.push_back(std::move(entry));
    std::optional<double> drop;
    if (layer.score.top1 && found.of_float.top1) drop = *found.of_float.top1 - *layer.score.top1;
    table.add({layer.name, layer.op, fmt::format("{:.1f}", layer.score.sqnr_db()), points(drop),
               ms_text(layer.float_ms), ms_text(layer.int8_ms), layer.fused_into});
  }
  result.json["layers"] = std::move(layers);
  result.text = table.text();
}

Result describe(const choose::Sensitivity& found) {
  Result result;
  add_layers(found, result);
  result.json["samples"] = found.of_float.samples;
  result.json["float"] = {{"top1", number(found.of_float.top1)}, {"latency_ms", found.float_ms}};
  result.json["quantized"] = score_json(found.of_quantized, found.of_float);
  result.json["quantized"]["latency_ms"] = found.int8_ms;
  result.json["left"] = found.left;
  result.text += fmt::format("\nall float: top-1 {} %, {:.4f} ms; {} images\n", points(found.of_float.top1),
                             found.float_ms, found.of_float.samples);
  result.text += fmt::format("all quantized: SQNR {:.1f} dB, top-1 {} %, {:.4f} ms\n",
                             found.of_quantized.sqnr_db(), points(found.of_quantized.top1), found.int8_ms);
  if (found.left > 0) {
    result.text += fmt::format("{} layers left by the budget: --resume goes on\n", found.left);
  }
  return result;
}

// The model with every layer quantized: as it is, or quantized on the same data.
ir::Graph quantized(ir::Graph graph, const Flags& flags, data::Loader& loader, int64_t samples,
                    Progress& progress) {
  const ir::QdqSummary pairs = ir::summarize_qdq(graph);
  if (pairs.activation_pairs > 0) return graph;
  formats::require_finite_weights(graph);
  quant::QuantizeOptions options;
  options.calibration.calibrator = flags.text("calibrator");
  options.calibration.expected_samples = samples;
  const auto data = quant::CalibrationSet::reopened([&loader] {
    loader.seek(0);
    return quant::batches_of(loader);
  });
  ir::Graph result = quant::quantize(std::move(graph), ops::standard(), data,
                                     api::calibration_runners(threads_of(flags)), options, progress)
                         .graph;
  loader.seek(0);
  return result;
}

Result run(const Flags& flags, Progress& progress) {
  if (flags.on("resume") && !flags.given("state"))
    throw UsageError("--resume needs --state FILE to go on from");
  if (flags.given("state")) require_writable(flags.path("state"));
  ir::Graph graph = read_graph(flags.path("MODEL"));
  std::string notes;
  const data::Dataset dataset = dataset_of(flags, notes);
  const data::Preprocess preprocess = preprocess_of(flags, graph.metadata, notes);
  const int64_t batch = batch_for(flags, graph, 4096);
  const int threads = threads_of(flags);
  const std::unique_ptr<data::Loader> loader =
      loader_of(dataset, preprocess, sample_shape_of(graph, graph.inputs().size()), batch, threads);
  choose::SensitivityOptions options;
  options.timing = {.batch = flags.integer("time-batch", 1, 65536),
                    .threads = threads,
                    .iterations = flags.integer("iterations", 1, 1'000'000)};
  options.budget_seconds = flags.real("budget", 0, 1e9);
  if (flags.given("state")) options.state = flags.path("state");
  options.resume = flags.on("resume");
  options.data = fmt::format("{} {} {}", dataset.spec(), dataset.size(), data::to_text(preprocess));
  const choose::Sensitivity found =
      noting([&] { return "while measuring " + flags.text("MODEL"); },
             [&] {
               const ir::Graph qdq = quantized(std::move(graph), flags, *loader, dataset.size(), progress);
               choose::Samples samples(*loader, batch);
               return choose::sensitivity(qdq, ops::standard(), samples, api::calibration_runners(threads),
                                          backends::shared(), options, progress);
             });
  Result result = describe(found);
  result.notes = notes;
  return result;
}

}  // namespace

Command sensitivity() {
  std::vector<Flag> flags = {
      {.name = "MODEL", .value = "", .help = "float or QDQ ONNX file", .required = true}};
  for (Flag& flag : data_flags("256")) flags.push_back(std::move(flag));
  std::vector<std::string> calibrators;
  for (const quant::CalibratorEntry& entry : quant::calibrators()) calibrators.emplace_back(entry.name);
  const std::vector<Flag> own = {
      {.name = "calibrator",
       .value = "NAME",
       .help = "of a float model: how ranges come from the data",
       .fallback = "max",
       .choices = calibrators},
      {.name = "batch", .value = "N", .help = "images at a time", .fallback = "32"},
      {.name = "time-batch", .value = "N", .help = "batch size of the timed plans", .fallback = "1"},
      {.name = "iterations", .value = "N", .help = "timed runs of each plan", .fallback = "50"},
      {.name = "budget",
       .value = "SECONDS",
       .help = "stop after so long, at the end of a layer; 0: no limit",
       .fallback = "0"},
      {.name = "state", .value = "FILE", .help = "keep what was measured here"},
      {.name = "resume", .value = "", .help = "go on from --state"}};
  flags.insert(flags.end(), own.begin(), own.end());
  return {.name = "sensitivity",
          .summary = "what each layer's quantization costs in accuracy, and buys in time",
          .example = "model.onnx --data imagefolder:photos --samples 256",
          .flags = std::move(flags),
          .run = run};
}

}  // namespace kvant::cli
