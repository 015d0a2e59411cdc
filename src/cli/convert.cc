// SPDX-License-Identifier: Apache-2.0
#include "api/calibration_runner.h"
#include "base/file.h"
#include "cli/data_flags.h"
#include "cli/model_file.h"
#include "cli/target_flags.h"
#include "formats/model.h"
#include "ir/statistics.h"
#include "ops/ops.h"
#include "quant/calibrate/calibrator.h"

namespace kvant::cli {
namespace {

// Ranges of what the target wants to know and the given ranges do not hold, from --data.
void calibrate_wishes(const ir::Graph& graph, const quant::Target& target, const Flags& flags,
                      quant::CalibrationTable& table, std::string& notes, Progress& progress) {
  std::vector<std::string> missing;
  for (const std::string& name : quant::outputs_to_calibrate(graph, target)) {
    if (!table.ranges.contains(name)) missing.push_back(name);
  }
  if (missing.empty()) return;
  const int threads = threads_of(flags);
  const data::Dataset dataset = dataset_of(flags, notes);
  const data::Preprocess preprocess = preprocess_of(flags, graph.metadata, notes);
  const std::unique_ptr<data::Loader> loader =
      loader_of(dataset, preprocess, sample_shape_of(graph, graph.inputs().size()),
                batch_for(flags, graph, 4096), threads);
  quant::CalibrateOptions options{
      .calibrator = flags.text("calibrator"), .options = {}, .expected_samples = dataset.size()};
  const quant::RunnerFactory factory = api::calibration_runners(threads);
  quant::ModelRuns runs(graph, ops::standard(), factory);
  const quant::CalibrationTable found = quant::calibrate(
      graph, missing, [&](std::span<const Tensor> inputs) -> ir::Runner& { return runs.runner_for(inputs); },
      quant::batches_of(*loader), options, progress);
  table.ranges.insert(found.ranges.begin(), found.ranges.end());
}

Result run(const Flags& flags, Progress& progress) {
  require_writable(flags.path("output"));
  const quant::Target& target = quant::target_named(flags.text("target"));
  if (flags.given("activations") && flags.text("activations") == "affine")
    throw UsageError("--activations affine: a conversion keeps the scales; quantize the model with it");
  quant::TargetOptions options = target_options_of(flags);
  ir::Graph graph = read_graph(flags.path("MODEL"));
  Result result;
  if (flags.given("load-ranges")) options.ranges = quant::load_ranges(flags.path("load-ranges"));
  const quant::TargetReport report = noting(
      [&] { return "while reading " + flags.path("MODEL").string(); },
      [&] {
        const ir::QdqSummary pairs = ir::summarize_qdq(graph);
        if (pairs.activation_pairs + pairs.weight_pairs == 0)
          fail("the model has no Q/DQ pairs: convert rewrites quantized models (kvant quantize makes one)");
        if (flags.given("data"))
          calibrate_wishes(graph, target, flags, options.ranges, result.notes, progress);
        return quant::convert(graph, ops::standard(), target, options);
      });
  formats::write(graph, flags.path("output"), {.opset = target_opset(flags)});
  const ir::QdqSummary pairs = ir::summarize_qdq(graph);
  result.json = to_json(report);
  result.json["output"] = flags.text("output");
  result.json["target"] = target.name;
  result.json["activation_pairs"] = pairs.activation_pairs;
  result.json["weight_pairs"] = pairs.weight_pairs;
  result.text = text_of(report) +
                fmt::format("{}: for {}, {} activation pairs, {} weight pairs; {}\n", flags.text("output"),
                            target.name, pairs.activation_pairs, pairs.weight_pairs,
                            report.exact ? "computes the same" : "differs by roundings (see above)");
  return result;
}

}  // namespace

Command convert() {
  std::vector<Flag> flags = {
      {.name = "MODEL", .value = "", .help = "QDQ ONNX file", .required = true},
      {.name = "output", .value = "FILE", .help = "QDQ ONNX file to write", .required = true, .letter = "o"}};
  for (Flag& flag : target_flags()) flags.push_back(std::move(flag));
  for (Flag& flag : data_flags("512")) {
    if (flag.name == "data") flag.required = false;
    flags.push_back(std::move(flag));
  }
  std::vector<std::string> calibrators;
  for (const quant::CalibratorEntry& entry : quant::calibrators()) calibrators.emplace_back(entry.name);
  const std::vector<Flag> own = {
      {.name = "load-ranges", .value = "FILE", .help = "ranges of convolution results, for onnxruntime"},
      {.name = "calibrator",
       .value = "NAME",
       .help = "how ranges come from --data",
       .fallback = "auto",
       .choices = calibrators},
      {.name = "batch", .value = "N", .help = "images at a time", .fallback = "16"},
      {.name = "opset", .value = "N", .help = "least opset of the file", .fallback = "13"}};
  flags.insert(flags.end(), own.begin(), own.end());
  return {.name = "convert",
          .summary = "rewrite a QDQ model for another runtime, scales bit-identical",
          .example = "model.qdq.onnx --target onnxruntime --data imagefolder:photos -o model.ort.onnx",
          .flags = std::move(flags),
          .run = run};
}

}  // namespace kvant::cli
