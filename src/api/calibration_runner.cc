// SPDX-License-Identifier: Apache-2.0
#include "api/calibration_runner.h"

#include "backends/backends.h"
#include "engine/engine.h"
#include "ops/ops.h"

namespace kvant::api {
namespace {

// The float engine, built once it is known which tensors must stay observable.
class CalibrationRunner final : public ir::Runner {
 public:
  CalibrationRunner(const ir::Graph& graph, int threads) : graph_(graph), threads_(threads) {}
  void watch(std::vector<std::string> names) override {
    engine::BuildOptions options{.threads = threads_, .mode = engine::Mode::Simulate};
    options.watch = names;
    engine_ = std::make_unique<engine::Engine>(
        engine::build(graph_, ops::standard(), backends::shared(), options), backends::shared());
    engine_->watch(std::move(names));
  }
  std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer& observer) override {
    if (!engine_) watch({});
    return engine_->run(inputs, observer);
  }

 private:
  const ir::Graph& graph_;
  int threads_;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace

quant::RunnerFactory calibration_runners(int threads) {
  return [threads](const ir::Graph& bound) { return std::make_unique<CalibrationRunner>(bound, threads); };
}

}  // namespace kvant::api
