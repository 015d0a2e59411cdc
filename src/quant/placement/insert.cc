// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/insert.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "ir/qdq.h"
#include "ir/statistics.h"
#include "quant/placement/reasons.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

// A pair on `value` that new readers can share.
std::optional<ir::Quantized> shareable_pair(const Graph& graph, ValueId value) {
  for (const ir::Quantized& pair : ir::quantized_forms(graph, value)) {
    if (pair.params.per_tensor()) return pair;
  }
  return std::nullopt;
}

using PairReaders = std::map<ValueId, std::vector<Sites::Key>>;

// Tensors that get a pair or are read through one that is there, with the sites that read them (none for an
// output that no site reads).
PairReaders activations(const Sites& sites) {
  PairReaders result;
  for (const auto& [key, site] : sites.all()) {
    if (site.weight || site.present) continue;
    result[sites.graph().node(key.first).inputs[static_cast<size_t>(key.second)]].push_back(key);
  }
  for (const auto& [value, output] : sites.outputs()) result[value];
  return result;
}

// The bits of the pair on `value`: the most that a weighted layer or a rule asks for among the readers of its
// scale group.
int pair_bits(const Sites& sites, const PairReaders& readers, ValueId value, int default_bits) {
  int bits = 0;
  for (const ValueId member : sites.scale_group(value)) {
    const auto found = readers.find(member);
    if (found == readers.end()) continue;
    for (const Sites::Key& key : found->second) {
      const int own = sites.all().at(key).bits;
      if (own > 0 || is_weighted(sites.graph().node(key.first)))
        bits = std::max(bits, own > 0 ? own : default_bits);
    }
  }
  return bits == 0 ? default_bits : bits;
}

// uint8 codes over a range that holds 0, as grid_of() has them; 0 is exact.
QuantParams affine_params(Range range) {
  const float step = (range.high - range.low) / 255.0f;
  const float scale = step < std::numeric_limits<float>::min() ? 1.0f : step;
  const auto zero = static_cast<int32_t>(std::clamp(std::nearbyint(-range.low / scale), 0.0f, 255.0f));
  QuantParams params{.dtype = DType::UInt8, .scale = {scale}, .zero_point = {}};
  if (zero != 0) params.zero_point = {zero};
  return params;
}

QuantParams params_of_weight(const Graph& graph, const Sites::Key& key, int64_t axis, int bits) {
  const Node& node = graph.node(key.first);
  const Tensor& weight = *graph.constant(node.inputs[static_cast<size_t>(key.second)]);
  return weight_params(weight, axis, bits, fmt::format("the weight of {} '{}'", node.op, node.name));
}

class Inserter {
 public:
  Inserter(Graph& graph, const Sites& sites, const CalibrationTable& table, int bits,
           WeightCalibrator weights, Codes codes)
      : weight_calibrator_(weights),
        codes_(codes),
        graph_(graph),
        sites_(sites),
        table_(table),
        default_bits_(bits),
        activations_(activations(sites)) {}

  // The bits of each DQ that was written.
  std::map<NodeId, int> run() {
    // Sites speak of the graph as it was: everything is looked up before anything is written.
    struct Pending {
      ValueId value;
      int bits;
      QuantParams params;
      std::optional<ir::Quantized> pair;
      std::vector<ir::Use> readers;  // of an output: all that read the float tensor
    };
    std::vector<Pending> pending;
    for (const auto& [value, keys] : activations_) {
      const auto pair = shareable_pair(graph_, value);
      const int bits = pair_bits(sites_, activations_, value, default_bits_);
      pending.push_back({value, bits, pair ? QuantParams{} : activation_params(value, bits), pair, {}});
      if (sites_.outputs().contains(value)) pending.back().readers = float_readers(value);
    }
    for (const Pending& p : pending) {
      const ir::Quantized pair = p.pair ? *p.pair : ir::add_pair(graph_, p.value, p.params, p.bits);
      if (!p.pair) describe(pair, p.value, p.bits);
      for (const auto& [node, input] : activations_.at(p.value)) graph_.set_input(node, input, pair.result);
      for (const ir::Use& use : p.readers) graph_.set_input(use.node, use.index, pair.result);
      if (const auto output = sites_.outputs().find(p.value);
          output != sites_.outputs().end() && output->second.as_graph_output) {
        read_as_output(p.value, pair.result);
      }
    }
    if (default_bits_ < 8) graph_.metadata[std::string(ir::kBitsKey)] = std::to_string(default_bits_);
    insert_weights();
    return std::move(bits_of_pair_);
  }

 private:
  QuantParams activation_params(ValueId value, int bits) const {
    Range range;
    bool known = false;
    for (const ValueId member : sites_.scale_group(value)) {
      if (const auto fixed = shareable_pair(sites_.graph(), member)) {
        const QuantParams& params = fixed->params;
        if (params.dtype == DType::Int8 && params.zero_point.empty()) return params;
        if (codes_ == Codes::Affine && params.dtype == DType::UInt8) return params;
      }
      const auto found = table_.ranges.find(sites_.graph().value(member).name);
      if (found == table_.ranges.end()) continue;
      known = known || member == value;
      range = {std::min(range.low, found->second.low), std::max(range.high, found->second.high)};
    }
    if (!known) {
      fail("tensor '{}' has no range: calibrate it, or give it in the ranges file", graph_.value(value).name);
    }
    if (const auto curve = sites_.curves().find(value); curve != sites_.curves().end())
      range.low = std::max(range.low, least_input(curve->second, range));
    if (codes_ == Codes::Affine && bits == 8) return affine_params(range);
    return {.dtype = DType::Int8, .scale = {safe_scale(range.amax(), bits)}, .zero_point = {}};
  }

  // From where on the results of an activation that vanishes to the left leave the code of 0: less than that
  // needs no codes of its own.
  float least_input(const Sites::Curve& curve, const Range& input) const {
    constexpr int kSteps = 4096;
    const float low = input.low;
    if (low >= 0) return low;
    const auto found = table_.ranges.find(sites_.graph().value(curve.result).name);
    // A result whose pair stands behind a node that moves it has no range of its own.
    const Range range = found != table_.ranges.end()
                            ? found->second
                            : Range{0.0f, activate(curve.activation, std::max(input.high, 0.0f), 0, 0)};
    const float step = codes_ == Codes::Affine ? (range.high - range.low) / 255.0f : range.amax() / 127.0f;
    if (!(step > 0)) return low;
    for (int i = 0; i < kSteps; ++i) {
      const float x = low * (1.0f - static_cast<float>(i) / kSteps);
      if (std::abs(activate(curve.activation, x, 0, 0)) > 0.5f * step) return x;
    }
    return low;
  }

  // Readers of `value` that are no part of a pair on it.
  std::vector<ir::Use> float_readers(ValueId value) const {
    std::vector<ir::Use> readers;
    const auto forms = ir::quantized_forms(graph_, value);
    for (const ir::Use& use : graph_.value(value).uses) {
      const bool of_pair = std::any_of(forms.begin(), forms.end(), [&](const ir::Quantized& pair) {
        return use.node == pair.quantize || use.node == pair.clip;
      });
      if (!of_pair) readers.push_back(use);
    }
    return readers;
  }

  // The graph's output `value` becomes `dequantized`, under the name that it has.
  void read_as_output(ValueId value, ValueId dequantized) {
    if (!graph_.is_output(value)) return;
    std::vector<ValueId> outputs(graph_.outputs().begin(), graph_.outputs().end());
    std::replace(outputs.begin(), outputs.end(), value, dequantized);
    const std::string name = graph_.value(value).name;
    const std::vector<std::string> dim_names = graph_.value(value).dim_names;
    graph_.set_outputs(std::move(outputs));
    graph_.rename_value(value, name + "_float");
    graph_.rename_value(dequantized, name);
    graph_.set_dim_names(dequantized, dim_names);
  }

  void insert_weights() {
    std::map<std::tuple<ValueId, int64_t, int>, ValueId> done;
    for (const auto& [key, site] : sites_.all()) {
      if (!site.weight || site.present) continue;
      const auto [id, input] = key;
      const ValueId weight = graph_.node(id).inputs[static_cast<size_t>(input)];
      const int bits = site.bits > 0 ? site.bits : default_bits_;
      auto [entry, fresh] = done.try_emplace({weight, site.axis, bits}, kNone);
      if (fresh) {
        const QuantParams params = noting(
            [&] { return fmt::format("while quantizing {} '{}'", graph_.node(id).op, graph_.node(id).name); },
            [&] {
              return weight_params(*graph_.constant(weight), site.axis, bits, "the weight",
                                   weight_calibrator_);
            });
        const ValueId held = within_codes(own_constant(weight, bits, done), params, bits);
        const ir::Quantized pair = ir::add_pair(graph_, held, params, bits);
        describe(pair, site.reason + " '" + label(graph_, id) + "'", bits);
        entry->second = pair.result;
      }
      graph_.set_input(id, input, entry->second);
    }
  }

  // A constant carries the bits of its codes by its name, so one that is read at two widths becomes two.
  ValueId own_constant(ValueId weight, int bits,
                       const std::map<std::tuple<ValueId, int64_t, int>, ValueId>& done) {
    const auto first = done.lower_bound({weight, INT64_MIN, 0});
    for (auto it = first; it != done.end() && std::get<0>(it->first) == weight; ++it) {
      if (std::get<2>(it->first) == bits || it->second == kNone) continue;
      const Tensor copy = *graph_.constant(weight);
      weight = graph_.add_constant(graph_.value(weight).name + fmt::format("_{}_bits", bits), copy);
      break;
    }
    if (bits != default_bits_) {
      graph_.metadata[std::string(ir::kBitsKey) + ":" + graph_.value(weight).name] = std::to_string(bits);
    }
    return weight;
  }

  // Constants have no Clip before their Q: a weight beyond the codes of its range is cut in the constant
  // itself, in a copy where others read it too.
  ValueId within_codes(ValueId weight, const QuantParams& params, int bits) {
    std::optional<Tensor> cut = cut_to_codes(*graph_.constant(weight), params, bits);
    if (!cut) return weight;
    const std::string name = graph_.value(weight).name, key = std::string(ir::kBitsKey) + ":";
    if (graph_.use_count(weight) == 1) {
      graph_.set_constant(weight, std::move(*cut));
      return weight;
    }
    const ValueId copy = graph_.add_constant(name + "_cut", std::move(*cut));
    if (bits != default_bits_) graph_.metadata[key + graph_.value(copy).name] = std::to_string(bits);
    return copy;
  }

  void describe(const ir::Quantized& pair, ValueId value, int bits) {
    const std::vector<Sites::Key>& keys = activations_.at(value);
    const auto output = sites_.outputs().find(value);
    std::string reason;
    if (!keys.empty()) {
      reason = sites_.all().at(keys.front()).reason + " '" + label(graph_, keys.front().first) + "'";
    } else {
      reason = output->second.reason;
    }
    if (keys.size() > 1) reason += fmt::format(", shared by {} readers", keys.size());
    for (const Sites::Key& key : keys) {
      const int own = sites_.all().at(key).bits;
      if (own == 0 || own >= bits) continue;
      reason += fmt::format(", {} bits for its other readers ('{}' asks for {})", bits,
                            label(graph_, key.first), own);
    }
    describe(pair, reason, bits);
  }

  void describe(const ir::Quantized& pair, const std::string& reason, int bits) {
    for (const NodeId id : {pair.clip, pair.quantize, pair.dequantize}) {
      if (id != kNone) graph_.set_reason(id, reason);
    }
    bits_of_pair_[pair.dequantize] = bits;
  }

  WeightCalibrator weight_calibrator_;
  Codes codes_;
  Graph& graph_;
  const Sites& sites_;
  const CalibrationTable& table_;
  int default_bits_;
  PairReaders activations_;
  std::map<NodeId, int> bits_of_pair_;
};

constexpr const char* kCameWithPair = "the model came with this pair";

LayerReport report_layer(const Graph& graph, const Sites& sites, NodeId id, int default_bits) {
  const Node& node = graph.node(id);
  LayerReport layer;
  layer.name = node.name;
  layer.op = node.op;
  const std::string origin = sites.rule_of(id) ? " (" + sites.rule_of(id)->origin + ")" : "";
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const auto site = sites.all().find({id, static_cast<int>(i)});
    const bool claimed = site != sites.all().end();
    if (!claimed && !ir::quantized_behind(graph, node.inputs[i])) continue;
    const bool weight = claimed ? site->second.weight : sites.is_weight(sites.graph().node(id).inputs[i]);
    layer.weight = layer.weight || weight;
    layer.quantized = layer.quantized || !weight;
    if (weight && claimed && !site->second.present)
      layer.weight_bits = site->second.bits > 0 ? site->second.bits : default_bits;
    if (!weight) layer.inputs.push_back(static_cast<int>(i));
    if (layer.reason.empty() || (!weight && layer.inputs.size() == 1)) {
      const bool of_output = sites.outputs().contains(sites.graph().node(id).inputs[i]);
      layer.reason = "int8: " + (claimed     ? site->second.reason + origin
                                 : of_output ? std::string("reads a tensor that is quantized for all readers")
                                             : std::string(kCameWithPair));
    }
  }
  if (!layer.inputs.empty()) return layer;
  const bool weight_alone = layer.weight && sites.rule_of(id) != nullptr && !sites.rule_of(id)->input;
  layer.reason =
      "float: " + (weight_alone ? "its weight alone is quantized" + origin : float_reason(sites, id));
  return layer;
}

bool is_code_clip(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.op != "Clip" || node.inputs.empty()) return false;
  const auto forms = ir::quantized_forms(graph, node.inputs[0]);
  return std::any_of(forms.begin(), forms.end(), [&](const ir::Quantized& pair) { return pair.clip == id; });
}

int bits_of_range(const ir::Quantized& pair) {
  int bits = 2;
  while (bits < 8 && (1 << (bits - 1)) - 1 < pair.range.high) ++bits;
  return bits;
}

// One entry for each DQ; those that came with the model get their reason here.
PairReport report_pair(Graph& graph, const ir::Quantized& pair, const std::map<NodeId, int>& bits) {
  PairReport report;
  if (pair.source != kNone) report.tensor = graph.value(pair.source).name;
  if (pair.quantize != kNone) report.quantize = graph.node(pair.quantize).name;
  report.weight = pair.source == kNone ? graph.is_constant(pair.codes) : graph.is_constant(pair.source);
  const auto written = bits.find(pair.dequantize);
  report.bits = written != bits.end() ? written->second : bits_of_range(pair);
  report.readers = static_cast<int>(graph.use_count(pair.result));
  for (const NodeId id : {pair.clip, pair.quantize, pair.dequantize}) {
    if (id != kNone && graph.node(id).reason.empty()) graph.set_reason(id, kCameWithPair);
  }
  report.reason = graph.node(pair.dequantize).reason;
  return report;
}

}  // namespace

std::vector<std::string> tensors_to_calibrate(const Sites& sites) {
  std::vector<std::string> names;
  for (const auto& [value, keys] : activations(sites)) {
    if (!shareable_pair(sites.graph(), value)) names.push_back(sites.graph().value(value).name);
  }
  return names;
}

std::map<std::string, std::string> calibrators_of(const Sites& sites) {
  std::map<std::string, std::string> result;
  for (const auto& [value, keys] : activations(sites)) {
    if (shareable_pair(sites.graph(), value)) continue;
    for (const Sites::Key& key : keys) {
      const std::string& wanted = sites.all().at(key).calibrator;
      if (!wanted.empty()) result[sites.graph().value(value).name] = wanted;
    }
  }
  return result;
}

std::map<std::string, int> bits_of(const Sites& sites, int bits) {
  std::map<std::string, int> result;
  const PairReaders readers = activations(sites);
  for (const auto& [value, keys] : readers) {
    if (!shareable_pair(sites.graph(), value))
      result[sites.graph().value(value).name] = pair_bits(sites, readers, value, bits);
  }
  return result;
}

void check_weights(const Sites& sites) {
  for (const auto& [key, site] : sites.all()) {
    if (site.weight && !site.present) params_of_weight(sites.graph(), key, QuantParams::kPerTensor, 8);
  }
}

PlacementReport insert_pairs(Graph& graph, const Sites& sites, const CalibrationTable& table, int bits,
                             WeightCalibrator weights, Codes codes) {
  if (bits < 2 || bits > 8) fail("{} bits: quantization takes 2 to 8", bits);
  KVANT_CHECK(&graph != &sites.graph(), "pairs are inserted into a copy of the graph that was placed on");
  const size_t nodes_before = graph.node_capacity();
  const std::map<NodeId, int> written = Inserter(graph, sites, table, bits, weights, codes).run();
  if (!sites.curves().empty()) graph.metadata[std::string(kActivationTablesKey)] = "1";
  PlacementReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (ir::is_dequantize(node)) {
      if (const auto pair = ir::quantized_behind(graph, node.outputs[0]))
        report.pairs.push_back(report_pair(graph, *pair, written));
    }
    if (ir::is_quantize(node) || ir::is_dequantize(node) || is_code_clip(graph, id)) continue;
    KVANT_CHECK(static_cast<size_t>(id) < nodes_before, "insertion made a node that is no part of a pair");
    if (node.outputs.empty() || node.outputs[0] == kNone ||
        !is_float(graph.value(node.outputs[0]).type.dtype))
      continue;
    report.layers.push_back(report_layer(graph, sites, id, bits));
    graph.set_reason(id, report.layers.back().reason);
  }
  const ir::QdqSummary summary = ir::summarize_qdq(graph);
  report.activation_pairs = summary.activation_pairs;
  report.weight_pairs = summary.weight_pairs;
  return report;
}

}  // namespace kvant::quant
