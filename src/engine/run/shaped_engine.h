// SPDX-License-Identifier: Apache-2.0
// A model run at whatever shapes its inputs come in: a plan is of fixed shapes, so one is built for each
// combination that comes, once, and kept.
#pragma once

#include <list>
#include <map>
#include <memory>

#include "engine/build/build.h"
#include "engine/run/executor.h"

namespace kvant::engine {

class ShapedEngine final : public ir::Runner {
 public:
  // Plans in memory at a time; the one that was not used for the longest goes.
  static constexpr size_t kMostPlans = 8;

  // `options` as for build(), whose shapes and batch are what runs bring. Builds nothing yet. `ops` and the
  // backends must outlive it.
  ShapedEngine(ir::Graph graph, const ir::OpTable& ops, std::span<const Backend* const> backends,
               BuildOptions options, EngineOptions engine_options = {}, size_t most_plans = kMostPlans);

  // Names must be watchable in every plan: pass them as BuildOptions::watch too.
  void watch(std::vector<std::string> names) override;
  // Inputs must fit the types that the model declares (ir::check_inputs), with at least one element along
  // each dimension that it leaves open. The same inputs give the same results, whatever ran before.
  std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer& observer = {}) override;

  // The engine for these shapes, by input, built if need be; good until the next call. Fails on shapes that
  // the model does not take.
  Engine& engine_for(const std::vector<Shape>& shapes);
  // How often a plan was built.
  size_t builds() const { return builds_; }

 private:
  struct Entry {
    std::vector<Shape> shapes;
    Engine engine;
  };

  void check_shape(size_t input, const Shape& shape) const;

  ir::Graph graph_;
  const ir::OpTable& ops_;
  std::vector<const Backend*> backends_;
  BuildOptions options_;
  EngineOptions engine_options_;
  size_t most_plans_;
  std::list<Entry> entries_;  // last used first
  std::vector<std::string> watched_;
  size_t builds_ = 0;
};

}  // namespace kvant::engine
