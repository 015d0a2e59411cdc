// SPDX-License-Identifier: Apache-2.0
#include "choose/model_workshop.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "choose/layers.h"
#include "choose/sensitivity.h"
#include "ir/infer.h"
#include "ir/statistics.h"
#include "quant/adjust/fold_batch_norm.h"
#include "train/plugin.h"

namespace kvant::choose {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

data::LoaderOptions sequential(data::LoaderOptions options, const data::Dataset& dataset) {
  options.batch = std::min(options.batch, dataset.size());
  options.order = data::Order::Sequential;
  options.tail = data::Tail::Keep;
  options.cache_bytes = 0;
  return options;
}

}  // namespace

std::vector<Variant> variants_of(const std::vector<std::string>& calibrators,
                                 const std::vector<std::string>& repair) {
  std::vector<Variant> variants;
  for (const std::string& name : calibrators) variants.push_back({name, name, quant::default_adjusts()});
  if (repair.empty() || calibrators.empty()) return variants;
  const auto robust = std::ranges::find(calibrators, "auto");
  const std::string calibrator = robust != calibrators.end() ? *robust : calibrators.back();
  const bool automatic = repair.size() == 1 && repair[0] == quant::kAutoAdjust;
  const std::string steps = automatic ? "repair" : fmt::format("{}", fmt::join(repair, " + "));
  variants.push_back({calibrator + " + " + steps, calibrator, repair});
  return variants;
}

// Scores on the samples held out; the float model runs over them when the first score is asked for.
class ModelWorkshop::Judge {
 public:
  Judge(const ir::Graph& floats, const data::Dataset& scoring, WorkshopTools& tools)
      : loader_(scoring, sequential(tools.loader, scoring)),
        samples_(loader_, std::min(tools.loader.batch, scoring.size())),
        scorer_(floats, tools.ops, tools.make_runner, samples_, tools.progress),
        progress_(tools.progress),
        count_(scoring.size()) {}

  Score of_float() const { return scorer_.of_float(); }
  Score score(const ir::Graph& graph, const std::string& name) {
    progress_.begin("scoring " + name, count_, "images");
    const Score score = scorer_.score(graph, progress_);
    progress_.end();
    return score;
  }

 private:
  data::Loader loader_;
  Samples samples_;
  Scorer scorer_;
  Progress& progress_;
  int64_t count_;
};

ModelWorkshop::ModelWorkshop(ir::Graph floats, DataParts data, WorkshopTools tools, WorkshopOptions options,
                             SearchState& state)
    : floats_(std::move(floats)),
      data_(std::move(data)),
      tools_(std::move(tools)),
      options_(std::move(options)),
      state_(state),
      begin_(now()) {
  const ir::QdqSummary pairs = ir::summarize_qdq(floats_);
  if (pairs.activation_pairs + pairs.weight_pairs > 0)
    fail("the model is quantized already: auto starts from the float model");
  ir::infer_types(floats_, tools_.ops);
}

ModelWorkshop::~ModelWorkshop() = default;

double ModelWorkshop::seconds() const { return now() - begin_; }

std::vector<std::string> ModelWorkshop::variants() const {
  std::vector<std::string> names;
  for (const Variant& variant : options_.variants) names.push_back(variant.name);
  return names;
}

const Variant& ModelWorkshop::variant_of(const std::string& name) const {
  const auto asked = std::ranges::find(options_.variants, name, &Variant::name);
  if (asked != options_.variants.end()) return *asked;
  const auto derived = derived_.find(name);
  KVANT_CHECK(derived != derived_.end(), "no variant " + name);
  return derived->second;
}

std::optional<std::string> ModelWorkshop::with_tables(const std::string& name) {
  if (options_.placement.activation_tables) return std::nullopt;
  quant::PlaceOptions placement = options_.placement;
  placement.activation_tables = true;
  ir::Graph folded =
      floats_;  // as every variant has it: a batch norm stands between a layer and its activation
  quant::fold_batch_norm(folded);
  if (quant::place(folded, placement).curves().empty()) return std::nullopt;
  Variant variant = variant_of(name);
  variant.name += " + activation tables";
  variant.tables = true;
  return derived_.insert_or_assign(variant.name, variant).first->first;
}

const ir::Graph& ModelWorkshop::quantized(const std::string& name) {
  const auto made = quantized_.find(name);
  if (made != quantized_.end()) return made->second;
  const Variant& variant = variant_of(name);
  quant::QuantizeOptions options;
  options.calibration.calibrator = variant.calibrator;
  options.calibration.expected_samples = data_.calibration.size();
  options.adjust = variant.adjust;
  options.adjusting.seed = options_.seed;
  options.adjusting.threads = options_.threads;
  options.placement = options_.placement;
  if (variant.tables) options.placement.activation_tables = true;
  data::Loader loader(data_.calibration, sequential(tools_.loader, data_.calibration));
  const auto batches = quant::CalibrationSet::reopened([&loader] {
    loader.seek(0);
    return quant::batches_of(loader);
  });
  ir::Graph graph =
      quant::quantize(floats_, tools_.ops, batches, tools_.make_runner, options, tools_.progress).graph;
  ir::infer_types(graph, tools_.ops);
  return quantized_.emplace(name, std::move(graph)).first->second;
}

ir::Graph ModelWorkshop::mixed(const Recipe& recipe) {
  ir::Graph graph = quantized(recipe.variant);
  std::set<std::string> integers;
  for (const std::string& layer : quantized_layers(graph)) {
    if (!recipe.floats.contains(layer)) integers.insert(layer);
  }
  keep_layers(graph, integers);
  ir::infer_types(graph, tools_.ops);
  return graph;
}

const ir::Graph& ModelWorkshop::tuned(const Recipe& recipe, double seconds_left) {
  const auto made = tuned_.find(recipe.variant);
  if (made != tuned_.end()) return made->second;
  const ir::Graph& start = quantized(recipe.variant);
  FineTuneOptions options = options_.tuning;
  const std::string key = "epochs " + recipe.variant;
  const double* chosen = state_.number(key);
  // A checkpoint without the number of epochs that it counts on is of another search.
  options.resume = options_.resume && chosen != nullptr;
  const FineTuning tuning(data_.training, tools_.loader, options);
  const int64_t epochs =
      chosen != nullptr ? static_cast<int64_t>(*chosen) : tuning.epochs_within(seconds_left, start, floats_);
  if (chosen == nullptr) state_.set_number(key, static_cast<double>(epochs));
  ir::Graph graph = tuning.run(start, floats_, epochs, tools_.progress);
  ir::infer_types(graph, tools_.ops);
  return tuned_.emplace(recipe.variant, std::move(graph)).first->second;
}

ir::Graph ModelWorkshop::make(const Recipe& recipe, double seconds_left) {
  switch (recipe.stage) {
    case Stage::Float:
      return floats_;
    case Stage::Ptq:
      return quantized(recipe.variant);
    case Stage::Mixed:
      return mixed(recipe);
    case Stage::Qat:
      return tuned(recipe, seconds_left);
  }
  return floats_;
}

Measured ModelWorkshop::measure(const Recipe& recipe, double seconds_left) {
  const double begin = now();
  const ir::Graph graph = make(recipe, seconds_left);
  if (!judge_) judge_ = std::make_unique<Judge>(floats_, data_.scoring, tools_);
  const bool is_float = recipe.stage == Stage::Float;
  Measured measured;
  measured.score = is_float
                       ? judge_->of_float()
                       : judge_->score(graph, fmt::format("{} {}", name_of(recipe.stage), recipe.variant));
  const Race times = race(floats_, graph, tools_.ops, tools_.backends, options_.timing);
  measured.float_ms = times.reference_ms;
  measured.ms = is_float ? times.reference_ms : times.ms;
  measured.seconds = now() - begin;
  return measured;
}

Units ModelWorkshop::units(const std::string& variant, double seconds_left) {
  const data::Dataset few = data_.calibration.spread(options_.layer_samples);
  data::Loader loader(few, sequential(tools_.loader, few));
  Samples samples(loader, std::min(tools_.loader.batch, few.size()));
  SensitivityOptions options{.timing = options_.timing,
                             .budget_seconds = std::isinf(seconds_left) ? 0 : std::max(1e-3, seconds_left),
                             .state = options_.layers_state,
                             .resume = options_.resume,
                             .data = fmt::format("{} of {}", few.size(), data_.calibration.spec())};
  const Sensitivity found = sensitivity(quantized(variant), tools_.ops, samples, tools_.make_runner,
                                        tools_.backends, options, tools_.progress);
  if (found.left == 0 && !options_.layers_state.empty()) {
    std::error_code ignored;
    std::filesystem::remove(options_.layers_state, ignored);
  }
  return units_of(found);
}

std::optional<std::string> ModelWorkshop::qat_missing() { return train::plugin_missing(); }

}  // namespace kvant::choose
