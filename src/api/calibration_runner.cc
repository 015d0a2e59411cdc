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
  CalibrationRunner(const ir::Graph& graph, int threads,
                    std::shared_ptr<const backends::DeviceBackends> device)
      : graph_(graph), threads_(threads), device_(std::move(device)) {}
  void watch(std::vector<std::string> names) override {
    engine::BuildOptions options{.threads = threads_, .mode = engine::Mode::Simulate};
    options.watch = names;
    engine_ = std::make_unique<engine::Engine>(
        engine::build(graph_, ops::standard(), device_->list(), options), device_->list());
    engine_->watch(std::move(names));
  }
  std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer& observer) override {
    if (!engine_) watch({});
    return engine_->run(inputs, observer);
  }

 private:
  const ir::Graph& graph_;
  int threads_;
  std::shared_ptr<const backends::DeviceBackends> device_;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace

quant::RunnerFactory calibration_runners(int threads, std::string_view device) {
  const auto backends = std::make_shared<const backends::DeviceBackends>(device);
  return [threads, backends](const ir::Graph& bound) {
    return std::make_unique<CalibrationRunner>(bound, threads, backends);
  };
}

}  // namespace kvant::api
