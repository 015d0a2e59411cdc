// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/calibrate.h"

#include <bit>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"

namespace kvant::quant {
namespace {

bool all_finite(std::span<const float> values) {
  uint32_t bad = 0;
  for (const float x : values) bad |= (std::bit_cast<uint32_t>(x) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  return bad == 0;
}

class Watchers {
 public:
  Watchers(const ir::Graph& graph, const std::vector<std::string>& tensors, const CalibrateOptions& options) {
    calibrator_named(options.calibrator).make(options.options);  // refuses bad options in any case
    for (const std::string& name : tensors) {
      const ir::ValueId id = graph.find_value(name);
      if (id == ir::kNone) fail("the model has no tensor '{}' to calibrate", name);
      calibrators_.emplace(name, make(name, options));
    }
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      const std::string& name = graph.value(graph.inputs()[i]).name;
      if (calibrators_.contains(name)) inputs_.emplace_back(i, name);
    }
    std::set<std::string> inner;
    for (const auto& [name, calibrator] : calibrators_) inner.insert(name);
    for (const auto& [i, name] : inputs_) inner.erase(name);
    inner_.assign(inner.begin(), inner.end());
  }

  void run(ir::Runner& runner, std::span<const Tensor> inputs, int64_t batch) {
    for (const auto& [i, name] : inputs_) observe(name, inputs[i], batch);
    if (inner_.empty()) return;
    if (watched_.insert(&runner).second) runner.watch(inner_);
    size_t seen = 0;
    runner.run(inputs, [&](const std::string& name, const Tensor& tensor) {
      if (!calibrators_.contains(name)) return;
      observe(name, tensor, batch);
      ++seen;
    });
    KVANT_CHECK(seen == inner_.size(), "the runner did not show every tensor that it was asked for");
  }

  void finish(const CalibrateOptions& options, CalibrationTable& table) const {
    table.calibrator = options.calibrator;
    for (const auto& [name, calibrator] : calibrators_) {
      check_interrupt();
      table.ranges.emplace(name, calibrator->range());
      const std::string_view picked = calibrator->picked();
      const auto special = options.calibrator_of.find(name);
      const std::string& asked =
          special == options.calibrator_of.end() ? options.calibrator : special->second;
      table.calibrator_of.emplace(name, picked.empty() ? asked : std::string(picked));
      if (asked != options.calibrator) table.calibrator.clear();
    }
    if (!table.calibrator.empty() && table.calibrator != "auto") table.calibrator_of.clear();
  }

 private:
  static std::unique_ptr<Calibrator> make(const std::string& name, const CalibrateOptions& options) {
    return noting([&] { return fmt::format("while choosing the calibrator of tensor '{}'", name); },
                  [&] {
                    const auto other = options.calibrator_of.find(name);
                    const auto bits = options.bits_of.find(name);
                    CalibratorOptions own = options.options;
                    if (bits != options.bits_of.end()) own.bits = bits->second;
                    const bool special = other != options.calibrator_of.end();
                    return calibrator_named(special ? other->second : options.calibrator).make(own);
                  });
  }
  void observe(const std::string& name, const Tensor& tensor, int64_t batch) {
    if (!is_float(tensor.dtype())) {
      fail("tensor '{}' cannot be calibrated: it holds {}, not floats", name, kvant::name(tensor.dtype()));
    }
    const Tensor floats = tensor.cast(DType::Float32);
    const std::span<const float> values = floats.data<float>();
    if (!all_finite(values)) {
      fail(
          "tensor '{}' holds NaN or infinity in calibration batch {}: check the model's weights and the "
          "preprocessing",
          name, batch);
    }
    calibrators_.at(name)->observe(values);
  }

  std::map<std::string, std::unique_ptr<Calibrator>> calibrators_;
  std::vector<std::pair<size_t, std::string>> inputs_;
  std::vector<std::string> inner_;
  std::set<const ir::Runner*> watched_;
};

}  // namespace

BatchSource batches_of(data::Loader& loader) {
  return [&loader, ended = false]() mutable -> std::optional<std::vector<Tensor>> {
    if (ended) return std::nullopt;
    std::optional<data::Batch> batch = loader.next();
    ended = !batch;
    if (!batch) return std::nullopt;
    return std::vector<Tensor>{std::move(batch->samples)};
  };
}

BatchSource batches_of(std::vector<std::vector<Tensor>> batches) {
  return [batches = std::move(batches), next = size_t{0}]() mutable -> std::optional<std::vector<Tensor>> {
    if (next >= batches.size()) return std::nullopt;
    return batches[next++];
  };
}

CalibrationTable calibrate(const ir::Graph& graph, const std::vector<std::string>& tensors,
                           const RunnerFor& runner_for, const BatchSource& batches,
                           const CalibrateOptions& options, Progress& progress) {
  Watchers watchers(graph, tensors, options);
  CalibrationTable table;
  progress.begin("calibrating", options.expected_samples, "samples");
  for (int64_t batch = 0;; ++batch) {
    check_interrupt();
    const std::optional<std::vector<Tensor>> inputs = batches();
    if (!inputs) break;
    ir::check_inputs(graph, *inputs);
    watchers.run(runner_for(*inputs), *inputs, batch);
    if (!inputs->empty() && inputs->front().rank() > 0) table.samples += inputs->front().dim(0);
    progress.update(table.samples, "");
  }
  progress.end();
  if (table.samples == 0) fail("the calibration set is empty: give at least one sample");
  watchers.finish(options, table);
  return table;
}

CalibrationTable calibrate(const ir::Graph& graph, const std::vector<std::string>& tensors,
                           ir::Runner& runner, const BatchSource& batches, const CalibrateOptions& options,
                           Progress& progress) {
  return calibrate(
      graph, tensors, [&](std::span<const Tensor>) -> ir::Runner& { return runner; }, batches, options,
      progress);
}

}  // namespace kvant::quant
