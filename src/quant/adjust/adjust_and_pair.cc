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

// Changes `graph`; returns what the step says about it.
std::string apply(const AdjustEntry& entry, Graph& graph, const Graph* reference, Part part,
                  const AdjustTools& tools) {
  if (entry.needs_data && !tools.data)
    fail("the repair step '{}' needs calibration data: give data, or leave it out", entry.name);
  check_interrupt();
  AdjustJob job{graph,         reference,      tools.ops,    tools.data, part, tools.make_runner,
                tools.options, tools.progress, std::string{}};
  noting([&] { return fmt::format("in the repair step '{}'", entry.name); }, [&] { entry.apply(job); });
  ir::infer_types(graph, tools.ops);
  return job.remark;
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
          apply(entry, before ? floats : result.graph, before ? nullptr : &floats, Part::All, tools);
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
    best_ = pair_up_(floats_);
    error_ = error_of(best_.graph);
    for (const AdjustEntry& entry : adjusts()) try_step(entry);
    best_.adjust = std::move(records_);
    return std::move(best_);
  }

 private:
  void try_step(const AdjustEntry& entry) {
    const Clock clock;
    const bool before = entry.stage == AdjustStage::BeforePairs;
    AdjustRecord record{.name = std::string(entry.name), .error_before = error_, .error_after = {}};
    Graph floats = floats_;
    QuantizeResult candidate = best_;
    record.remark =
        apply(entry, before ? floats : candidate.graph, before ? nullptr : &floats_, Part::Fit, tools_);
    if (before) candidate = pair_up_(floats);
    const double error = error_of(candidate.graph);
    record.error_after = error;
    record.kept = error < error_ || entry.name == "fold-batch-norm";
    if (record.kept) {
      error_ = error;
      floats_ = std::move(floats);
      best_ = std::move(candidate);
    }
    record.seconds = clock.seconds();
    records_.push_back(std::move(record));
  }

  double error_of(const Graph& quantized) {
    return output_error(original_, quantized, Part::HeldOut, tools_);
  }

  const Graph original_;  // as the user gave it: what every candidate is measured against
  Graph floats_;
  const PairUp& pair_up_;
  const AdjustTools& tools_;
  QuantizeResult best_;
  double error_ = 0;
  std::vector<AdjustRecord> records_;
};

}  // namespace

double output_error(const Graph& floats, const Graph& quantized, Part part, const AdjustTools& tools) {
  ModelRuns expected(floats, tools.ops, tools.make_runner), actual(quantized, tools.ops, tools.make_runner);
  OutputError error;
  const BatchSource source = tools.data.open(part);
  tools.progress.begin("measuring the output error", 0, "batches");
  int64_t batches = 0;
  for (; const auto inputs = source(); ++batches) {
    check_interrupt();
    error.add(expected.run(*inputs), actual.run(*inputs));
    tools.progress.update(batches + 1, "");
  }
  tools.progress.end();
  if (batches == 0) fail("there is no sample to measure the output error on: give more calibration samples");
  return error.value();
}

QuantizeResult adjust_and_pair(Graph floats, const std::vector<std::string>& names, const PairUp& pair_up,
                               const AdjustTools& tools) {
  if (names.size() != 1 || names[0] != kAutoAdjust)
    return apply_all(std::move(floats), names, pair_up, tools);
  if (!tools.data) fail("choosing repair steps needs calibration data: give data, or name the steps");
  return Chooser(std::move(floats), pair_up, tools).run();
}

}  // namespace kvant::quant
