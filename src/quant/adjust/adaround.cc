// SPDX-License-Identifier: Apache-2.0
//
// Learned rounding, layer by layer from the input on (rounding.h has the arithmetic). A layer is given what
// it reads in the quantized network so far and asked for what it gives in the float network, so that it makes
// up for errors before it too. Results are compared before the activation. Layers are taken some levels at a
// time: those of one pass over the data do not see each other's new codes.
#include <algorithm>
#include <cmath>
#include <functional>

#include "base/interrupt.h"
#include "base/random.h"
#include "ir/infer.h"
#include "quant/adjust/adjust.h"
#include "quant/adjust/layer_levels.h"
#include "quant/adjust/layer_rows.h"
#include "quant/adjust/rounding.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::ValueId;

// Of second moments, for the layers of one pass.
constexpr int64_t kMomentBytes = int64_t{512} << 20;

struct Target {
  WeightedLayer layer;
  int64_t groups = 1, depth = 0, outputs = 0;  // outputs of one group
  std::vector<float> bias;
  std::vector<RoundingProblem> problems;  // by group

  int64_t moment_bytes() const {
    return groups * depth * (depth + outputs) * static_cast<int64_t>(sizeof(float));
  }
};

// What solving did.
struct Tally {
  double error = 0, nearest = 0;
  int64_t changed = 0;
};

// The tensor that the layer reads, and how it is quantized before.
struct Reading {
  ValueId source = kNone;
  std::optional<ir::Quantized> pair;
};

Reading reading_of(const Graph& graph, const WeightedLayer& layer) {
  auto pair = ir::quantized_behind(graph, layer.data);
  if (!pair || pair->source == kNone || !pair->params.per_tensor()) return {layer.data, std::nullopt};
  return {pair->source, std::move(pair)};
}

std::vector<float> as_read(const Tensor& tensor, const Reading& reading) {
  std::vector<float> values = tensor.to_floats();
  if (!reading.pair) return values;
  const float scale = reading.pair->params.scale[0];
  const int32_t zero = reading.pair->params.zero_point_at(0);
  for (float& x : values)
    x = dequantize_value(quantize_value(x, scale, zero, reading.pair->range), scale, zero);
  return values;
}

class AdaRound {
 public:
  explicit AdaRound(AdjustJob& job) : job_(job), pool_(std::max(1, job.options.threads)) {}

  void run() {
    collect();
    if (targets_.empty()) {
      job_.remark = "no layer with a quantized weight of its own";
      return;
    }
    std::vector<WeightedLayer> layers;
    for (const Target& target : targets_) layers.push_back(target.layer);
    const auto levels = levels_of(job_.graph, layers);
    job_.progress.begin("learning rounding", static_cast<int64_t>(targets_.size()), "layers");
    int64_t done = 0;
    for (const std::vector<size_t>& pass : passes_of(levels)) {
      observe(pass);
      for (const size_t i : pass) {
        solve(targets_[i]);
        job_.progress.update(++done, "");
      }
    }
    job_.progress.end();
    job_.remark = fmt::format(
        "{} layers, {:.1f} % of {} weights rounded the other way, layer error {:.0f} % of nearest",
        targets_.size(),
        100.0 * static_cast<double>(total_.changed) / static_cast<double>(std::max<int64_t>(1, weights_)),
        weights_, 100 * total_.error / std::max(total_.nearest, 1e-30));
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
      Target target;
      target.groups = layer.groups;
      target.outputs = layer.outputs / layer.groups;
      target.depth = layer.inputs / layer.groups * layer.inner;
      target.bias = std::vector<float>(static_cast<size_t>(layer.outputs), 0.0f);
      if (node.op != "MatMul") {  // the Add behind a MatMul is not part of its result
        const auto bias = bias_values(job_.graph, layer);
        if (!bias) continue;
        target.bias = *bias;
      }
      target.layer = std::move(layer);
      if (target.moment_bytes() <= kMomentBytes) targets_.push_back(std::move(target));
    }
  }

  std::vector<std::vector<size_t>> passes_of(const std::vector<std::vector<size_t>>& levels) const {
    std::vector<std::vector<size_t>> passes;
    int64_t bytes = kMomentBytes, taken = 0;
    for (const std::vector<size_t>& level : levels) {
      for (const size_t i : level) {
        const int64_t more = targets_[i].moment_bytes();
        if (passes.empty() || bytes + more > kMomentBytes || taken >= job_.options.rounding_levels) {
          passes.emplace_back();
          bytes = taken = 0;
        }
        bytes += more;
        passes.back().push_back(i);
      }
      taken += level.empty() ? 0 : 1;
    }
    return passes;
  }

  // One pass over the data: second moments of what the layers read and should give.
  void observe(const std::vector<size_t>& pass) {
    std::vector<Reading> readings;
    std::vector<ValueId> read, wanted;
    for (const size_t i : pass) {
      Target& target = targets_[i];
      readings.push_back(reading_of(job_.graph, target.layer));
      read.push_back(readings.back().source);
      wanted.push_back(job_.reference->find_value(job_.graph.value(target.layer.result).name));
      target.problems.assign(static_cast<size_t>(target.groups), RoundingProblem{target.depth, {}, {}, 0});
    }
    // A graph input cannot be a graph's output everywhere, so tensors are watched; the parts end where
    // needed.
    Graph quantized = part_for(job_.graph, read), floats = leading_to(*job_.reference, wanted);
    std::vector<std::string> names;
    for (const ValueId value : read) names.push_back(job_.graph.value(value).name);
    ModelRuns actual(quantized, job_.ops, job_.make_runner, names);
    ModelRuns expected(floats, job_.ops, job_.make_runner);
    const BatchSource source = job_.data.open(job_.part);
    int64_t sample = 0;
    while (const auto inputs = source()) {
      check_interrupt();
      const std::vector<Tensor> results = expected.run(*inputs);
      actual.run(*inputs, [&](const std::string& name, const Tensor& tensor) {
        for (size_t k = 0; k < pass.size(); ++k) {
          if (names[k] == name) add(targets_[pass[k]], readings[k], tensor, results[k], sample);
        }
      });
      sample += inputs->empty() || (*inputs)[0].rank() == 0 ? 1 : (*inputs)[0].dim(0);
    }
    if (sample == 0) fail("there is no calibration sample");
  }

  static Graph part_for(const Graph& graph, const std::vector<ValueId>& values) {
    std::vector<ValueId> made;
    for (const ValueId value : values) {
      if (graph.producer(value) != nullptr && std::find(made.begin(), made.end(), value) == made.end())
        made.push_back(value);
    }
    if (made.empty()) made.assign(graph.outputs().begin(), graph.outputs().end());
    return leading_to(graph, made);
  }

  void add(Target& target, const Reading& reading, const Tensor& x, const Tensor& y, int64_t first_sample) {
    const auto rows = LayerRows::of(job_.graph, target.layer, x.shape());
    KVANT_CHECK(rows && rows->groups() == target.groups && rows->depth() == target.depth,
                "rows of another layer");
    const std::vector<float> values = as_read(x, reading), wanted = y.to_floats();
    std::vector<RowChoice> choices;
    for (int64_t s = 0; s < rows->samples(); ++s) {
      // The same places whatever the batches are.
      Random random(job_.options.seed * 0x9E3779B97F4A7C15u +
                    static_cast<uint64_t>(first_sample + s) * 1000003u +
                    static_cast<uint64_t>(target.layer.node));
      const int64_t count = std::min(rows->positions(), job_.options.rounding_rows);
      for (int64_t k = 0; k < count; ++k) {
        const bool all = count == rows->positions();
        choices.push_back(
            {s, all ? k : static_cast<int64_t>(random.below(static_cast<uint64_t>(rows->positions())))});
      }
    }
    const auto fill = [&](int64_t group, ThreadPool& pool) {
      std::vector<float> row_values, row_wanted;
      row_values.reserve(choices.size() * static_cast<size_t>(target.depth));
      for (const RowChoice& choice : choices) {
        rows->gather(values.data(), choice, group, row_values);
        for (int64_t k = 0; k < target.outputs; ++k) {
          const int64_t channel = group * target.outputs + k;
          row_wanted.push_back(wanted[static_cast<size_t>(rows->result_index(choice, channel))] -
                               target.bias[static_cast<size_t>(channel)]);
        }
      }
      target.problems[static_cast<size_t>(group)].add(row_values, row_wanted, pool);
    };
    over_groups(target, fill);
  }

  // One group takes all threads; several are many small ones, which share them out.
  void over_groups(const Target& target, const std::function<void(int64_t, ThreadPool&)>& work) {
    if (target.groups == 1) return work(0, pool_);
    pool_.parallel_for(target.groups, [&](int64_t first, int64_t last) {
      ThreadPool alone(1);
      for (int64_t group = first; group < last; ++group) work(group, alone);
    });
  }

  // Codes by output and depth: the weight's own order for Conv and transposed Gemm, else turned.
  int64_t weight_index(const Target& target, int64_t output, int64_t k) const {
    if (target.layer.out_axis == 0) return output * target.depth + k;
    return k * target.layer.outputs + output;
  }

  void solve(Target& target) {
    const std::vector<float> old = weight_values(job_.graph, target.layer);
    std::vector<float> fresh = old;
    const QuantParams& params = target.layer.pair->params;
    const IntRange range = target.layer.pair->range;
    // Round to nearest never gives the code below -high: the scale is that of the largest magnitude.
    const auto high = static_cast<float>(range.high), low = std::max(static_cast<float>(range.low), -high);
    std::vector<Tally> tallies(static_cast<size_t>(target.groups));
    over_groups(target, [&](int64_t group, ThreadPool& pool) {
      RoundingProblem& problem = target.problems[static_cast<size_t>(group)];
      problem.finish();
      std::vector<float> weights, scales;
      for (int64_t k = 0; k < target.outputs; ++k) {
        const int64_t output = group * target.outputs + k;
        scales.push_back(params.scale[params.per_tensor() ? 0 : static_cast<size_t>(output)]);
        for (int64_t j = 0; j < target.depth; ++j)
          weights.push_back(old[static_cast<size_t>(weight_index(target, output, j))] / scales.back());
      }
      const RoundingResult result =
          solve_rounding(problem, weights, scales, low, high, job_.options.rounding, pool);
      Tally& tally = tallies[static_cast<size_t>(group)];
      tally = {result.error, result.error_nearest, 0};
      for (size_t i = 0; i < weights.size(); ++i) {
        const int64_t k = static_cast<int64_t>(i) / target.depth, j = static_cast<int64_t>(i) % target.depth;
        const int64_t at = weight_index(target, group * target.outputs + k, j);
        fresh[static_cast<size_t>(at)] = result.codes[i] * scales[static_cast<size_t>(k)];
        tally.changed += result.codes[i] != std::clamp(std::nearbyint(weights[i]), low, high) ? 1 : 0;
      }
      problem = {};
    });
    for (const Tally& tally : tallies) {
      total_.error += tally.error;
      total_.nearest += tally.nearest;
      total_.changed += tally.changed;
    }
    weights_ += static_cast<int64_t>(old.size());
    set_weight(job_.graph, target.layer, fresh);
    target.problems.clear();
  }

  AdjustJob& job_;
  ThreadPool pool_;
  std::vector<Target> targets_;
  Tally total_;
  int64_t weights_ = 0;
};

}  // namespace

void adjust_adaround(AdjustJob& job) { AdaRound(job).run(); }

}  // namespace kvant::quant
