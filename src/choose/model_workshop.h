// SPDX-License-Identifier: Apache-2.0
// The workshop of real models: quantizes, mixes and trains them, scores them on samples and times them on the
// engine.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "choose/data_parts.h"
#include "choose/fine_tune.h"
#include "choose/search_state.h"
#include "choose/timing.h"
#include "choose/workshop.h"
#include "data/loader.h"
#include "engine/backend.h"
#include "quant/quantize.h"

namespace kvant::choose {

// A way of post-training quantization.
struct Variant {
  std::string name, calibrator;
  std::vector<std::string> adjust;  // as quant::parse_adjusts() gives
  bool tables = false;              // pairs before activations, whatever the placement's options say
};

// The calibrators in their order with the default steps, then, where `repair` holds any, the last of them
// called "auto" (else the last) with these steps. Names tell what is done: they are what a state remembers.
std::vector<Variant> variants_of(const std::vector<std::string>& calibrators,
                                 const std::vector<std::string>& repair);

struct WorkshopOptions {
  std::vector<Variant> variants;
  quant::PlaceOptions placement;
  TimingOptions timing;
  FineTuneOptions tuning;
  uint64_t seed = 0;
  int threads = 1;
  int64_t layer_samples = 64;          // of the calibration samples that layers are measured on, at most
  std::filesystem::path layers_state;  // where that goes on from; empty: nowhere
  bool resume = false;
};

struct WorkshopTools {
  const ir::OpTable& ops;
  const quant::RunnerFactory& make_runner;
  std::span<const engine::Backend* const> backends;
  data::LoaderOptions loader;  // batch, threads, preprocessing, sample shape
  Progress& progress;
};

class ModelWorkshop final : public Workshop {
 public:
  // `floats`: the float model. `state` keeps the number of epochs, and must outlive it. Fails on a model that
  // holds Q/DQ pairs.
  ModelWorkshop(ir::Graph floats, DataParts data, WorkshopTools tools, WorkshopOptions options,
                SearchState& state);
  ~ModelWorkshop() override;

  std::vector<std::string> variants() const override;
  std::optional<std::string> with_tables(const std::string& variant) override;
  Measured measure(const Recipe& recipe, double seconds_left) override;
  Units units(const std::string& variant, double seconds_left) override;
  std::optional<std::string> qat_missing() override;
  bool known(const Recipe&) const override { return false; }
  bool units_known(const std::string&) const override { return false; }
  double seconds() const override;

  // The model of a recipe, made again where need be: the same one every time.
  ir::Graph make(const Recipe& recipe, double seconds_left);

 private:
  class Judge;
  const Variant& variant_of(const std::string& name) const;
  const ir::Graph& quantized(const std::string& variant);
  ir::Graph mixed(const Recipe& recipe);
  const ir::Graph& tuned(const Recipe& recipe, double seconds_left);

  ir::Graph floats_;
  DataParts data_;
  WorkshopTools tools_;
  WorkshopOptions options_;
  SearchState& state_;
  std::map<std::string, Variant> derived_;              // made by with_tables()
  std::map<std::string, ir::Graph> quantized_, tuned_;  // by variant
  std::unique_ptr<Judge> judge_;
  double begin_;
};

}  // namespace kvant::choose
