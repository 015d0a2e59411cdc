// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <filesystem>

#include "api/calibration_runner.h"
#include "base/file.h"
#include "base/nearest.h"
#include "choose/model_workshop.h"
#include "choose/score_file.h"
#include "choose/search.h"
#include "cli/data_flags.h"
#include "cli/gathered.h"
#include "cli/model_file.h"
#include "cli/placement_flags.h"
#include "formats/model.h"
#include "ops/ops.h"
#include "quant/calibrate/calibrator.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

namespace fs = std::filesystem;

// The file to write: -o itself, or MODEL.auto.onnx in the folder that it names.
fs::path output_of(const Flags& flags) {
  fs::path output = flags.path("output");
  std::error_code ignored;
  if (!fs::is_directory(output, ignored) && output.extension() == ".onnx") return output;
  return output / (flags.path("MODEL").stem().string() + ".auto.onnx");
}

// What is kept beside the output until it is there, the state even longer.
fs::path beside(const fs::path& output, const char* ending) { return output.string() + ending; }

std::vector<std::string> calibrators_of(const Flags& flags) {
  std::vector<std::string> known, chosen;
  for (const quant::CalibratorEntry& entry : quant::calibrators()) known.emplace_back(entry.name);
  const std::string text = flags.text("calibrators");
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    if (std::ranges::find(known, name) == known.end())
      throw UsageError(fmt::format("--calibrators: no calibrator '{}'{}", name, nearest_hint(name, known)));
    if (std::ranges::find(chosen, name) != chosen.end())
      throw UsageError(fmt::format("--calibrators: '{}' is given twice", name));
    chosen.push_back(name);
    begin = end + 1;
  }
  return chosen;
}

choose::SearchOptions search_options_of(const Flags& flags) {
  choose::SearchOptions options;
  options.max_drop = flags.real("max-drop", 0, 100) / 100;
  if (flags.given("by")) {
    options.by = flags.text("by") == "top1" ? choose::By::Top1 : choose::By::Agreement;
  }
  options.mixed = !flags.on("no-mixed");
  options.qat = !flags.on("no-qat");
  options.give_up = flags.real("give-up", 0, 1);
  options.budget_seconds = 60 * flags.real("budget", 0, 1e7);
  return options;
}

choose::WorkshopOptions workshop_options_of(const Flags& flags, const fs::path& output) {
  choose::WorkshopOptions options;
  std::vector<std::string> repair;
  try {
    repair = quant::parse_adjusts(flags.text("adjust"));
  } catch (const Error& error) {
    throw UsageError(fmt::format("--adjust: {}", error.what()));
  }
  options.variants = choose::variants_of(calibrators_of(flags), repair);
  options.placement = placement_options_of(flags);
  options.threads = threads_of(flags);
  options.seed = static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX));
  options.timing = {.batch = flags.integer("time-batch", 1, 65536),
                    .threads = options.threads,
                    .iterations = flags.integer("iterations", 1, 1'000'000)};
  options.tuning.epochs = flags.given("epochs") ? flags.integer("epochs", 1, 100000) : 0;
  options.tuning.learning_rate = flags.real("lr", 0, 1000);
  options.tuning.seed = options.seed;
  options.tuning.threads = options.threads;
  options.tuning.checkpoint = beside(output, ".auto.ckpt");
  options.layers_state = beside(output, ".auto.layers");
  options.resume = flags.on("resume");
  return options;
}

// Everything that measurements depend on. Not what is made of them: --max-drop, --budget and the like.
std::string conditions(const Flags& flags, const choose::DataParts& data,
                       const data::Preprocess& preprocess) {
  std::string text =
      fmt::format("{} {} {} {} {} {}", data.calibration.spec(), data.calibration.size(), data.training.size(),
                  data.scoring.spec(), data.scoring.size(), data::to_text(preprocess));
  for (const char* name : {"batch", "seed", "time-batch", "iterations", "epochs", "lr", "mode", "case",
                           "attention", "activation-tables"}) {
    text += fmt::format(" {}={}", name, fmt::join(flags.texts(name), ","));
  }
  if (flags.given("spec")) text += read_text(flags.path("spec"));
  return text + fmt::format(" threads={}", threads_of(flags));
}

Json share(const std::optional<double>& value) { return value ? Json(*value) : Json(); }
std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.2f}", 100 * *value) : "-";
}

Json trial_json(const choose::Trial& trial) {
  const choose::Measured& m = trial.measured;
  return {{"name", trial.name},
          {"stage", choose::name_of(trial.recipe.stage)},
          {"float_layers", trial.recipe.floats},
          {"top1", share(m.score.top1)},
          {"agreement", share(m.score.agreement)},
          {"drop", trial.drop},
          {"relative_error", m.score.relative_error},
          {"latency_ms", m.ms},
          {"float_latency_ms", m.float_ms},
          {"speedup", m.speedup()},
          {"front", trial.front},
          {"verdict", trial.verdict},
          {"seconds", m.seconds}};
}

// With `written` the trial whose model is in the output.
Result describe(const choose::Outcome& outcome, const fs::path& output, std::optional<size_t> written) {
  using report::Align;
  Result result;
  report::Table table(
      {"tried", "top-1 %", "agree %", "drop", "ms", "speed-up", "verdict"},
      {Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right, Align::Left});
  Json tried = Json::array(), skipped = Json::array();
  for (const choose::Trial& trial : outcome.trials) {
    tried.push_back(trial_json(trial));
    table.add({trial.name, percent(trial.measured.score.top1), percent(trial.measured.score.agreement),
               percent(trial.drop), fmt::format("{:.3f}", trial.measured.ms),
               fmt::format("{:.2f}", trial.measured.speedup()), trial.verdict});
  }
  result.text = table.text();
  for (const choose::Skipped& entry : outcome.skipped) {
    skipped.push_back({{"name", entry.what}, {"reason", entry.why}});
    result.text += fmt::format("not tried: {}: {}\n", entry.what, entry.why);
  }
  const choose::Trial& floats = outcome.trials.front();
  result.json = {{"output", written ? Json(output.string()) : Json()},
                 {"met", outcome.chosen.has_value()},
                 {"chosen", written ? Json(outcome.trials[*written].name) : Json()},
                 {"by", outcome.by == choose::By::Top1 ? "top1" : "agreement"},
                 {"samples", floats.measured.score.samples},
                 {"tried", std::move(tried)},
                 {"skipped", std::move(skipped)},
                 {"out_of_time", outcome.out_of_time},
                 {"sentence", outcome.sentence}};
  if (written) result.text += fmt::format("\n{}: {}\n", output.string(), outcome.sentence);
  return result;
}

std::string remarks(const choose::Outcome& outcome, double max_drop, bool asked) {
  const int64_t samples = outcome.trials.front().measured.score.samples;
  std::string notes;
  if (outcome.by == choose::By::Agreement && !asked)
    notes += "note: the samples have no labels that fit the model; what counts is agreement with it\n";
  if (max_drop * static_cast<double>(samples) < 1) {
    notes += fmt::format(
        "note: one of the {} samples held out is {:.2f} points, so --max-drop {:g} allows no loss at all\n",
        samples, 100.0 / static_cast<double>(samples), 100 * max_drop);
  }
  return notes;
}

data::LoaderOptions loader_options(const Flags& flags, const ir::Graph& graph,
                                   const data::Preprocess& preprocess) {
  data::LoaderOptions options;
  options.batch = batch_for(flags, graph, 4096);
  options.threads = threads_of(flags);
  options.preprocess = preprocess;
  options.sample_shape = sample_shape_of(graph, graph.inputs().size());
  return options;
}

choose::DataParts data_of(const Flags& flags, std::string& notes) {
  const data::Dataset all = open_data(flags.text("data"), notes);
  std::optional<data::Dataset> validation;
  if (flags.given("val")) validation = open_data(flags.text("val"), notes);
  const int64_t most = int64_t{1} << 40;
  const int64_t calibration = flags.text("samples") == "all" ? all.size() : flags.integer("samples", 1, most);
  choose::DataParts parts = choose::parts_of(all, validation, flags.real("holdout", 0.001, 0.5), calibration);
  if (flags.text("val-samples") != "all")
    parts.scoring = parts.scoring.spread(flags.integer("val-samples", 1, most));
  return parts;
}

// The search, and both models layer by layer.
void write_report(const Flags& flags, const Json& found, Progress& progress) {
  Gathered gathered({.threads = flags.given("threads") ? flags.text("threads") : "",
                     .iterations = flags.integer("iterations", 1, 1'000'000),
                     .time_models = true},
                    progress);
  gathered.add_result("auto", flags.path("MODEL"), found);
  gathered.add(flags.path("MODEL"), true);
  if (const std::string output = report::text_in(found, "output"); !output.empty())
    gathered.add(output, true);
  gathered.look_at_models();
  write_text(flags.path("report"), gathered.page(flags.path("MODEL").filename().string() + " in INT8"));
}

Result run(const Flags& flags, Progress& progress) {
  const choose::SearchOptions search_options = search_options_of(flags);
  const fs::path output = output_of(flags);
  const choose::WorkshopOptions workshop_options = workshop_options_of(flags, output);
  ir::Graph graph = read_graph(flags.path("MODEL"));
  formats::require_finite_weights(graph);
  std::string notes;
  const data::Preprocess preprocess = preprocess_of(flags, graph.metadata, notes);
  const choose::DataParts data = data_of(flags, notes);
  const data::LoaderOptions loader = loader_options(flags, graph, preprocess);
  graph.metadata[std::string(data::kPreprocessKey)] = data::to_text(preprocess);
  std::error_code refused;
  if (output != flags.path("output")) fs::create_directories(output.parent_path(), refused);
  require_writable(output);
  if (flags.given("report")) require_writable(flags.path("report"));
  choose::SearchState state(beside(output, ".auto"),
                            choose::fingerprint(graph, conditions(flags, data, preprocess)),
                            flags.on("resume"));
  const quant::RunnerFactory runners = api::calibration_runners(threads_of(flags));
  Result result =
      noting([&] { return "while searching for " + flags.text("MODEL"); },
             [&] {
               choose::ModelWorkshop workshop(
                   std::move(graph), data, {ops::standard(), runners, backends::shared(), loader, progress},
                   workshop_options, state);
               choose::RememberingWorkshop remembering(workshop, state);
               const choose::Outcome outcome = choose::search(remembering, search_options);
               const auto written = outcome.chosen || !flags.on("keep-best") ? outcome.chosen : outcome.best;
               if (written) {
                 formats::write(workshop.make(outcome.trials[*written].recipe, 0), output);
                 std::error_code ignored;
                 fs::remove(workshop_options.tuning.checkpoint, ignored);
               }
               Result found = describe(outcome, output, written);
               found.json["max_drop"] = search_options.max_drop;
               found.json["seconds"] = workshop.seconds();
               if (!written) found.failure = outcome.sentence;
               notes += remarks(outcome, search_options.max_drop, flags.given("by"));
               return found;
             });
  result.notes = notes;
  if (flags.given("report")) write_report(flags, result.json, progress);
  return result;
}

std::vector<Flag> search_flags() {
  return {
      {.name = "max-drop",
       .value = "POINTS",
       .help = "what the result may lose, in points of top-1 (or of agreement)",
       .required = true},
      {.name = "val",
       .value = "FORMAT:PATH",
       .help = "images that the models are judged by; without it a part of --data is held out"},
      {.name = "val-samples", .value = "N", .help = "use N of these, spread over the set", .fallback = "all"},
      {.name = "holdout", .value = "SHARE", .help = "without --val: the share held out", .fallback = "0.3"},
      {.name = "by",
       .value = "WHAT",
       .help = "what may drop (default: top1 where the images have labels): top-1, or agreement with the "
               "float model's answers",
       .choices = {"top1", "agreement"}},
      {.name = "budget",
       .value = "MINUTES",
       .help = "stop after so long, at the end of what is under way; 0: no limit",
       .fallback = "0"},
      {.name = "resume",
       .value = "",
       .help =
           "go on from OUTPUT.auto: what was measured is not measured again, also for another --max-drop"},
      {.name = "keep-best",
       .value = "",
       .help = "where the drop cannot be met write what lost least, if it is faster than float"},
      {.name = "report",
       .value = "FILE",
       .help = "HTML page of all that was tried, and of both models layer by layer"},
      {.name = "calibrators",
       .value = "NAMES",
       .help = "tried in this order",
       .fallback = "max,auto,percentile,mse,entropy"},
      {.name = "adjust",
       .value = "NAMES",
       .help = "repair steps tried after these; none: not tried",
       .fallback = "auto"},
      {.name = "no-mixed", .value = "", .help = "no mixed precision"},
      {.name = "no-qat", .value = "", .help = "no training"},
      {.name = "give-up",
       .value = "SHARE",
       .help = "train as well where mixed precision gives up more of the time that INT8 saves",
       .fallback = "0.25"},
      {.name = "epochs",
       .value = "N",
       .help = "of training, at most (default: 5,000 images' worth, 20 at most)"},
      {.name = "lr", .value = "X", .help = "learning rate of training", .fallback = "0.0005"},
      {.name = "batch", .value = "N", .help = "images at a time", .fallback = "32"},
      {.name = "time-batch", .value = "N", .help = "batch size of the timed plans", .fallback = "1"},
      {.name = "iterations", .value = "N", .help = "timed runs of each plan", .fallback = "100"},
  };
}

}  // namespace

Command automatic() {
  std::vector<Flag> flags = {{.name = "MODEL", .value = "", .help = "float ONNX file", .required = true},
                             {.name = "output",
                              .value = "FILE|DIR",
                              .help = "ONNX file to write, or folder for it (MODEL.auto.onnx)",
                              .required = true,
                              .letter = "o"}};
  for (Flag& flag : data_flags("512")) {
    if (flag.name == "samples") flag.help = "calibrate on N samples, spread over the set";
    flags.push_back(std::move(flag));
  }
  for (Flag& flag : placement_flags()) flags.push_back(std::move(flag));
  for (Flag& flag : search_flags()) flags.push_back(std::move(flag));
  return {.name = "auto",
          .summary = "the fastest model within an accuracy budget: PTQ, mixed precision, QAT",
          .example = "model.onnx --data imagefolder:photos --max-drop 1 -o model.qdq.onnx",
          .flags = std::move(flags),
          .run = run};
}

}  // namespace kvant::cli
