// SPDX-License-Identifier: Apache-2.0
//
// Learned rounding, layer by layer from the input on (rounding.h has the arithmetic). A layer is given what
// it reads in the quantized network so far and asked for what it gives in the float network, so that it makes
// up for errors before it too. Results are compared before the activation; where the layer has a bias, that
// takes up the mean error and codes answer for the rest.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/interrupt.h"
#include "base/random.h"
#include "ir/infer.h"
#include "quant/adjust/adjust.h"
#include "quant/adjust/layer_levels.h"
#include "quant/adjust/layer_rows.h"
#include "quant/adjust/rounding.h"
#include "quant/adjust/staged_runs.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::ValueId;

// Of second moments, for the layers of one pass.
constexpr int64_t kMomentBytes = int64_t{512} << 20;
// Every so many samples one is not fitted to, but tells whether codes are better than nearest rounding.
constexpr int64_t kCheckEvery = 4;

struct RoundedLayer {
  WeightedLayer layer;
  int64_t groups = 1, depth = 0, outputs = 0;  // outputs of one group
  std::vector<float> bias;
  bool has_bias = false;
  std::vector<RoundingProblem> problems, checks;  // by group

  int64_t moment_bytes() const {
    return 2 * groups * depth * (depth + outputs) * static_cast<int64_t>(sizeof(float));
  }
};

// Over the samples of both.
std::vector<double> mean_of(const RoundingProblem& a, const RoundingProblem& b,
                            std::vector<double> RoundingProblem::*mean) {
  std::vector<double> result = a.*mean;
  if (b.samples == 0) return result;
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = (a.samples * result[i] + b.samples * (b.*mean)[i]) / (a.samples + b.samples);
  return result;
}

class AdaRound {
 public:
  explicit AdaRound(AdjustJob& job) : job_(job), pool_(std::max(1, job.options.threads)) {}

  void run() {
    collect();
    if (targets_.empty()) {
      job_.remark = "no layer with a quantized weight of its own";
      job_.changed = false;
      return;
    }
    const std::vector<std::vector<size_t>> groups = stages_of_targets();
    std::vector<Stage> reading, giving;
    for (const std::vector<size_t>& group : groups) {
      Stage& reads = reading.emplace_back();
      Stage& gives = giving.emplace_back();
      for (const size_t i : group) {
        reads.shown.push_back(read_by(job_.graph, targets_[i].layer).name);
        gives.shown.push_back(job_.graph.value(targets_[i].layer.result).name);
      }
    }
    StagedRuns actual(job_.graph, job_.ops, job_.make_runner, std::move(reading));
    StagedRuns expected(*job_.reference, job_.ops, job_.make_runner, std::move(giving));
    auto batches = spread_batches(job_.data, job_.part, job_.options.kept_bytes, [&](const auto& inputs) {
      return actual.bytes_for(inputs) + expected.bytes_for(inputs);
    });
    actual.set_batches(batches);
    expected.set_batches(std::move(batches));
    job_.progress.begin("learning rounding", static_cast<int64_t>(targets_.size()), "layers");
    int64_t done = 0;
    for (const std::vector<size_t>& group : groups) {
      observe(group, actual, expected);
      for (const size_t i : group) {
        solve(targets_[i]);
        job_.progress.update(++done, "");
      }
    }
    job_.progress.end();
    job_.remark = fmt::format(
        "{} layers, {:.1f} % of {} weights rounded the other way", targets_.size(),
        100.0 * static_cast<double>(changed_) / static_cast<double>(std::max<int64_t>(1, weights_)),
        weights_);
  }

 private:
  void collect() {
    for (WeightedLayer& layer : weighted_layers(job_.graph)) {
      const ir::Node& node = job_.graph.node(layer.node);
      const bool own = layer.pair && layer.pair->quantize != kNone &&
                       job_.graph.use_count(layer.weight) == 1 &&
                       job_.graph.use_count(layer.pair->result) == 1;
      const bool symmetric = layer.pair && layer.pair->params.zero_point_at(0) == 0;
      const bool known = job_.reference->find_value(job_.graph.value(layer.result).name) != kNone;
      if (!own || !symmetric || !known || node.op == "ConvTranspose") continue;
      if (node.op == "Gemm" && node.attributes.real("alpha", 1.0f) != 1.0f) continue;
      RoundedLayer target;
      target.groups = layer.groups;
      target.outputs = layer.outputs / layer.groups;
      target.depth = layer.inputs / layer.groups * layer.inner;
      target.bias = std::vector<float>(static_cast<size_t>(layer.outputs), 0.0f);
      if (node.op != "MatMul") {  // the Add behind a MatMul is not part of its result
        const auto bias = bias_values(job_.graph, layer);
        if (!bias) continue;
        target.bias = *bias;
      }
      target.has_bias = bias_values(job_.graph, layer).has_value();
      target.layer = std::move(layer);
      if (target.moment_bytes() <= kMomentBytes) targets_.push_back(std::move(target));
    }
  }

  // Levels, divided where their moments would take too much memory.
  std::vector<std::vector<size_t>> stages_of_targets() const {
    std::vector<WeightedLayer> layers;
    for (const RoundedLayer& target : targets_) layers.push_back(target.layer);
    std::vector<std::vector<size_t>> stages;
    for (const std::vector<size_t>& level : levels_of(job_.graph, layers)) {
      int64_t bytes = kMomentBytes;
      for (const size_t i : level) {
        const int64_t more = targets_[i].moment_bytes();
        if (bytes + more > kMomentBytes) {
          stages.emplace_back();
          bytes = 0;
        }
        bytes += more;
        stages.back().push_back(i);
      }
    }
    return stages;
  }

  // Second moments of what the layers read and should give.
  void observe(const std::vector<size_t>& stage, StagedRuns& actual, StagedRuns& expected) {
    for (const size_t i : stage) {
      RoundedLayer& target = targets_[i];
      for (auto* problems : {&target.problems, &target.checks})
        problems->assign(static_cast<size_t>(target.groups), {.depth = target.depth});
    }
    actual.advance();
    expected.advance();
    int64_t sample = 0;
    for (size_t batch = 0; batch < actual.batches(); ++batch) {
      check_interrupt();
      const std::vector<Tensor> read = actual.run(batch), given = expected.run(batch);
      for (size_t k = 0; k < stage.size(); ++k) add(targets_[stage[k]], read[k], given[k], sample);
      sample += given[0].rank() == 0 ? 1 : given[0].dim(0);
    }
  }

  void add(RoundedLayer& target, const Tensor& x, const Tensor& y, int64_t first_sample) {
    const auto rows = LayerRows::of(job_.graph, target.layer, x.shape());
    KVANT_CHECK(rows && rows->groups() == target.groups && rows->depth() == target.depth,
                "rows of another layer");
    const std::vector<float> values = read_by(job_.graph, target.layer).floats(x), wanted = y.to_floats();
    std::vector<RowChoice> choices, held_out;
    double worth = 0;
    for (int64_t s = 0; s < rows->samples(); ++s) {
      // The same places whatever the batches are.
      Random random(job_.options.seed * 0x9E3779B97F4A7C15u +
                    static_cast<uint64_t>(first_sample + s) * 1000003u +
                    static_cast<uint64_t>(target.layer.node));
      const int64_t count = std::min(rows->positions(), job_.options.rounding_rows);
      worth += std::sqrt(static_cast<double>(count));  // places of one sample are alike
      for (int64_t k = 0; k < count; ++k) {
        const bool all = count == rows->positions();
        const bool held = (first_sample + s) % kCheckEvery == kCheckEvery - 1;
        (held ? held_out : choices)
            .push_back(
                {s, all ? k : static_cast<int64_t>(random.below(static_cast<uint64_t>(rows->positions())))});
      }
    }
    const auto fill = [&](int64_t group, ThreadPool& pool) {
      const auto fill_from = [&](const std::vector<RowChoice>& places, RoundingProblem& problem) {
        std::vector<float> row_values, row_wanted;
        row_values.reserve(places.size() * static_cast<size_t>(target.depth));
        for (const RowChoice& place : places) {
          rows->gather(values.data(), place, group, row_values);
          for (int64_t k = 0; k < target.outputs; ++k) {
            const int64_t channel = group * target.outputs + k;
            row_wanted.push_back(wanted[static_cast<size_t>(rows->result_index(place, channel))] -
                                 target.bias[static_cast<size_t>(channel)]);
          }
        }
        problem.add(row_values, row_wanted, pool);
      };
      RoundingProblem& problem = target.problems[static_cast<size_t>(group)];
      fill_from(choices, problem);
      fill_from(held_out, target.checks[static_cast<size_t>(group)]);
      problem.worth += worth;
    };
    over_groups(target, fill);
  }

  // One group takes all threads; several are many small ones, which share them out.
  void over_groups(const RoundedLayer& target, const std::function<void(int64_t, ThreadPool&)>& work) {
    if (target.groups == 1) return work(0, pool_);
    pool_.parallel_for(target.groups, [&](int64_t first, int64_t last) {
      ThreadPool alone(1);
      for (int64_t group = first; group < last; ++group) work(group, alone);
    });
  }

  // Codes by output and depth: the weight's own order for Conv and transposed Gemm, else turned.
  int64_t weight_index(const RoundedLayer& target, int64_t output, int64_t k) const {
    if (target.layer.out_axis == 0) return output * target.depth + k;
    return k * target.layer.outputs + output;
  }

  void solve(RoundedLayer& target) {
    const std::vector<float> old = weight_values(job_.graph, target.layer);
    std::vector<float> fresh = old;
    const QuantParams& params = target.layer.pair->params;
    const IntRange range = target.layer.pair->range;
    // Round to nearest never gives the code below -high: the scale is that of the largest magnitude.
    const auto high = static_cast<float>(range.high), low = std::max(static_cast<float>(range.low), -high);
    std::vector<double> bias(static_cast<size_t>(target.layer.outputs), 0.0);  // change of it
    std::vector<int64_t> changed(static_cast<size_t>(target.groups), 0);
    over_groups(target, [&](int64_t group, ThreadPool& pool) {
      RoundingProblem& problem = target.problems[static_cast<size_t>(group)];
      RoundingProblem& check = target.checks[static_cast<size_t>(group)];
      problem.finish(target.has_bias);
      check.finish(target.has_bias);
      std::vector<float> weights, scales;
      for (int64_t k = 0; k < target.outputs; ++k) {
        const int64_t output = group * target.outputs + k;
        scales.push_back(params.scale[params.per_tensor() ? 0 : static_cast<size_t>(output)]);
        for (int64_t j = 0; j < target.depth; ++j)
          weights.push_back(old[static_cast<size_t>(weight_index(target, output, j))] / scales.back());
      }
      const RoundingResult result =
          solve_rounding(problem, weights, scales, low, high, job_.options.rounding, pool, check);
      const std::vector<double> mean_x = mean_of(problem, check, &RoundingProblem::mean_x);
      const std::vector<double> mean_y = mean_of(problem, check, &RoundingProblem::mean_y);
      for (size_t i = 0; i < weights.size(); ++i) {
        const int64_t k = static_cast<int64_t>(i) / target.depth, j = static_cast<int64_t>(i) % target.depth;
        const int64_t at = weight_index(target, group * target.outputs + k, j);
        fresh[static_cast<size_t>(at)] = result.codes[i] * scales[static_cast<size_t>(k)];
        bias[static_cast<size_t>(group * target.outputs + k)] -=
            fresh[static_cast<size_t>(at)] * mean_x[static_cast<size_t>(j)];
        changed[static_cast<size_t>(group)] +=
            result.codes[i] != std::clamp(std::nearbyint(weights[i]), low, high) ? 1 : 0;
      }
      for (int64_t k = 0; k < target.outputs; ++k)
        bias[static_cast<size_t>(group * target.outputs + k)] += mean_y[static_cast<size_t>(k)];
      problem = {};
      check = {};
    });
    changed_ += std::accumulate(changed.begin(), changed.end(), int64_t{0});
    weights_ += static_cast<int64_t>(old.size());
    set_weight(job_.graph, target.layer, fresh);
    if (target.has_bias) {
      std::vector<float> values = *bias_values(job_.graph, target.layer);
      for (size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(values[k] + bias[k]);
      set_bias(job_.graph, target.layer, values);
    }
    target.problems.clear();
    target.checks.clear();
  }

  AdjustJob& job_;
  ThreadPool pool_;
  std::vector<RoundedLayer> targets_;
  int64_t changed_ = 0, weights_ = 0;
};

}  // namespace

void adjust_adaround(AdjustJob& job) { AdaRound(job).run(); }

}  // namespace kvant::quant
