// SPDX-License-Identifier: Apache-2.0
//
// Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
// Correction"). Between two layers with a positively homogeneous function f between them,
//   W2 f(W1 x + b1) = (W2 S) f(S^-1 W1 x + S^-1 b1)      S = diag(s), s > 0
// so ranges can be evened out over the channels between them. Weights have a scale for each output here, so
// it is the activations, with one scale for all channels, that gain: s is chosen by balance_channels() from
// their ranges on data and the weights that read them. Clip(0, high) becomes a Relu and a Min with high / s
// for each channel: the same function; the Min goes again where the quantizer behind it saturates below it
// anyway (hidden_bounds.h).
//
// Bias absorption (same paper, 3.1.2): where a channel before the Relu is at least c > 0, c moves through the
// next layer: Relu(x - c) + c = Relu(x). c = min(mean - 3 deviations, smallest value on the data).
#include "quant/adjust/equalize.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/interrupt.h"
#include "ir/infer.h"
#include "quant/adjust/adjust.h"
#include "quant/adjust/channel_balance.h"
#include "quant/adjust/channel_statistics.h"

namespace kvant::quant {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

constexpr int kMaxSweeps = 20;
constexpr double kConverged = 0.01;  // largest change of a factor in a sweep, relative

// What lies between a layer and those that read it.
struct Link {
  size_t before = 0;             // index of the layer whose outputs are scaled
  std::vector<size_t> after;     // those that read them
  std::vector<ValueId> between;  // the layer's result and all values up to the one that is read
  NodeId clip = kNone;           // Clip(0, bound)
  bool rectified = false;        // Relu or Clip
  bool moves = false;            // pooling or reshaping too: no place for absorption
  std::vector<double> bound;     // of each channel, empty without a Clip
  ChannelRanges channels;        // of the value that is read
  ChannelStatistics raw;         // before the activation
  std::vector<double> factor;    // s, all sweeps together
  std::vector<double> shift;     // c
};

// The upper bound of Clip(0, high); nothing for other clips.
std::optional<double> clip_bound(const Graph& graph, const Node& node) {
  const auto constant_at = [&](size_t i) -> std::optional<float> {
    if (node.inputs.size() <= i || node.inputs[i] == kNone) return std::nullopt;
    const Tensor* tensor = graph.constant(node.inputs[i]);
    if (tensor == nullptr || tensor->size() != 1) return std::nullopt;
    return tensor->to_floats()[0];
  };
  const auto low = constant_at(1), high = constant_at(2);
  if (!low || !high || *low != 0 || !(*high > 0) || !std::isfinite(*high)) return std::nullopt;
  return *high;
}

// Channels go through unchanged and in order; x / s gives y / s.
bool keeps_channels(const Graph& graph, const Node& node) {
  if (node.outputs.size() != 1) return false;
  if (node.op == "MaxPool" || node.op == "AveragePool" || node.op == "GlobalAveragePool") return true;
  if (node.op != "Flatten" && node.op != "Reshape" && node.op != "Squeeze") return false;
  const ir::Type &from = graph.value(node.inputs[0]).type, &to = graph.value(node.outputs[0]).type;
  if (!from.shape || !to.shape || from.shape->size() < 3 || to.shape->size() != 2) return false;
  for (size_t i = 2; i < from.shape->size(); ++i) {
    if ((*from.shape)[i] != 1) return false;
  }
  return (*from.shape)[1] > 0 && (*from.shape)[1] == (*to.shape)[1];
}

class Links {
 public:
  Links(const Graph& graph, const std::vector<WeightedLayer>& layers) : graph_(graph), layers_(layers) {
    for (size_t i = 0; i < layers.size(); ++i) by_node_[layers[i].node] = i;
  }

  std::optional<Link> from(size_t before) const {
    Link link;
    link.before = before;
    ValueId value = layers_[before].result;
    if (graph_.node(layers_[before].node).op == "MatMul") {  // its bias is the Add behind it
      value = graph_.node(graph_.value(value).uses[0].node).outputs[0];
      link.between.push_back(layers_[before].result);
    }
    for (;;) {
      link.between.push_back(value);
      if (graph_.is_output(value) || graph_.value(value).uses.empty()) return std::nullopt;
      if (readers(value, link)) return link;
      const auto next = step(value, link);
      if (!next) return std::nullopt;
      value = *next;
    }
  }

 private:
  // All readers are layers that could take the factors.
  bool readers(ValueId value, Link& link) const {
    std::vector<size_t> found;
    for (const ir::Use use : graph_.value(value).uses) {
      const auto layer = by_node_.find(use.node);
      if (layer == by_node_.end() || use.index != 0) return false;
      if (layers_[layer->second].inputs != layers_[link.before].outputs) return false;
      found.push_back(layer->second);
    }
    link.after = std::move(found);
    return true;
  }
  std::optional<ValueId> step(ValueId value, Link& link) const {
    if (graph_.use_count(value) != 1) return std::nullopt;
    const NodeId id = graph_.value(value).uses[0].node;
    const Node& node = graph_.node(id);
    if (node.op == "Relu") {
      link.rectified = true;
    } else if (node.op == "Clip") {
      const auto bound = clip_bound(graph_, node);
      if (!bound || link.clip != kNone) return std::nullopt;
      link.clip = id;
      link.rectified = true;
      link.bound.assign(static_cast<size_t>(layers_[link.before].outputs), *bound);
    } else if (keeps_channels(graph_, node)) {
      link.moves = true;
    } else {
      return std::nullopt;
    }
    return node.outputs[0];
  }

  const Graph& graph_;
  const std::vector<WeightedLayer>& layers_;
  std::map<NodeId, size_t> by_node_;
};

// No element of the result sees padding instead of data.
bool unpadded(const Node& node) {
  if (node.op == "Gemm" || node.op == "MatMul") return true;
  const std::string auto_pad = node.attributes.text("auto_pad", "NOTSET");
  if (node.op != "Conv" || (auto_pad != "NOTSET" && auto_pad != "VALID")) return false;
  const std::vector<int64_t> pads = node.attributes.integers("pads");
  return std::all_of(pads.begin(), pads.end(), [](int64_t pad) { return pad == 0; });
}

class Equalizer {
 public:
  explicit Equalizer(AdjustJob& job) : job_(job), graph_(job.graph) {}

  EqualizeReport run() {
    collect();
    if (links_.empty()) return report_;
    measure();
    while (report_.sweeps < kMaxSweeps && sweep() > kConverged) ++report_.sweeps;
    for (Link& link : links_) absorb(link);
    for (const Link& link : links_) write(link);
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (!touched_[i]) continue;
      set_weight(graph_, layers_[i], floats(weights_[i]));
      if (new_bias_[i]) set_bias(graph_, layers_[i], floats(biases_[i]));
    }
    return report_;
  }

 private:
  static std::vector<float> floats(const std::vector<double>& values) {
    return {values.begin(), values.end()};
  }

  void collect() {
    for (WeightedLayer& layer : weighted_layers(graph_)) {
      if (layer.pair) continue;
      const std::vector<float> weight = weight_values(graph_, layer);
      const std::vector<float> bias = bias_values(graph_, layer).value_or(std::vector<float>());
      weights_.emplace_back(weight.begin(), weight.end());
      biases_.emplace_back(bias.begin(), bias.end());
      layers_.push_back(std::move(layer));
    }
    touched_.assign(layers_.size(), false);
    new_bias_.assign(layers_.size(), false);
    const Links finder(graph_, layers_);
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (biases_[i].empty()) continue;
      if (auto link = finder.from(i)) links_.push_back(std::move(*link));
    }
  }

  const std::string& name_of(ValueId value) const { return graph_.value(value).name; }

  // Ranges of all links in one pass.
  void measure() {
    std::vector<std::string> watch;
    std::map<std::string, ChannelStatistics> seen;
    std::map<std::string, size_t> axes;
    for (const Link& link : links_) {
      const WeightedLayer& before = layers_[link.before];
      const ValueId raw = link.between[graph_.node(before.node).op == "MatMul" ? 1 : 0];
      for (const ValueId value : {raw, link.between.back()}) {
        watch.push_back(name_of(value));
        seen[watch.back()];
      }
    }
    ModelRuns runs(graph_, job_.ops, job_.make_runner, watch);
    const BatchSource source = job_.data.open(job_.part);
    job_.progress.begin("measuring channels", 0, "batches");
    int64_t batches = 0;
    for (; const auto inputs = source(); ++batches) {
      check_interrupt();
      runs.run(*inputs, [&](const std::string& name, const Tensor& tensor) {
        const auto found = seen.find(name);
        if (found != seen.end()) found->second.add(tensor, axis_of(name, tensor));
      });
      job_.progress.update(batches + 1, "");
    }
    job_.progress.end();
    if (batches == 0) fail("there is no calibration sample");
    for (Link& link : links_) {
      const WeightedLayer& before = layers_[link.before];
      const ChannelStatistics& read = seen.at(name_of(link.between.back()));
      link.raw = seen.at(name_of(link.between[graph_.node(before.node).op == "MatMul" ? 1 : 0]));
      for (size_t c = 0; c < read.sum.size(); ++c) {
        link.channels.magnitude.push_back(read.magnitude(c));
        link.channels.mean_square.push_back(read.mean_square(c));
      }
      link.factor.assign(read.sum.size(), 1.0);
      link.shift.assign(read.sum.size(), 0.0);
    }
  }
  size_t axis_of(const std::string& name, const Tensor& tensor) const {
    for (const Link& link : links_) {
      if (name == name_of(link.between.back())) return layers_[link.after[0]].channel_axis(tensor);
      if (std::any_of(link.between.begin(), link.between.end(),
                      [&](ValueId value) { return name == name_of(value); })) {
        return layers_[link.before].channel_axis(tensor);
      }
    }
    KVANT_CHECK(false, "a tensor of no link was watched");
    return 0;
  }

  // Multiplies the weights by factor[channel] along inputs or outputs.
  void scale(size_t layer, const std::vector<double>& factor, bool outputs) {
    touched_[layer] = true;
    std::vector<double>& weight = weights_[layer];
    for (size_t i = 0; i < weight.size(); ++i) {
      const auto [out, in] = layers_[layer].place(static_cast<int64_t>(i));
      weight[i] *= factor[static_cast<size_t>(outputs ? out : in)];
    }
    new_bias_[layer] |= outputs ? 1 : 0;
    for (size_t c = 0; outputs && c < factor.size(); ++c) biases_[layer][c] *= factor[c];
  }

  double sweep() {
    double change = 0;
    for (Link& link : links_) {
      std::vector<ChannelReader> readers;
      for (const size_t i : link.after) readers.push_back({&layers_[i], weights_[i]});
      std::vector<double> s = balance_channels(link.channels, readers, std::nullopt);
      limit_to_bounds(link, s);
      std::vector<double> inverse(s.size());
      for (size_t c = 0; c < s.size(); ++c) {
        inverse[c] = 1 / s[c];
        change = std::max(change, std::fabs(s[c] - 1));
        link.factor[c] *= s[c];
        link.channels.magnitude[c] /= s[c];
        link.channels.mean_square[c] /= s[c] * s[c];
        if (!link.bound.empty()) link.bound[c] /= s[c];
      }
      scale(link.before, inverse, true);
      for (const size_t i : link.after) scale(i, s, false);
    }
    return change;
  }

  // No channel's bound falls below the tensor's range: then quantization hides it. A factor that is lowered
  // for that keeps the channel within the range, since no magnitude exceeds its bound.
  static void limit_to_bounds(const Link& link, std::vector<double>& s) {
    if (link.bound.empty()) return;
    double range = 0;
    for (size_t c = 0; c < s.size(); ++c) range = std::max(range, link.channels.magnitude[c] / s[c]);
    if (range <= 0) return;
    for (size_t c = 0; c < s.size(); ++c) s[c] = std::min(s[c], link.bound[c] / range);
  }

  void absorb(Link& link) {
    if (!link.rectified || link.moves) return;
    for (const size_t i : link.after) {
      if (biases_[i].empty() || !unpadded(graph_.node(layers_[i].node))) return;
    }
    bool any = false;
    for (size_t c = 0; c < link.shift.size(); ++c) {
      const double surely = std::min<double>(link.raw.low[c], link.raw.mean(c) - 3 * link.raw.deviation(c));
      double shift = std::max(0.0, surely / link.factor[c]);
      if (!link.bound.empty() && shift >= link.bound[c]) shift = 0;  // always saturated: nothing to gain
      link.shift[c] = shift;
      if (shift == 0) continue;
      any = true;
      ++report_.absorbed;
      biases_[link.before][c] -= shift;
      if (!link.bound.empty()) link.bound[c] -= shift;
    }
    for (size_t k = 0; any && k < link.after.size(); ++k) {
      const size_t layer = link.after[k];
      touched_[layer] = touched_[link.before] = new_bias_[layer] = new_bias_[link.before] = true;
      const double alpha = gemm_alpha(layer);
      for (size_t i = 0; i < weights_[layer].size(); ++i) {
        const auto [out, in] = layers_[layer].place(static_cast<int64_t>(i));
        biases_[layer][static_cast<size_t>(out)] +=
            alpha * weights_[layer][i] * link.shift[static_cast<size_t>(in)];
      }
    }
  }
  double gemm_alpha(size_t layer) const {
    const Node& node = graph_.node(layers_[layer].node);
    return node.op == "Gemm" ? node.attributes.real("alpha", 1.0f) : 1.0;
  }

  void write(const Link& link) {
    const bool same = std::all_of(link.factor.begin(), link.factor.end(), [](double s) { return s == 1; }) &&
                      std::all_of(link.shift.begin(), link.shift.end(), [](double c) { return c == 0; });
    if (same) return;
    ++report_.links;
    // The values are others now: what is known of them by name (ranges, comparisons) holds no longer.
    for (const ValueId value : link.between) graph_.rename_value(value, name_of(value) + "_equalized");
    if (link.clip != kNone) write_bound(link);
  }

  void write_bound(const Link& link) {
    const ValueId clipped = graph_.node(link.clip).outputs[0];
    const std::string name = name_of(clipped);
    const ir::Type type = graph_.value(clipped).type;
    Shape shape{static_cast<int64_t>(link.bound.size())};
    const WeightedLayer& before = layers_[link.before];
    const size_t rank = type.shape ? type.shape->size() : graph_.constant(before.weight)->rank();
    if (before.image) shape.insert(shape.end(), rank - 2, 1);
    const ValueId bound =
        graph_.add_constant(name + "_bound", Tensor::of<float>(shape, floats(link.bound)).cast(type.dtype));
    const Node& clip = graph_.node(link.clip);
    const ValueId input = clip.inputs[0];
    const std::string node_name = clip.name;
    graph_.set_inputs(link.clip, {input});
    graph_.set_op(link.clip, "Relu");
    const NodeId min = graph_.add_node("Min", node_name + "_bound", {clipped, bound}, {name + "_bounded"});
    // The bounded value is the one that is equal to what was there, up to the factors.
    const ValueId bounded = graph_.node(min).outputs[0];
    graph_.set_type(bounded, type);
    graph_.replace_uses(clipped, bounded);
    graph_.set_input(min, 0, clipped);
    graph_.rename_value(clipped, name + "_unbounded");
    graph_.rename_value(bounded, name);
    graph_.sources(min) = graph_.node(link.clip).sources;
  }

  AdjustJob& job_;
  Graph& graph_;
  std::vector<WeightedLayer> layers_;
  std::vector<std::vector<double>> weights_, biases_;
  std::vector<char> touched_, new_bias_;  // by layer: to be written
  std::vector<Link> links_;
  EqualizeReport report_;
};

}  // namespace

EqualizeReport equalize(AdjustJob& job) {
  const EqualizeReport report = Equalizer(job).run();
  job.graph.erase_dead();
  ir::infer_types(job.graph, job.ops);
  return report;
}

void adjust_equalize(AdjustJob& job) {
  const EqualizeReport report = equalize(job);
  job.changed = report.links > 0 || report.absorbed > 0;
  job.remark = fmt::format("{} tensors evened out in {} sweeps, {} biases absorbed", report.links,
                           report.sweeps, report.absorbed);
}

}  // namespace kvant::quant
