// SPDX-License-Identifier: Apache-2.0
#include "engine/run/images_apart.h"

#include <algorithm>

#include "base/error.h"
#include "engine/plan/apart.h"

namespace kvant::engine {
namespace {

// Below so many uses of each byte of constants in one image a layer waits for its weights, which are better
// read once for all images: convolutional networks have 70 and more, a product with one row has 1. Unless
// there are so few that they stay in the second-level cache.
constexpr double kLeastUses = 32, kFewBytes = 256 << 10;

bool pays(int64_t images, const Team& team) { return images > 1 && images >= team.size(); }

bool runs_on_its_team(const PlanStep& step, std::span<const Backend* const> backends) {
  if (step.backend == kView) return true;
  const auto backend = std::ranges::find(backends, step.backend, [](const Backend* b) { return b->name(); });
  return backend != backends.end() && (*backend)->runs_on_team(step.tactic);
}

}  // namespace

ImagesApart::ImagesApart(const Plan& plan, int64_t images, Team& team) : images_(images), team_(team) {
  const auto bytes_of_one = [&](ir::ValueId id) {
    return value_bytes(plan.graph, id) / static_cast<size_t>(images);
  };
  for (const ir::ValueId id : plan.graph.inputs().first(plan.input_count))
    input_bytes_.push_back(bytes_of_one(id));
  for (const ir::ValueId id : plan.graph.outputs()) output_bytes_.push_back(bytes_of_one(id));
}

std::unique_ptr<ImagesApart> ImagesApart::of(const Plan& plan, std::span<const Backend* const> backends,
                                             Team& team) {
  const int64_t images = images_apart(plan);
  if (!pays(images, team)) return nullptr;
  if (!std::ranges::all_of(plan.steps, [&](const PlanStep& s) { return runs_on_its_team(s, backends); }))
    return nullptr;
  Plan one = plan_of_one_image(plan, images);
  const ConstantUse use = use_of_constants(one);
  if (use.bytes > kFewBytes && use.uses < kLeastUses) return nullptr;
  auto result = std::unique_ptr<ImagesApart>(new ImagesApart(plan, images, team));
  try {
    result->add_lane(Engine(std::move(one), backends, {.threads = 1}));
  } catch (const Error&) {
    return nullptr;  // a tactic that takes this batch only; one that takes none fails when that is loaded
  }
  result->add_lanes(result->lanes_.front().engine);
  return result;
}

std::unique_ptr<ImagesApart> ImagesApart::context(const Plan& plan, Team& team) const {
  if (!pays(images_, team)) return nullptr;
  auto result = std::unique_ptr<ImagesApart>(new ImagesApart(plan, images_, team));
  result->add_lanes(lanes_.front().engine);
  return result;
}

void ImagesApart::add_lane(Engine engine) {
  lanes_.push_back(
      {std::move(engine), std::vector<Place>(input_bytes_.size()), std::vector<Place>(output_bytes_.size())});
}

// Those that are missing, as contexts of `first`, which may be one of them.
void ImagesApart::add_lanes(const Engine& first) {
  std::vector<Engine> missing;
  for (int i = static_cast<int>(lanes_.size()); i < team_.size(); ++i)
    missing.push_back(first.context({.threads = 1}));
  if (images_ % team_.size() != 0) missing.push_back(first.context({.team = &team_}));
  for (Engine& engine : missing) add_lane(std::move(engine));
}

void ImagesApart::run_image(Lane& lane, std::span<const Place> inputs, std::span<const Place> outputs,
                            int64_t image) const {
  const auto at = static_cast<size_t>(image);
  for (size_t i = 0; i < inputs.size(); ++i) lane.inputs[i].data = inputs[i].data + at * input_bytes_[i];
  for (size_t i = 0; i < outputs.size(); ++i) lane.outputs[i].data = outputs[i].data + at * output_bytes_[i];
  lane.engine.run_at(lane.inputs, lane.outputs);
}

void ImagesApart::run(std::span<const Place> inputs, std::span<const Place> outputs) {
  const int64_t each = images_ / team_.size();
  team_.run([&](int thread, int) {
    for (int64_t i = each * thread; i < each * (thread + 1); ++i)
      run_image(lanes_[static_cast<size_t>(thread)], inputs, outputs, i);
  });
  for (int64_t i = each * team_.size(); i < images_; ++i) run_image(lanes_.back(), inputs, outputs, i);
}

size_t ImagesApart::arena_bytes() const { return plan().arena_bytes * lanes_.size(); }

void ImagesApart::set_profiling(bool on) {
  for (Lane& lane : lanes_) lane.engine.set_profiling(on);
}

std::vector<int64_t> ImagesApart::nanoseconds() const {
  std::vector<int64_t> times(plan().steps.size());
  const auto threads = static_cast<size_t>(team_.size());
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    const std::vector<LayerTime> layers = lanes_[lane].engine.profile();
    const int64_t share = lane < threads ? team_.size() : 1;
    for (size_t i = 0; i < times.size(); ++i) times[i] += layers[i].nanoseconds / share;
  }
  return times;
}

}  // namespace kvant::engine
