// SPDX-License-Identifier: Apache-2.0
//
// Rounding shifts the mean of what a layer gives: E[y_float - y_quantized] by output channel is not zero. It
// is measured on data and added to the bias, layer by layer from the input on, so that each layer is measured
// with those before it corrected already (Nagel et al. 2019, "Data-Free Quantization Through Weight
// Equalization and Bias Correction", the empirical form). Layers of one level are measured in one pass over
// the part of the network that leads to them.
#include <map>

#include "base/interrupt.h"
#include "ir/infer.h"
#include "quant/adjust/adjust.h"
#include "quant/adjust/channel_statistics.h"
#include "quant/adjust/layer_levels.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::ValueId;

// Statistics of `results`, which are values of `graph`, over the job's samples.
std::vector<ChannelStatistics> statistics_of(const AdjustJob& job, const Graph& graph,
                                             const std::vector<WeightedLayer>& layers,
                                             const std::vector<size_t>& which) {
  std::vector<ValueId> results;
  for (const size_t i : which) results.push_back(graph.find_value(job.graph.value(layers[i].result).name));
  Graph part = leading_to(graph, results);
  ModelRuns runs(part, job.ops, job.make_runner);
  std::vector<ChannelStatistics> statistics(which.size());
  const BatchSource source = job.data.open(job.part);
  int64_t samples = 0;
  while (samples < job.options.bias_samples) {
    const auto inputs = source();
    if (!inputs) break;
    check_interrupt();
    const std::vector<Tensor> outputs = runs.run(*inputs);
    for (size_t k = 0; k < which.size(); ++k)
      statistics[k].add(outputs[k], layers[which[k]].channel_axis(outputs[k]));
    samples += inputs->empty() || (*inputs)[0].rank() == 0 ? 1 : (*inputs)[0].dim(0);
  }
  if (samples == 0) fail("there is no calibration sample");
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
    return;
  }
  std::vector<size_t> all(layers.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  const std::vector<std::vector<size_t>> levels = levels_of(job.graph, layers);
  job.progress.begin("correcting biases", static_cast<int64_t>(layers.size()), "layers");
  const std::vector<ChannelStatistics> expected = statistics_of(job, *job.reference, layers, all);
  int64_t done = 0;
  for (const std::vector<size_t>& level : levels) {
    if (level.empty()) continue;
    const std::vector<ChannelStatistics> actual = statistics_of(job, job.graph, layers, level);
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
