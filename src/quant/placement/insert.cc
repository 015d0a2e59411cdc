// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/insert.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "ir/qdq.h"
#include "ir/statistics.h"
#include "quant/weight_range.h"

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

// Sites without a pair, by the tensor that they read.
std::map<ValueId, std::vector<Sites::Key>> activations(const Sites& sites) {
  std::map<ValueId, std::vector<Sites::Key>> result;
  for (const auto& [key, site] : sites.all()) {
    if (site.weight || site.present) continue;
    result[sites.graph().node(key.first).inputs[static_cast<size_t>(key.second)]].push_back(key);
  }
  return result;
}

QuantParams params_of_weight(const Graph& graph, const Sites::Key& key, int64_t axis, int bits) {
  const Node& node = graph.node(key.first);
  const Tensor& weight = *graph.constant(node.inputs[static_cast<size_t>(key.second)]);
  return weight_params(weight, axis, bits, fmt::format("the weight of {} '{}'", node.op, node.name));
}

class Inserter {
 public:
  Inserter(Graph& graph, const Sites& sites, const CalibrationTable& table, int bits)
      : graph_(graph), sites_(sites), table_(table), bits_(bits) {}

  void run() {
    // Sites speak of the graph as it was: everything is looked up before anything is written.
    struct Pending {
      ValueId value;
      std::vector<Sites::Key> keys;
      float scale;
      std::optional<ir::Quantized> pair;
    };
    std::vector<Pending> pending;
    for (auto& [value, keys] : activations(sites_)) {
      const auto pair = shareable_pair(graph_, value);
      pending.push_back({value, keys, pair ? 0.0f : activation_scale(value), pair});
    }
    for (const Pending& p : pending) {
      const ir::Quantized pair =
          p.pair ? *p.pair
                 : ir::add_pair(graph_, p.value, {.dtype = DType::Int8, .scale = {p.scale}, .zero_point = {}},
                                bits_);
      if (!p.pair) describe(pair, p.keys);
      for (const auto& [node, input] : p.keys) graph_.set_input(node, input, pair.result);
    }
    insert_weights();
    if (bits_ < 8) graph_.metadata[std::string(ir::kBitsKey)] = std::to_string(bits_);
  }

 private:
  float activation_scale(ValueId value) const {
    float amax = 0;
    bool known = false;
    for (const ValueId member : sites_.scale_group(value)) {
      if (const auto fixed = shareable_pair(sites_.graph(), member)) {
        if (fixed->params.dtype == DType::Int8 && fixed->params.zero_point.empty())
          return fixed->params.scale[0];
      }
      const auto found = table_.ranges.find(sites_.graph().value(member).name);
      if (found == table_.ranges.end()) continue;
      known = known || member == value;
      amax = std::max(amax, found->second.amax());
    }
    if (!known) {
      fail("tensor '{}' has no range: calibrate it, or give it in the ranges file", graph_.value(value).name);
    }
    return safe_scale(amax, bits_);
  }

  void insert_weights() {
    std::map<std::pair<ValueId, int64_t>, ValueId> done;
    for (const auto& [key, site] : sites_.all()) {
      if (!site.weight || site.present) continue;
      const auto [id, input] = key;
      const ValueId weight = graph_.node(id).inputs[static_cast<size_t>(input)];
      auto [entry, fresh] = done.try_emplace({weight, site.axis}, kNone);
      if (fresh) {
        const QuantParams params = noting(
            [&] { return fmt::format("while quantizing {} '{}'", graph_.node(id).op, graph_.node(id).name); },
            [&] { return weight_params(*graph_.constant(weight), site.axis, bits_); });
        const ir::Quantized pair = ir::add_pair(graph_, weight, params, bits_);
        describe(pair, {key});
        entry->second = pair.result;
      }
      graph_.set_input(id, input, entry->second);
    }
  }

  void describe(const ir::Quantized& pair, const std::vector<Sites::Key>& keys) {
    std::string reason =
        sites_.all().at(keys.front()).reason + " '" + graph_.node(keys.front().first).name + "'";
    if (keys.size() > 1) reason += fmt::format(", shared by {} readers", keys.size());
    for (const NodeId id : {pair.clip, pair.quantize, pair.dequantize}) {
      if (id != kNone) graph_.set_reason(id, reason);
    }
  }

  Graph& graph_;
  const Sites& sites_;
  const CalibrationTable& table_;
  int bits_;
};

bool moves_only(const Sites& sites, NodeId id) {
  return sites.is_transparent(id) || sites.graph().node(id).op == "Concat" ||
         sites.graph().node(id).op == "Pad";
}

// Why a node without a site is float.
std::string float_reason(const Sites& sites, const Node& node, NodeId id) {
  if (const auto found = sites.float_reasons().find(id); found != sites.float_reasons().end())
    return found->second;
  if (is_activation(node) || is_swish(sites.graph(), node))
    return "an activation: it fuses into the layer before it";
  if (node.op == "BatchNormalization") {
    const Node* before = sites.graph().producer(node.inputs[0]);
    const bool fuses =
        before != nullptr && (before->op == "Conv" || before->op == "ConvTranspose" || before->op == "Gemm");
    return fuses ? "it fuses into the layer before it" : "norms stay in float";
  }
  if (moves_only(sites, id)) return "moves data: it takes the precision of its neighbours";
  return node.op + " stays in float";
}

LayerReport report_layer(const Graph& graph, const Sites& sites, NodeId id) {
  const Node& node = graph.node(id);
  LayerReport layer;
  layer.name = node.name;
  layer.op = node.op;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const auto site = sites.all().find({id, static_cast<int>(i)});
    const bool claimed = site != sites.all().end();
    if (!claimed && !ir::quantized_behind(graph, node.inputs[i])) continue;
    const bool weight = claimed ? site->second.weight : sites.is_weight(node.inputs[i]);
    layer.weight = layer.weight || weight;
    layer.quantized = layer.quantized || !weight;
    if (!weight) layer.inputs.push_back(static_cast<int>(i));
    if (layer.reason.empty() || !weight) {
      layer.reason =
          claimed ? "int8: " + site->second.reason : std::string("int8: the model came with this pair");
    }
  }
  if (layer.inputs.empty()) layer.reason = "float: " + float_reason(sites, node, id);
  return layer;
}

bool is_code_clip(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.op != "Clip" || node.inputs.empty()) return false;
  const auto forms = ir::quantized_forms(graph, node.inputs[0]);
  return std::any_of(forms.begin(), forms.end(), [&](const ir::Quantized& pair) { return pair.clip == id; });
}

}  // namespace

std::vector<std::string> tensors_to_calibrate(const Sites& sites) {
  std::vector<std::string> names;
  for (const auto& [value, keys] : activations(sites)) {
    if (!shareable_pair(sites.graph(), value)) names.push_back(sites.graph().value(value).name);
  }
  return names;
}

void check_weights(const Sites& sites) {
  for (const auto& [key, site] : sites.all()) {
    if (site.weight && !site.present) params_of_weight(sites.graph(), key, QuantParams::kPerTensor, 8);
  }
}

PlacementReport insert_pairs(Graph& graph, const Sites& sites, const CalibrationTable& table, int bits) {
  if (bits < 2 || bits > 8) fail("{} bits: quantization takes 2 to 8", bits);
  KVANT_CHECK(&graph != &sites.graph(), "pairs are inserted into a copy of the graph that was placed on");
  const size_t nodes_before = graph.node_capacity();
  Inserter(graph, sites, table, bits).run();
  PlacementReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (ir::is_quantize(node) || ir::is_dequantize(node) || is_code_clip(graph, id)) continue;
    KVANT_CHECK(static_cast<size_t>(id) < nodes_before, "insertion made a node that is no part of a pair");
    if (node.outputs.empty() || node.outputs[0] == kNone ||
        !is_float(graph.value(node.outputs[0]).type.dtype))
      continue;
    report.layers.push_back(report_layer(graph, sites, id));
    graph.set_reason(id, report.layers.back().reason);
  }
  const ir::QdqSummary summary = ir::summarize_qdq(graph);
  report.activation_pairs = summary.activation_pairs;
  report.weight_pairs = summary.weight_pairs;
  return report;
}

}  // namespace kvant::quant
