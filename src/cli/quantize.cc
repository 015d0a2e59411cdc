// SPDX-License-Identifier: Apache-2.0
#include "quant/quantize.h"

#include <fmt/ranges.h>
#include <sys/resource.h>

#include <chrono>

#include "api/calibration_runner.h"
#include "base/file.h"
#include "cli/data_flags.h"
#include "cli/model_file.h"
#include "cli/placement_flags.h"
#include "cli/target_flags.h"
#include "formats/model.h"
#include "ops/ops.h"
#include "quant/calibrate/calibrator.h"
#include "quant/calibrate/import_ranges.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

constexpr int64_t kFewImages = 8;  // below it, a note

std::vector<std::string> calibrator_names() {
  std::vector<std::string> names;
  for (const quant::CalibratorEntry& entry : quant::calibrators()) names.emplace_back(entry.name);
  return names;
}

std::string adjust_help() {
  std::vector<std::string_view> names;
  for (const quant::AdjustEntry& entry : quant::adjusts()) names.push_back(entry.name);
  return fmt::format(
      "repair steps, separated by commas: {}; none; or auto: those that lower the error on samples held out",
      fmt::join(names, ", "));
}

Json layer_json(const quant::LayerReport& layer) {
  return {{"name", layer.name},     {"op", layer.op},         {"quantized", layer.quantized},
          {"inputs", layer.inputs}, {"weight", layer.weight}, {"reason", layer.reason}};
}

Json adjust_json(const std::vector<quant::AdjustRecord>& records) {
  const auto error = [](const std::optional<double>& value) { return value ? Json(*value) : Json(); };
  Json result = Json::array();
  for (const quant::AdjustRecord& r : records) {
    result.push_back({{"name", r.name},
                      {"kept", r.kept},
                      {"error_before", error(r.error_before)},
                      {"error_after", error(r.error_after)},
                      {"seconds", r.seconds},
                      {"remark", r.remark}});
  }
  return result;
}

std::string adjust_text(const std::vector<quant::AdjustRecord>& records) {
  if (records.empty()) return "";
  const auto error = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.5g}", *value) : "-";
  };
  report::Table table({"repair step", "kept", "error before", "error after", "seconds", "what"},
                      {report::Align::Left, report::Align::Left, report::Align::Right, report::Align::Right,
                       report::Align::Right, report::Align::Left});
  for (const quant::AdjustRecord& r : records) {
    table.add({r.name, r.kept ? "yes" : "no", error(r.error_before), error(r.error_after),
               fmt::format("{:.1f}", r.seconds), r.remark});
  }
  return "\n" + table.text();
}

double peak_rss_mb() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

std::filesystem::path checkpoint_of(const Flags& flags) { return flags.text("output") + ".calibration"; }

std::string note(const std::string& sentence) { return sentence.empty() ? "" : "note: " + sentence + "\n"; }

// What a user should know of the ranges that came out.
std::string remarks(const quant::CalibrationTable& table) {
  std::string notes;
  if (table.samples > 0 && table.samples < kFewImages) {
    notes += note(fmt::format("the ranges come from {} image{} alone; a few hundred of all kinds are usual",
                              table.samples, table.samples == 1 ? "" : "s"));
  }
  std::vector<std::string_view> zero;
  for (const auto& [name, range] : table.ranges) {
    if (range.amax() == 0) zero.push_back(name);
  }
  if (!zero.empty()) {
    notes += note(fmt::format("{} tensor{} held nothing but zeros (scale 1): {}", zero.size(),
                              zero.size() == 1 ? "" : "s", fmt::join(zero, ", ")));
  }
  return notes;
}

quant::QuantizeOptions options_of(const Flags& flags) {
  quant::QuantizeOptions options;
  options.calibration.calibrator = flags.text("calibrator");
  options.calibration.options.percentile = flags.real("percentile", 0.001, 100.0);
  options.bits = static_cast<int>(flags.integer("bits", 2, 8));
  options.calibration.options.codes = activation_codes_of(flags, options.bits);
  options.placement = placement_options_of(flags);
  try {
    options.adjust = quant::parse_adjusts(flags.text("adjust"));
  } catch (const Error& error) {
    throw UsageError(fmt::format("--adjust: {}", error.what()));
  }
  options.adjusting.seed = static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX));
  options.adjusting.threads = threads_of(flags);
  options.target = flags.text("target");
  options.target_options = target_options_of(flags);
  for (const std::string& file : flags.texts("load-ranges")) {
    quant::merge_ranges(options.ranges, quant::load_ranges(file));
  }
  if (flags.given("data")) options.calibration.checkpoint = checkpoint_of(flags);
  options.calibration.checkpoint_seconds = flags.real("checkpoint-seconds", 0, 1e9);
  options.calibration.resume = flags.on("resume");
  options.weights = quant::weight_calibrator_named(flags.text("weight-calibrator"));
  return options;
}

Json ranges_json(const quant::CalibrationTable& table) {
  Json result = Json::object();
  for (const auto& [name, range] : table.ranges) {
    const auto own = table.calibrator_of.find(name);
    result[name] = {{"low", range.low},
                    {"high", range.high},
                    {"calibrator", own == table.calibrator_of.end() ? table.calibrator : own->second}};
  }
  return result;
}

Result describe(const Flags& flags, const quant::QuantizeResult& quantized, double seconds) {
  Result result;
  const quant::PlacementReport& report = quantized.report;
  Json layers = Json::array();
  report::Table table({"layer", "operator", "quantized", "why"});
  size_t count = 0;
  for (const quant::LayerReport& layer : report.layers) {
    layers.push_back(layer_json(layer));
    table.add({layer.name, layer.op, layer.quantized ? "yes" : "no", layer.reason});
    count += layer.quantized ? 1 : 0;
  }
  result.json = {{"output", flags.text("output")},      {"activation_pairs", report.activation_pairs},
                 {"weight_pairs", report.weight_pairs}, {"calibrator", flags.text("calibrator")},
                 {"bits", flags.integer("bits", 2, 8)}, {"ranges", ranges_json(quantized.table)},
                 {"samples", quantized.table.samples},  {"seconds", seconds},
                 {"peak_rss_mb", peak_rss_mb()},        {"adjust", adjust_json(quantized.adjust)},
                 {"mode", flags.text("mode")},          {"cases", cases_json(flags)},
                 {"layers", std::move(layers)},         {"qdq", pairs_json(report)},
                 {"target", flags.text("target")},      {"conversion", to_json(quantized.target)}};
  result.text = table.text() + adjust_text(quantized.adjust) + text_of(quantized.target) +
                fmt::format(
                    "\n{}: {} of {} layers quantized, {} activation pairs, {} weight pairs; "
                    "{} images, {:.1f} s, {:.0f} MB\n",
                    flags.text("output"), count, report.layers.size(), report.activation_pairs,
                    report.weight_pairs, quantized.table.samples, seconds, peak_rss_mb());
  return result;
}

Result run(const Flags& flags, Progress& progress) {
  require_writable(flags.path("output"));
  quant::QuantizeOptions options = options_of(flags);
  if (flags.given("save-ranges")) require_writable(flags.path("save-ranges"));
  ir::Graph graph = read_graph(flags.path("MODEL"));
  formats::require_finite_weights(graph);
  const auto start = std::chrono::steady_clock::now();
  const int threads = threads_of(flags);
  std::string notes;
  std::unique_ptr<data::Loader> loader;
  quant::CalibrationSet calibration;
  int64_t samples = 0;
  if (flags.given("data")) {
    const data::Dataset dataset = dataset_of(flags, notes);
    const data::Preprocess preprocess = preprocess_of(flags, graph.metadata, notes);
    samples = dataset.size();
    loader = loader_of(dataset, preprocess, sample_shape_of(graph, graph.inputs().size()),
                       batch_for(flags, graph, 4096), threads);
    calibration = quant::CalibrationSet::reopened([&loader] {
      loader->seek(0);
      return quant::batches_of(*loader);
    });
    graph.metadata[std::string(data::kPreprocessKey)] = data::to_text(preprocess);
  } else if (!flags.given("load-ranges")) {
    throw UsageError("quantize needs --data FORMAT:PATH to calibrate on, or --load-ranges FILE");
  }
  options.calibration.expected_samples = samples;
  notes += note(quant::unmatched_ranges(graph, options.ranges));
  const quant::QuantizeResult quantized = noting(
      [&] { return "while quantizing " + flags.text("MODEL"); },
      [&] {
        return quant::quantize(std::move(graph), ops::standard(), calibration,
                               api::calibration_runners(threads, flags.text("device")), options, progress);
      });
  if (flags.given("save-ranges")) quant::save_ranges(quantized.table, flags.path("save-ranges"));
  formats::write(quantized.graph, flags.path("output"), {.opset = target_opset(flags)});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::error_code ignored;
  std::filesystem::remove(checkpoint_of(flags), ignored);
  Result result = describe(flags, quantized, seconds);
  result.notes = notes + remarks(quantized.table);
  return result;
}

}  // namespace

Command quantize() {
  std::vector<Flag> flags = {
      {.name = "MODEL", .value = "", .help = "float ONNX file", .required = true},
      {.name = "output", .value = "FILE", .help = "QDQ ONNX file to write", .required = true, .letter = "o"}};
  for (Flag& flag : data_flags("512")) {
    if (flag.name == "data") flag.required = false;
    flags.push_back(std::move(flag));
  }
  for (Flag& flag : placement_flags()) flags.push_back(std::move(flag));
  const std::vector<Flag> own = {
      {.name = "calibrator",
       .value = "NAME",
       .help = "how ranges come from the data",
       .fallback = "auto",
       .choices = calibrator_names()},
      {.name = "percentile",
       .value = "P",
       .help = "share of the values kept, for the percentile calibrator",
       .fallback = "99.99"},
      {.name = "weight-calibrator",
       .value = "NAME",
       .help = "range of each output channel's weights: the largest magnitude, or the least squared error",
       .fallback = "max",
       .choices = {"max", "mse"}},
      {.name = "bits", .value = "N", .help = "2 to 8; below 8 simulated in int8", .fallback = "8"},
      {.name = "batch", .value = "N", .help = "images at a time", .fallback = "16"},
      {.name = "adjust",
       .value = "NAMES",
       .help = adjust_help(),
       .fallback = fmt::format("{}", fmt::join(quant::default_adjusts(), ","))},
      {.name = "save-ranges", .value = "FILE", .help = "write the ranges as JSON"},
      {.name = "load-ranges",
       .value = "FILE",
       .help = "take ranges from a file: of --save-ranges, a TensorRT calibration cache or AIMET "
               "encodings; only what is missing is calibrated. Given several times, a tensor's range is the "
               "union of those in the files (calibrations of parts of the data)",
       .many = true},
      {.name = "checkpoint-seconds",
       .value = "S",
       .help = "keep the calibration in FILE.calibration beside the output after so long, and on interrupt",
       .fallback = "30"},
      {.name = "resume",
       .value = "",
       .help = "go on from that file if there is one: the same bytes come out"},
      {.name = "opset", .value = "N", .help = "least opset of the file", .fallback = "13"},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  for (Flag& flag : target_flags()) flags.push_back(std::move(flag));
  return {.name = "quantize",
          .summary = "place Q/DQ, calibrate, fold batch norms: float ONNX to QDQ ONNX",
          .example = "model.onnx --data imagefolder:photos --samples 512 -o model.qdq.onnx",
          .flags = std::move(flags),
          .run = run,
          .any_device = true};
}

}  // namespace kvant::cli
