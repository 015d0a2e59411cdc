// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/adjust_and_pair.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "ir/infer.h"
#include "quant/adjust/output_error.h"

namespace kvant::quant {

using ir::Graph;

namespace {

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// What a step did to the graph.
struct Applied {
  std::string remark;
  bool changed = true;
};

Applied apply(const AdjustEntry& entry, Graph& graph, const Graph* reference, Part part,
              const AdjustTools& tools) {
  if (entry.needs_data && !tools.data)
    fail("the repair step '{}' needs calibration data: give data, or leave it out", entry.name);
  check_interrupt();
  AdjustJob job{graph,         reference,      tools.ops,     tools.data, part, tools.make_runner,
                tools.options, tools.progress, std::string{}, true};
  noting([&] { return fmt::format("in the repair step '{}'", entry.name); }, [&] { entry.apply(job); });
  ir::infer_types(graph, tools.ops);
  return {job.remark, job.changed};
}

QuantizeResult apply_all(Graph floats, const std::vector<std::string>& names, const PairUp& pair_up,
                         const AdjustTools& tools) {
  std::vector<AdjustRecord> records;
  QuantizeResult result;
  for (const AdjustStage stage : {AdjustStage::BeforePairs, AdjustStage::AfterPairs}) {
    const bool before = stage == AdjustStage::BeforePairs;
    if (!before) result = pair_up(floats);
    for (const AdjustEntry& entry : adjusts()) {
      if (entry.stage != stage || std::find(names.begin(), names.end(), entry.name) == names.end()) continue;
      const Clock clock;
      AdjustRecord record{.name = std::string(entry.name), .error_before = {}, .error_after = {}};
      record.remark =
          apply(entry, before ? floats : result.graph, before ? nullptr : &floats, Part::All, tools).remark;
      record.seconds = clock.seconds();
      records.push_back(std::move(record));
    }
  }
  result.adjust = std::move(records);
  return result;
}

int64_t count_samples(const CalibrationSet& data, Part part) {
  const BatchSource source = data.open(part);
  int64_t samples = 0;
  while (const auto batch = source())
    samples += batch->empty() || (*batch)[0].rank() == 0 ? 1 : (*batch)[0].dim(0);
  return samples;
}

// Outputs of the float model for a batch, by its number.
using Expected = std::function<std::vector<Tensor>(size_t batch, const std::vector<Tensor>& inputs)>;

double error_against(const Expected& expected, const Graph& quantized, Part part, const AdjustTools& tools) {
  ModelRuns actual(quantized, tools.ops, tools.make_runner);
  OutputError error;
  const BatchSource source = tools.data.open(part);
  tools.progress.begin("measuring the output error", 0, "batches");
  size_t batches = 0;
  for (; const auto inputs = source(); ++batches) {
    check_interrupt();
    error.add(expected(batches, *inputs), actual.run(*inputs));
    tools.progress.update(static_cast<int64_t>(batches) + 1, "");
  }
  tools.progress.end();
  if (batches == 0) fail("there is no sample to measure the output error on: give more calibration samples");
  return error.value();
}

// Tries one step after the other and keeps what helps.
class Chooser {
 public:
  Chooser(Graph floats, const PairUp& pair_up, const AdjustTools& tools)
      : original_(floats), floats_(std::move(floats)), pair_up_(pair_up), tools_(tools) {}

  QuantizeResult run() {
    if (count_samples(tools_.data, Part::HeldOut) == 0) {
      fail(
          "choosing repair steps needs at least {} calibration samples, every {}th of which is held out: "
          "give "
          "more, or name the steps",
          kHoldOutEvery, kHoldOutEvery);
    }
    for (const AdjustEntry& entry : adjusts()) try_step(entry);
    best_.adjust = std::move(records_);
    return std::move(best_);
  }

 private:
  void try_step(const AdjustEntry& entry) {
    const Clock clock;
    const bool before = entry.stage == AdjustStage::BeforePairs, always = entry.name == "fold-batch-norm";
    if (!always) measure_start();
    AdjustRecord record{
        .name = std::string(entry.name), .kept = always, .error_before = error_, .error_after = error_};
    Graph floats = floats_;
    QuantizeResult candidate = best_;
    const Applied applied =
        apply(entry, before ? floats : candidate.graph, before ? nullptr : &floats_, Part::Fit, tools_);
    record.remark = applied.remark;
    if (always) {
      floats_ = std::move(floats);
    } else if (applied.changed) {
      if (before) candidate = pair_up_(floats);
      record.error_after = error_of(candidate.graph);
      record.kept = *record.error_after < *error_;
      if (record.kept) {
        error_ = record.error_after;
        floats_ = std::move(floats);
        best_ = std::move(candidate);
      }
    }
    record.seconds = clock.seconds();
    records_.push_back(std::move(record));
  }

  // The network without any step but those that are always kept.
  void measure_start() {
    if (error_) return;
    best_ = pair_up_(floats_);
    error_ = error_of(best_.graph);
  }

  double error_of(const Graph& quantized) {
    const auto wanted = [&](size_t batch, const std::vector<Tensor>& inputs) {
      if (batch == expected_.size()) expected_.push_back(floats_runs_.run(inputs));
      return expected_[batch];
    };
    return error_against(wanted, quantized, Part::HeldOut, tools_);
  }

  const Graph original_;  // as the user gave it: what every candidate is measured against
  Graph floats_;
  const PairUp& pair_up_;
  const AdjustTools& tools_;
  QuantizeResult best_;
  std::optional<double> error_;
  std::vector<AdjustRecord> records_;
  ModelRuns floats_runs_{original_, tools_.ops, tools_.make_runner};
  std::vector<std::vector<Tensor>> expected_;  // outputs of `original_`, by held-out batch
};

}  // namespace

double output_error(const Graph& floats, const Graph& quantized, Part part, const AdjustTools& tools) {
  ModelRuns expected(floats, tools.ops, tools.make_runner);
  return error_against([&](size_t, const std::vector<Tensor>& inputs) { return expected.run(inputs); },
                       quantized, part, tools);
}

QuantizeResult adjust_and_pair(Graph floats, const std::vector<std::string>& names, const PairUp& pair_up,
                               const AdjustTools& tools) {
  if (names.size() != 1 || names[0] != kAutoAdjust)
    return apply_all(std::move(floats), names, pair_up, tools);
  if (!tools.data) fail("choosing repair steps needs calibration data: give data, or name the steps");
  return Chooser(std::move(floats), pair_up, tools).run();
}

}  // namespace kvant::quant
