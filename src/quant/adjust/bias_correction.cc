// SPDX-License-Identifier: Apache-2.0
//
// Rounding shifts the mean of what a layer gives: E[y_float - y_quantized] by output channel is not zero. It
// is measured on data and added to the bias, layer by layer from the input on, so that each layer is measured
// with those before it corrected already (Nagel et al. 2019, "Data-Free Quantization Through Weight
// Equalization and Bias Correction", the empirical form).

#include "base/interrupt.h"
#include "ir/infer.h"
#include "quant/adjust/adjust.h"
#include "quant/adjust/channel_statistics.h"
#include "quant/adjust/layer_levels.h"
#include "quant/adjust/staged_runs.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::ValueId;

using Batches = std::vector<std::vector<Tensor>>;

void add(const WeightedLayer& layer, const Tensor& result, ChannelStatistics& statistics) {
  statistics.add(result, layer.channel_axis(result));
}

// Of the layers' results in the float network.
std::vector<ChannelStatistics> expected_of(const AdjustJob& job, const std::vector<WeightedLayer>& layers,
                                           const Batches& batches) {
  std::vector<ValueId> results;
  for (const WeightedLayer& layer : layers)
    results.push_back(job.reference->find_value(job.graph.value(layer.result).name));
  const Graph part = leading_to(*job.reference, results);
  ModelRuns runs(part, job.ops, job.make_runner);
  std::vector<ChannelStatistics> statistics(layers.size());
  for (const std::vector<Tensor>& inputs : batches) {
    check_interrupt();
    const std::vector<Tensor> outputs = runs.run(inputs);
    for (size_t k = 0; k < layers.size(); ++k) add(layers[k], outputs[k], statistics[k]);
  }
  return statistics;
}

}  // namespace

void adjust_bias_correction(AdjustJob& job) {
  std::vector<WeightedLayer> layers;
  for (WeightedLayer& layer : weighted_layers(job.graph)) {
    const bool known = job.reference->find_value(job.graph.value(layer.result).name) != ir::kNone;
    if (known && layer.pair && bias_values(job.graph, layer)) layers.push_back(std::move(layer));
  }
  if (layers.empty()) {
    job.remark = "no layer with a quantized weight";
    job.changed = false;
    return;
  }
  const std::vector<std::vector<size_t>> levels = levels_of(job.graph, layers);
  std::vector<Stage> stages;
  for (const std::vector<size_t>& level : levels) {
    Stage& stage = stages.emplace_back();
    for (const size_t i : level) {
      stage.shown.push_back(read_by(job.graph, layers[i]).name);
      stage.tried.push_back(job.graph.value(layers[i].result).name);
    }
  }
  StagedRuns runs(job.graph, job.ops, job.make_runner, std::move(stages));
  const Batches batches = spread_batches(job.data, job.part, job.options.kept_bytes,
                                         [&](const auto& inputs) { return runs.bytes_for(inputs); });
  runs.set_batches(batches);
  job.progress.begin("correcting biases", static_cast<int64_t>(layers.size()), "layers");
  const std::vector<ChannelStatistics> expected = expected_of(job, layers, batches);
  int64_t done = 0;
  for (const std::vector<size_t>& level : levels) {
    std::vector<ChannelStatistics> actual(level.size());
    runs.advance();
    for (size_t batch = 0; batch < runs.batches(); ++batch) {
      check_interrupt();
      const std::vector<Tensor> tensors = runs.run(batch);
      for (size_t k = 0; k < level.size(); ++k) add(layers[level[k]], tensors[level.size() + k], actual[k]);
    }
    for (size_t k = 0; k < level.size(); ++k) {
      const WeightedLayer& layer = layers[level[k]];
      std::vector<float> bias = *bias_values(job.graph, layer);
      for (size_t c = 0; c < bias.size(); ++c)
        bias[c] = static_cast<float>(bias[c] + expected[level[k]].mean(c) - actual[k].mean(c));
      set_bias(job.graph, layer, bias);
    }
    job.progress.update(done += static_cast<int64_t>(level.size()), "");
  }
  job.progress.end();
  job.remark = fmt::format("{} layers", layers.size());
}

}  // namespace kvant::quant
