// SPDX-License-Identifier: Apache-2.0
//
// SmoothQuant (Xiao et al. 2022, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large
// Language Models"): behind a norm, channels differ in range far more than weights do.
//   X W = (X diag(s)^-1) (diag(s) W)
// and diag(s)^-1 goes into the norm's scale and bias, so the network's function stays the same.
#include <map>

#include "base/interrupt.h"
#include "ir/infer.h"
#include "quant/adjust/adjust.h"
#include "quant/adjust/channel_balance.h"
#include "quant/adjust/channel_statistics.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::ValueId;

struct Parameter {
  ir::NodeId node;
  int input;
};

// A tensor that linear layers read and nobody else, and the constants that scale it.
struct Smoothed {
  ValueId value = kNone;
  std::vector<Parameter> parameters;
  std::vector<ValueId> scaled;  // values that the factors change, the tensor itself included
  std::vector<WeightedLayer> readers;
  ChannelStatistics statistics;
};

bool is_vector(const Graph& graph, ValueId id, int64_t channels) {
  const Tensor* tensor = graph.constant(id);
  return tensor != nullptr && is_float(tensor->dtype()) && tensor->rank() > 0 && tensor->size() == channels &&
         tensor->dim(tensor->rank() - 1) == channels;
}

bool is_norm_of_last_axis(const Graph& graph, const Node& node) {
  if (node.op != "LayerNormalization") return false;
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != kNone && graph.use_count(node.outputs[i]) > 0) return false;
  }
  const int64_t axis = node.attributes.integer("axis", -1);
  const auto& shape = graph.value(node.inputs[0]).type.shape;
  return axis == -1 || (shape && axis == static_cast<int64_t>(shape->size()) - 1);
}

// The constants by which all of `value` is scaled along its last axis: of a LayerNormalization, or of a Mul
// and Add as it is written in parts. False when there are none.
bool parameters_of(const Graph& graph, ValueId value, int64_t channels, Smoothed& found) {
  const ir::NodeId id = graph.value(value).producer;
  if (id == kNone) return false;
  const Node& node = graph.node(id);
  found.scaled.push_back(value);
  if (is_norm_of_last_axis(graph, node)) {
    for (int i = 1; i < static_cast<int>(node.inputs.size()) && i < 3; ++i) {
      if (node.inputs[static_cast<size_t>(i)] == kNone) continue;
      if (!is_vector(graph, node.inputs[static_cast<size_t>(i)], channels)) return false;
      found.parameters.push_back({id, i});
    }
    return true;
  }
  if (node.op != "Mul" && node.op != "Add") return false;
  for (int i = 0; i < 2; ++i) {
    if (!is_vector(graph, node.inputs[static_cast<size_t>(i)], channels)) continue;
    const ValueId other = node.inputs[static_cast<size_t>(1 - i)];
    if (graph.is_constant(other)) return false;
    found.parameters.push_back({id, i});
    return node.op == "Mul" || (graph.use_count(other) == 1 && parameters_of(graph, other, channels, found));
  }
  return false;
}

std::vector<Smoothed> find_all(const Graph& graph) {
  std::map<ValueId, std::vector<WeightedLayer>> by_value;
  for (WeightedLayer& layer : weighted_layers(graph)) {
    if (!layer.image && !layer.pair) by_value[layer.data].push_back(std::move(layer));
  }
  std::vector<Smoothed> result;
  for (auto& [value, readers] : by_value) {
    if (graph.use_count(value) != readers.size()) continue;
    Smoothed found;
    found.value = value;
    const int64_t channels = readers[0].inputs;
    if (!parameters_of(graph, value, channels, found)) continue;
    found.readers = std::move(readers);
    result.push_back(std::move(found));
  }
  return result;
}

void measure(AdjustJob& job, std::vector<Smoothed>& all) {
  std::map<std::string, Smoothed*> by_name;
  std::vector<std::string> watch;
  for (Smoothed& s : all) {
    watch.push_back(job.graph.value(s.value).name);
    by_name[watch.back()] = &s;
  }
  ModelRuns runs(job.graph, job.ops, job.make_runner, watch);
  const BatchSource source = job.data.open(job.part);
  job.progress.begin("measuring channels", 0, "batches");
  int64_t batches = 0;
  for (; const auto inputs = source(); ++batches) {
    check_interrupt();
    runs.run(*inputs, [&](const std::string& name, const Tensor& tensor) {
      const auto found = by_name.find(name);
      if (found != by_name.end()) found->second->statistics.add(tensor, tensor.rank() - 1);
    });
    job.progress.update(batches + 1, "");
  }
  job.progress.end();
  if (batches == 0) fail("there is no calibration sample");
}

// The constant with each element divided by its channel's factor, for this reader alone.
void divide(Graph& graph, const Parameter& parameter, const std::vector<double>& factors) {
  const ValueId old = graph.node(parameter.node).inputs[static_cast<size_t>(parameter.input)];
  const Tensor& constant = *graph.constant(old);
  std::vector<float> values = constant.to_floats();
  for (size_t c = 0; c < values.size(); ++c) values[c] = static_cast<float>(values[c] / factors[c]);
  const ValueId fresh = graph.add_constant(
      graph.value(old).name, Tensor::of<float>(constant.shape(), values).cast(constant.dtype()));
  graph.set_input(parameter.node, parameter.input, fresh);
}

bool smooth(AdjustJob& job, Smoothed& s) {
  Graph& graph = job.graph;
  ChannelRanges channels;
  for (size_t c = 0; c < s.statistics.sum.size(); ++c) {
    channels.magnitude.push_back(s.statistics.magnitude(c));
    channels.mean_square.push_back(s.statistics.mean_square(c));
  }
  std::vector<std::vector<double>> weights;
  std::vector<ChannelReader> readers;
  for (const WeightedLayer& layer : s.readers) {
    const std::vector<float> values = weight_values(graph, layer);
    weights.emplace_back(values.begin(), values.end());
  }
  for (size_t i = 0; i < weights.size(); ++i) readers.push_back({&s.readers[i], weights[i]});
  const std::vector<double> factors = balance_channels(channels, readers, job.options.smooth_strength);
  if (!job.options.smooth_strength &&
      noise_power(channels, readers, factors) >=
          noise_power(channels, readers, std::vector<double>(factors.size(), 1.0))) {
    return false;
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    std::vector<float> values(weights[i].size());
    for (size_t k = 0; k < values.size(); ++k) {
      const auto place = s.readers[i].place(static_cast<int64_t>(k));
      values[k] = static_cast<float>(weights[i][k] * factors[static_cast<size_t>(place.in)]);
    }
    set_weight(graph, s.readers[i], values);
  }
  for (const Parameter& parameter : s.parameters) divide(graph, parameter, factors);
  // The values are others now: what is known of them by name (ranges, comparisons) holds no longer.
  for (const ValueId value : s.scaled) graph.rename_value(value, graph.value(value).name + "_smoothed");
  return true;
}

}  // namespace

void adjust_smooth(AdjustJob& job) {
  std::vector<Smoothed> all = find_all(job.graph);
  int64_t changed = 0;
  if (!all.empty()) {
    measure(job, all);
    for (Smoothed& s : all) changed += smooth(job, s) ? 1 : 0;
    job.graph.erase_dead();
    ir::infer_types(job.graph, job.ops);
  }
  job.changed = changed > 0;
  job.remark = fmt::format("{} of {} tensors that linear layers read", changed, all.size());
}

}  // namespace kvant::quant
