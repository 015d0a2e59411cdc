// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/calibrate.h"

#include <bit>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "ir/text.h"
#include "quant/calibrate/checkpoint.h"

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

  void save(StateWriter& out) const {
    for (const auto& [name, calibrator] : calibrators_) calibrator->save(out);
  }
  void restore(std::string_view state) {
    StateReader in(state);
    for (const auto& [name, calibrator] : calibrators_) calibrator->restore(in);
    if (!in.at_end()) StateReader::refuse();
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

std::span<const std::byte> bytes_of(const Tensor& tensor) { return {tensor.raw(), tensor.byte_size()}; }

// What belongs to a checkpoint: the model, the tensors, how they are calibrated.
uint64_t task_of(const ir::Graph& graph, const std::vector<std::string>& tensors,
                 const CalibrateOptions& options) {
  Fingerprint task;
  task.add(ir::print(graph));
  for (const ir::NodeId id : graph.topological_order()) {
    for (const ir::ValueId input : graph.node(id).inputs) {
      if (const Tensor* constant = graph.constant(input)) task.add(bytes_of(*constant));
    }
  }
  for (const std::string& name : std::set<std::string>(tensors.begin(), tensors.end())) {
    const auto calibrator = options.calibrator_of.find(name);
    const auto bits = options.bits_of.find(name);
    task.add(name);
    task.add(calibrator == options.calibrator_of.end() ? options.calibrator : calibrator->second);
    task.add(static_cast<uint64_t>(bits == options.bits_of.end() ? options.options.bits : bits->second));
  }
  task.add(std::bit_cast<uint64_t>(options.options.percentile));
  task.add(static_cast<uint64_t>(options.options.codes));
  return task.value();
}

// The batches so far, of this run and of the one that it resumes, and their checkpoint.
class Seen {
 public:
  Seen(Watchers& watchers, const ir::Graph& graph, const std::vector<std::string>& tensors,
       const CalibrateOptions& options)
      : watchers_(watchers), options_(options) {
    if (options.checkpoint.empty()) return;
    now_.task = task_of(graph, tensors, options);
    if (!options.resume) return;
    std::optional<CalibrationCheckpoint> before = load_checkpoint(options.checkpoint);
    if (!before) return;
    if (before->task != now_.task) refuse("another model, other tensors or other options");
    before_ = std::move(*before);
    noting([&] { return "while reading " + options.checkpoint.string(); },
           [&] { watchers_.restore(before_.state); });
  }

  bool has_next() const { return now_.batches < before_.batches; }
  int64_t samples() const { return now_.samples; }

  void add(std::span<const Tensor> inputs) {
    ++now_.batches;
    if (!inputs.empty() && inputs.front().rank() > 0) now_.samples += inputs.front().dim(0);
    if (options_.checkpoint.empty()) return;
    for (const Tensor& input : inputs) data_.add(bytes_of(input));
    if (now_.batches == before_.batches && data_.value() != before_.data)
      refuse("other data or another batch");
    if (elapsed(saved_at_) >= options_.checkpoint_seconds) save();
  }

  // Nothing is new while the batches of the checkpoint pass by.
  void save() {
    if (options_.checkpoint.empty() || now_.batches <= before_.batches) return;
    StateWriter state;
    watchers_.save(state);
    now_.state = state.bytes();
    now_.data = data_.value();
    save_checkpoint(now_, options_.checkpoint);
    saved_at_ = Clock::now();
  }

  // The number of samples.
  int64_t finish() {
    if (now_.batches < before_.batches) refuse("other data or another batch");
    if (now_.samples == 0) fail("the calibration set is empty: give at least one sample");
    // A short calibration is done again sooner than a file of it is missed.
    if (elapsed(started_at_) >= options_.checkpoint_seconds) save();
    return now_.samples;
  }

 private:
  using Clock = std::chrono::steady_clock;

  static double elapsed(Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  }

  [[noreturn]] void refuse(const char* what) const {
    fail("the checkpoint {} is of {}: resume with what it was made with, or delete it to start over",
         options_.checkpoint.string(), what);
  }

  Watchers& watchers_;
  const CalibrateOptions& options_;
  CalibrationCheckpoint before_, now_;
  Fingerprint data_;
  Clock::time_point started_at_ = Clock::now(), saved_at_ = started_at_;
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
  Seen seen(watchers, graph, tensors, options);
  progress.begin("calibrating", options.expected_samples, "samples");
  for (int64_t batch = 0;; ++batch) {
    if (interrupt_requested() != 0) seen.save();
    check_interrupt();
    const std::optional<std::vector<Tensor>> inputs = batches();
    if (!inputs) break;
    ir::check_inputs(graph, *inputs);
    const bool again = seen.has_next();
    if (!again) watchers.run(runner_for(*inputs), *inputs, batch);
    seen.add(*inputs);
    progress.update(seen.samples(), again ? "seen before" : "");
  }
  progress.end();
  CalibrationTable table;
  table.samples = seen.finish();
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
