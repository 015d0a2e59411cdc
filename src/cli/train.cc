// SPDX-License-Identifier: Apache-2.0
#include "train/train.h"

#include "backends/device_name.h"
#include "base/file.h"
#include "cli/data_flags.h"
#include "cli/model_file.h"
#include "formats/model.h"
#include "ir/qdq.h"
#include "ir/statistics.h"
#include "quant/adjust/fold_batch_norm.h"
#include "report/table.h"
#include "train/loader_source.h"

namespace kvant::cli {
namespace {

// Recipes: a float model from scratch, and the fine-tuning of a QDQ model (qdq-rules 9.3: a hundredth of the
// rate, half a cosine, ranges kept). Folded batch norms leave gradients of very different sizes from network
// to network: a bound on their norm lets one rate do for all.
struct Recipe {
  std::string epochs, learning_rate, warmup, weight_decay, clip_norm;
};
const Recipe kFromScratch = {"10", "0.1", "0.5", "0.0005", "0"};
const Recipe kFineTune = {"2", "0.001", "0", "0.0001", "1"};

constexpr int64_t kBatch = 128;
// Fine-tuning on few images: smaller batches, down to kLeastBatch, until an epoch has so many steps.
constexpr int64_t kLeastBatch = 16, kStepsAnEpoch = 16;

int64_t batch_of(const Flags& flags, const ir::Graph& graph, bool qdq, int64_t images) {
  if (flags.given("batch") || own_batch(graph)) return batch_for(flags, graph, 65536);
  int64_t batch = kBatch;
  while (qdq && batch > kLeastBatch && images / batch < kStepsAnEpoch) batch /= 2;
  return batch;
}

bool is_qdq(const ir::Graph& graph) { return ir::summarize_qdq(graph).weight_pairs > 0; }

data::LoaderOptions loader_options(const Flags& flags, const ir::Graph& graph,
                                   const data::Preprocess& preprocess, int64_t batch) {
  data::LoaderOptions options;
  options.batch = batch;
  options.seed = static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX));
  // Training takes the cores; decoding gets one beside them, which is ahead by a few batches.
  options.threads = 1;
  options.preprocess = preprocess;
  options.sample_shape = sample_shape_of(graph, graph.inputs().size());
  return options;
}

train::LoaderSource training_source(const Flags& flags, const ir::Graph& graph, const data::Dataset& dataset,
                                    const data::Preprocess& preprocess, int64_t batch) {
  data::LoaderOptions options = loader_options(flags, graph, preprocess, batch);
  options.order = data::Order::Shuffled;
  options.tail = data::Tail::Drop;
  options.augment.pad_crop = flags.integer("pad-crop", 0, 1024);
  options.augment.flip = flags.on("flip");
  options.augment.area_low = flags.real("resized-crop", 0.0, 1.0);
  options.batch = std::min(options.batch, dataset.size());
  data::validate(options.augment, preprocess);
  return {dataset, options};
}

struct Sets {
  data::Dataset training;
  std::optional<data::Dataset> validation;
};

// --val names a set; --holdout takes every k-th sample of the training set away from training.
Sets open_sets(const Flags& flags, std::string& notes) {
  const data::Dataset all = dataset_of(flags, notes);
  if (flags.given("val")) return {all, open_data(flags.text("val"), notes)};
  const double share = flags.real("holdout", 0.0, 0.5);
  if (share == 0) return {all, {}};
  const auto every = static_cast<int64_t>(1.0 / share + 0.5);
  std::vector<int64_t> kept, held;
  for (int64_t i = 0; i < all.size(); ++i) (i % every == every - 1 ? held : kept).push_back(i);
  if (held.empty()) fail("--holdout {} leaves no image of {} for validation", share, all.size());
  return {all.select(std::move(kept)), all.select(std::move(held))};
}

double real_or(const Flags& flags, const std::string& name, const std::string& fallback, double low,
               double high) {
  return flags.given(name) ? flags.real(name, low, high) : std::stod(fallback);
}

train::BestBy best_by_named(const std::string& name) {
  if (name == "top1") return train::BestBy::Top1;
  return name == "agreement" ? train::BestBy::Agreement : train::BestBy::Divergence;
}

// The card to train on; -1: the CPU.
int card_of(const Flags& flags) {
  const backends::DeviceName device = backends::parse_device(flags.text("device"));
  if (device.kind == backends::DeviceKind::EmulatedCuda)
    fail("training does not run in the emulator: use --device cpu or cuda");
  return device.kind == backends::DeviceKind::Cuda ? device.ordinal : -1;
}

train::TrainOptions options_of(const Flags& flags, bool qdq, const std::filesystem::path& output) {
  const Recipe& recipe = qdq ? kFineTune : kFromScratch;
  train::TrainOptions options;
  options.epochs = flags.given("epochs") ? flags.integer("epochs", 1, 100000) : std::stoll(recipe.epochs);
  options.optimizer =
      flags.text("optimizer") == "adamw" ? train::OptimizerKind::AdamW : train::OptimizerKind::Sgd;
  options.learning_rate = real_or(flags, "lr", recipe.learning_rate, 0, 1000);
  options.final_learning_rate = qdq ? options.learning_rate * 0.01 : 0.0;
  options.warmup_epochs = real_or(flags, "warmup", recipe.warmup, 0, 1000);
  options.weight_decay = real_or(flags, "weight-decay", recipe.weight_decay, 0, 1);
  options.momentum = flags.real("momentum", 0, 1);
  options.label_smoothing = flags.real("label-smoothing", 0, 0.99);
  options.clip_norm = real_or(flags, "clip-norm", recipe.clip_norm, 0, 1e9);
  options.nesterov = flags.on("nesterov");
  if (flags.on("freeze-bn")) options.freeze_batch_norm = 0;
  if (flags.given("freeze-batch-norm")) options.freeze_batch_norm = flags.real("freeze-batch-norm", 0, 1e6);
  options.ranges = train::ranges_named(flags.text("ranges"));
  if (flags.given("freeze-ranges")) options.freeze_ranges = flags.real("freeze-ranges", 0, 1e6);
  options.range_momentum = flags.real("range-momentum", 0, 1);
  options.scale_learning_rate = flags.real("scale-lr", 0, 1000);
  options.distill_weight = flags.real("distill-weight", 0, 1);
  options.distill_temperature = flags.real("distill-temperature", 0, 1000);
  options.keep_best = flags.text("keep") == "best";
  if (flags.given("best-by")) options.best_by = best_by_named(flags.text("best-by"));
  options.seed = static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX));
  options.threads = threads_of(flags);
  options.card = card_of(flags);
  options.checkpoint =
      flags.given("checkpoint") ? flags.path("checkpoint") : std::filesystem::path(output.string() + ".ckpt");
  options.resume = flags.on("resume");
  options.checkpoint_seconds = flags.real("checkpoint-seconds", 0, 1e9);
  return options;
}

const char* name_of(train::BestBy by) {
  switch (by) {
    case train::BestBy::Top1:
      return "top1";
    case train::BestBy::Agreement:
      return "agreement";
    case train::BestBy::Divergence:
      return "divergence";
  }
  return "";
}

Json fraction(double percent) { return percent < 0 ? Json() : Json(percent / 100.0); }
Json number(double value) { return value < 0 ? Json() : Json(value); }
std::string percent_text(double value) {
  return value < 0 ? std::string("-") : fmt::format("{:.2f} %", value);
}
std::string number_text(double value) { return value < 0 ? std::string("-") : fmt::format("{:.5f}", value); }

Json history_json(const train::TrainResult& trained) {
  Json history = Json::array();
  for (const train::EpochRecord& e : trained.history) {
    history.push_back({{"epoch", e.epoch},
                       {"loss", e.loss},
                       {"train_top1", fraction(e.train_top1)},
                       {"val_top1", fraction(e.val.top1)},
                       {"val_agreement", fraction(e.val.agreement)},
                       {"val_divergence", number(e.val.divergence)},
                       {"seconds", e.seconds}});
  }
  return history;
}

std::string history_text(const train::TrainResult& trained) {
  bool taught = trained.start_val.agreement >= 0;
  for (const train::EpochRecord& e : trained.history) taught = taught || e.val.agreement >= 0;
  std::vector<std::string> columns{"epoch", "loss", "train top-1", "val top-1"};
  if (taught) columns.insert(columns.end(), {"agreement", "divergence"});
  columns.emplace_back("seconds");
  report::Table table(columns, std::vector<report::Align>(columns.size(), report::Align::Right));
  const auto add = [&](std::vector<std::string> cells, const train::Scores& val, std::string seconds) {
    cells.push_back(percent_text(val.top1));
    if (taught) cells.insert(cells.end(), {percent_text(val.agreement), number_text(val.divergence)});
    cells.push_back(std::move(seconds));
    table.add(cells);
  };
  if (trained.start_val != train::Scores{}) add({"0", "-", "-"}, trained.start_val, "-");
  for (const train::EpochRecord& e : trained.history) {
    add({std::to_string(e.epoch), fmt::format("{:.4f}", e.loss), percent_text(e.train_top1)}, e.val,
        fmt::format("{:.1f}", e.seconds));
  }
  return table.text();
}

// The best epoch, by what made it the best.
std::string best_text(const train::TrainResult& trained) {
  if (trained.best_val == train::Scores{}) return "";
  const train::Scores& best = trained.best_val;
  switch (trained.best_by) {
    case train::BestBy::Top1:
      return fmt::format(", best val top-1 {} (epoch {})", percent_text(best.top1), trained.best_epoch);
    case train::BestBy::Agreement:
      return fmt::format(", best agreement with the teacher {} (epoch {})", percent_text(best.agreement),
                         trained.best_epoch);
    case train::BestBy::Divergence:
      return fmt::format(", least divergence from the teacher {} (epoch {})", number_text(best.divergence),
                         trained.best_epoch);
  }
  return "";
}

Result describe(const Flags& flags, const train::TrainResult& trained, size_t folded) {
  Result result;
  result.json = {{"output", flags.text("output")},
                 {"epochs", trained.history.size()},
                 {"history", history_json(trained)},
                 {"best_val_top1", fraction(trained.best_val.top1)},
                 {"best_val_agreement", fraction(trained.best_val.agreement)},
                 {"best_val_divergence", number(trained.best_val.divergence)},
                 {"best_by", trained.best_val == train::Scores{} ? Json() : Json(name_of(trained.best_by))},
                 {"best_epoch", trained.best_epoch},
                 {"start_val_top1", fraction(trained.start_val.top1)},
                 {"start_val_agreement", fraction(trained.start_val.agreement)},
                 {"start_val_divergence", number(trained.start_val.divergence)},
                 {"folded_batch_norms", folded},
                 {"images_per_second", trained.images_per_second()}};
  result.text = history_text(trained) +
                fmt::format("\n{}: {:.0f} images/s", flags.text("output"), trained.images_per_second());
  result.text += best_text(trained);
  result.text += "\n";
  return result;
}

Result run(const Flags& flags, Progress& progress) {
  const std::filesystem::path output = flags.path("output");
  require_writable(output);
  ir::Graph graph = read_graph(flags.path("MODEL"));
  formats::require_finite_weights(graph);
  const bool qdq = is_qdq(graph);
  std::string notes;
  const data::Preprocess preprocess = preprocess_of(flags, graph.metadata, notes);
  const Sets sets = open_sets(flags, notes);
  const int64_t batch = batch_of(flags, graph, qdq, sets.training.size());
  train::LoaderSource source = training_source(flags, graph, sets.training, preprocess, batch);
  std::optional<train::LoaderSource> validation;
  if (sets.validation) validation.emplace(*sets.validation, loader_options(flags, graph, preprocess, batch));
  train::TrainOptions options = options_of(flags, qdq, output);
  std::optional<ir::Graph> teacher;
  if (flags.given("distill")) {
    teacher = read_graph(flags.path("distill"));
    options.teacher = &*teacher;
  }
  const train::TrainResult trained = noting(
      [&] { return "while training " + flags.text("MODEL"); },
      [&] { return train::train(graph, source, validation ? &*validation : nullptr, options, progress); });
  // Behind weights of integer codes a batch norm folds without changing one of them (in a float model it
  // stays: quantize folds it, after training has ended).
  const size_t folded = qdq ? quant::fold_batch_norm(graph) : 0;
  graph.metadata[std::string(data::kPreprocessKey)] = data::to_text(preprocess);
  formats::write(graph, output);
  std::error_code ignored;
  std::filesystem::remove(options.checkpoint, ignored);
  Result result = describe(flags, trained, folded);
  result.notes = notes;
  return result;
}

std::vector<Flag> schedule_flags() {
  return {
      {.name = "holdout",
       .value = "SHARE",
       .help = "without --val: keep this share of the images for validation",
       .fallback = "0"},
      {.name = "epochs",
       .value = "N",
       .help =
           fmt::format("passes over the data (default {}; QDQ {})", kFromScratch.epochs, kFineTune.epochs)},
      {.name = "batch",
       .value = "N",
       .help = fmt::format("images a step (default {}; QDQ down to {} where an epoch would have less than {} "
                           "steps)",
                           kBatch, kLeastBatch, kStepsAnEpoch)},
      {.name = "optimizer",
       .value = "NAME",
       .help = "with cosine schedule",
       .fallback = "sgd",
       .choices = {"sgd", "adamw"}},
      {.name = "lr",
       .value = "X",
       .help = fmt::format("learning rate (default {}; QDQ {})", kFromScratch.learning_rate,
                           kFineTune.learning_rate)},
      {.name = "warmup",
       .value = "EPOCHS",
       .help = fmt::format("linear warm-up (default {}; QDQ {})", kFromScratch.warmup, kFineTune.warmup)},
      {.name = "weight-decay",
       .value = "X",
       .help = fmt::format("not on biases and norms (default {}; QDQ {})", kFromScratch.weight_decay,
                           kFineTune.weight_decay)},
      {.name = "momentum", .value = "X", .help = "of SGD", .fallback = "0.9"},
      {.name = "nesterov", .value = "", .help = "Nesterov's form of momentum"},
      {.name = "label-smoothing", .value = "X", .help = "share given to the other classes", .fallback = "0"},
      {.name = "clip-norm",
       .value = "X",
       .help = fmt::format("largest gradient norm, 0: none (default {}; QDQ {})", kFromScratch.clip_norm,
                           kFineTune.clip_norm)},
  };
}

std::vector<Flag> quantization_flags() {
  return {
      {.name = "freeze-bn", .value = "", .help = "the same as --freeze-batch-norm 0"},
      {.name = "freeze-batch-norm",
       .value = "EPOCH",
       .help = "after so many epochs batch norms use and keep their running statistics"},
      {.name = "ranges",
       .value = "MODE",
       .help = "quantization scales in QAT: as calibrated, of the last batch, a moving average, or trained "
               "(LSQ)",
       .fallback = "fixed",
       .choices = train::ranges_names()},
      {.name = "range-momentum",
       .value = "X",
       .help = "of --ranges average: share of the old scale at each step",
       .fallback = "0.99"},
      {.name = "scale-lr",
       .value = "FACTOR",
       .help = "of --ranges learned: on the learning rate of scales",
       .fallback = "0.05"},
      {.name = "freeze-ranges", .value = "EPOCH", .help = "after so many epochs no scale changes any more"},
      {.name = "distill", .value = "MODEL", .help = "float model whose outputs are imitated"},
      {.name = "distill-weight",
       .value = "X",
       .help = "share of the teacher in the loss; at 1 the images need no labels",
       .fallback = "0.5"},
      {.name = "distill-temperature", .value = "T", .help = "softens both outputs", .fallback = "4"},
      {.name = "keep",
       .value = "WHICH",
       .help = "the epoch to write when there is a validation set",
       .fallback = "best",
       .choices = {"best", "last"}},
      {.name = "best-by",
       .value = "WHAT",
       .help = "what is best on the validation set: labels, or nearness to the teacher (default: top1; "
               "where labels are missing or not in the loss divergence)",
       .choices = {"top1", "agreement", "divergence"}},
  };
}

std::vector<Flag> other_flags() {
  return {
      {.name = "pad-crop",
       .value = "N",
       .help = "augmentation: pad by N pixels, crop at random",
       .fallback = "0"},
      {.name = "flip", .value = "", .help = "augmentation: mirror left-right at random"},
      {.name = "resized-crop",
       .value = "AREA",
       .help = "augmentation: random part of at least this area fraction, resized; 0: off",
       .fallback = "0"},
      {.name = "checkpoint",
       .value = "FILE",
       .help = "where progress is kept (default: OUTPUT.ckpt, removed at the end)"},
      {.name = "checkpoint-seconds",
       .value = "S",
       .help = "a checkpoint after so long, and after every epoch",
       .fallback = "30"},
      {.name = "resume", .value = "", .help = "go on from the checkpoint if there is one"},
  };
}

}  // namespace

Command train() {
  std::vector<Flag> flags = {
      {.name = "MODEL",
       .value = "",
       .help = "float ONNX file (trained from its weights) or QDQ file (fine-tuned)",
       .required = true},
      {.name = "output", .value = "FILE", .help = "ONNX file to write", .required = true, .letter = "o"},
      {.name = "val",
       .value = "FORMAT:PATH",
       .help = "validation set; the epoch that is best on it is kept"}};
  for (Flag& flag : data_flags("all")) flags.push_back(std::move(flag));
  for (const std::vector<Flag>& part : {schedule_flags(), quantization_flags(), other_flags()}) {
    flags.insert(flags.end(), part.begin(), part.end());
  }
  return {.name = "train",
          .summary = "train a float model, or fine-tune a QDQ model (QAT); the result is again ONNX",
          .example = "model.qdq.onnx --data imagefolder:train --val imagefolder:val -o model.qat.onnx",
          .flags = std::move(flags),
          .run = run,
          .any_device = true};
}

}  // namespace kvant::cli
