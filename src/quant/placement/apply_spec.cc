// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/apply_spec.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <optional>
#include <regex>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"
#include "ir/qdq.h"
#include "ops/ops.h"
#include "quant/placement/layers.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;

constexpr size_t kLongestName = 4096;  // beyond, std::regex may run out of stack

bool asks(const SpecEntry& entry) { return entry.quantize_input || entry.quantize_weight; }

bool heeds_inputs(const Node& node) { return node.op == "Add" || node.op == "Mul" || node.op == "Concat"; }

// What the cases quantize somewhere, so that a pattern may mean it.
bool is_usual(const Sites& sites, NodeId id) {
  const Graph& graph = sites.graph();
  const Node& node = graph.node(id);
  return has_weight(sites, id) || node.op == "AveragePool" || is_global_average(graph, node) ||
         node.op == "MaxPool" || node.op == "Concat" || node.op == "MatMul" || joins_two(graph, node) ||
         is_own_norm(graph, node);
}

// Nodes that a spec may speak of: not those of pairs, whose Clip has no name of the model's either.
std::vector<NodeId> layers_of(const Graph& graph) {
  std::vector<NodeId> layers;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!ir::is_quantize(node) && !ir::is_dequantize(node) && !node.outputs.empty()) layers.push_back(id);
  }
  return layers;
}

// Which layers of one graph an entry fits.
class Fitter {
 public:
  explicit Fitter(const Sites& sites) : sites_(sites), layers_(layers_of(sites.graph())) {
    for (const NodeId id : layers_) by_label_[label(sites_.graph(), id)].push_back(id);
  }

  // In topological order. `passed_over` gets those that a pattern fits but does not mean.
  std::vector<NodeId> fits(const SpecEntry& entry, std::vector<NodeId>* passed_over = nullptr) const {
    std::vector<NodeId> result;
    if (!entry.layer_class.empty()) {
      std::copy_if(layers_.begin(), layers_.end(), std::back_inserter(result),
                   [&](NodeId id) { return is_of_class(sites_, id, entry.layer_class); });
      return result;
    }
    if (const auto exact = by_label_.find(entry.name); exact != by_label_.end()) return exact->second;
    const ir::ValueId made = sites_.graph().find_value(entry.name);
    const NodeId producer = made == kNone ? kNone : sites_.graph().value(made).producer;
    if (std::find(layers_.begin(), layers_.end(), producer) != layers_.end()) return {producer};
    std::optional<std::regex> expression;
    if (entry.name.starts_with("re:")) expression.emplace(entry.name.substr(3));
    if (!expression && entry.name.find_first_of("*?[") == std::string::npos) return result;
    for (const NodeId id : layers_) {
      const std::string name = label(sites_.graph(), id);
      if (name.size() > kLongestName) continue;
      const bool fit = expression ? std::regex_search(name, *expression)
                                  : ::fnmatch(entry.name.c_str(), name.c_str(), 0) == 0;
      if (!fit) continue;
      if (!asks(entry) || is_usual(sites_, id)) {
        result.push_back(id);
      } else if (passed_over != nullptr) {
        passed_over->push_back(id);
      }
    }
    return result;
  }

  // fits(), and fails when that is nothing.
  std::vector<NodeId> must_fit(const Spec& spec, size_t index) const {
    const SpecEntry& entry = spec.layers[index];
    check_class(spec, index);
    std::vector<NodeId> passed_over;
    std::vector<NodeId> nodes = fits(entry, &passed_over);
    if (!nodes.empty()) return nodes;
    const Graph& graph = sites_.graph();
    if (!passed_over.empty()) {
      fail("{} fits only layers that are not quantized unless named one by one, such as {} '{}'",
           describe(spec, index), graph.node(passed_over[0]).op, label(graph, passed_over[0]));
    }
    std::set<std::string> known;
    for (const NodeId id : layers_) known.insert(entry.name.empty() ? graph.node(id).op : label(graph, id));
    const std::vector<std::string> names(known.begin(), known.end());
    const std::string wanted = entry.name.starts_with("re:") ? entry.name.substr(3) : entry.name;
    fail("{} fits no layer of the model{}", describe(spec, index),
         nearest_hint(entry.name.empty() ? entry.layer_class : wanted, names));
  }

 private:
  static void check_class(const Spec& spec, size_t index) {
    const std::string& name = spec.layers[index].layer_class;
    std::vector<std::string> known = {"DepthwiseConv", "Linear", "Swish"};
    if (name.empty() || ops::standard().find(name) != nullptr ||
        std::find(known.begin(), known.end(), name) != known.end()) {
      return;
    }
    for (const ir::OpDef& op : ops::standard().all()) known.emplace_back(op.name);
    fail("{}: there is no such class: an ONNX operator, DepthwiseConv, Linear or Swish is meant{}",
         describe(spec, index), nearest_hint(name, known));
  }

  const Sites& sites_;
  std::vector<NodeId> layers_;
  std::map<std::string, std::vector<NodeId>> by_label_;
};

// The entries that decide about one layer; -1: none.
struct Deciding {
  int by_name = -1, by_class = -1;
  int first() const { return by_name >= 0 ? by_name : by_class; }
};

LayerRule rule_for(const Spec& spec, const Deciding& deciding, const Node& node) {
  const auto index = static_cast<size_t>(deciding.first());
  const SpecEntry& entry = spec.layers[index];
  LayerRule rule{.input = entry.quantize_input,
                 .weight = entry.quantize_weight,
                 .bits = entry.bits,
                 .calibrator = entry.calibrator,
                 .origin = place_of(spec, index)};
  if (heeds_inputs(node)) rule.inputs = entry.inputs;
  if (deciding.by_class >= 0) {
    const SpecEntry& general = spec.layers[static_cast<size_t>(deciding.by_class)];
    if (rule.bits == 0) rule.bits = general.bits;
    if (rule.calibrator.empty()) rule.calibrator = general.calibrator;
  }
  return rule;
}

void check_inputs(const Sites& sites, NodeId id, const LayerRule& rule, const std::string& entry) {
  const Graph& graph = sites.graph();
  const Node& node = graph.node(id);
  for (const int input : rule.inputs) {
    if (input < 0 || static_cast<size_t>(input) >= node.inputs.size()) {
      fail("{}: {} '{}' has no input {}: it has {}, counted from 0", entry, node.op, label(graph, id), input,
           node.inputs.size());
    }
    if (!sites.can_be_activation(node.inputs[static_cast<size_t>(input)])) {
      fail("{}: input {} of {} '{}' is a constant, or not f32: it gets no pair", entry, input, node.op,
           label(graph, id));
    }
  }
}

void want_swish(Sites& sites, NodeId id) {
  const Graph& graph = sites.graph();
  const Node& node = graph.node(id);
  for (const size_t gate : {size_t{0}, size_t{1}}) {
    const NodeId sigmoid = graph.value(node.inputs[gate]).producer;
    if (sigmoid == kNone || graph.node(sigmoid).inputs[0] != node.inputs[1 - gate]) continue;
    sites.want_activation(id, static_cast<int>(1 - gate), "data of a swish");
    sites.want_activation(sigmoid, 0, "data of a swish");
    return;
  }
}

void claim(Sites& sites, NodeId id, const LayerRule& rule) {
  const Graph& graph = sites.graph();
  const Node& node = graph.node(id);
  if (has_weight(sites, id)) {
    return node.op == "Gemm" || node.op == "MatMul" ? want_linear(sites, id) : want_conv(sites, id);
  }
  if (!rule.input) return;
  if (is_swish(graph, node) && rule.inputs.empty()) return want_swish(sites, id);
  if (node.op == "Conv" || node.op == "ConvTranspose")
    return sites.keep_float(id, "its weight is computed at run time");
  const size_t count = is_weighted(node) ? 2 : node.inputs.size();  // their third is the bias
  for (size_t i = 0; i < std::min(count, node.inputs.size()); ++i) {
    if (node.inputs[i] != kNone)
      sites.want_activation(id, static_cast<int>(i), "input of a layer that the spec names");
  }
}

// Fails when an entry decides about layers, asks for pairs on them, and none can have one.
void check_effect(const Sites& sites, const Spec& spec, size_t index, const std::vector<NodeId>& layers) {
  const Graph& graph = sites.graph();
  const SpecEntry& entry = spec.layers[index];
  bool possible = layers.empty();
  for (const NodeId id : layers) {
    const bool wants = entry.quantize_input || (entry.quantize_weight && has_weight(sites, id));
    possible = possible || !wants || sites.has_site(id);
  }
  if (possible) return;
  const auto reason = sites.float_reasons().find(layers[0]);
  fail("{}: {} '{}' cannot be quantized: {}", describe(spec, index), graph.node(layers[0]).op,
       label(graph, layers[0]),
       reason == sites.float_reasons().end() ? "it reads no f32 tensor that is computed" : reason->second);
}

}  // namespace

void apply_spec(Sites& sites, const Spec& spec) {
  check_spec(spec);
  const Graph& graph = sites.graph();
  const Fitter fitter(sites);
  std::map<NodeId, Deciding> deciding;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    for (const NodeId id : fitter.must_fit(spec, i)) {
      (spec.layers[i].name.empty() ? deciding[id].by_class : deciding[id].by_name) = static_cast<int>(i);
    }
  }
  std::vector<std::vector<NodeId>> decided(spec.layers.size());
  for (const NodeId id : graph.topological_order()) {
    const auto found = deciding.find(id);
    if (found == deciding.end()) continue;
    const auto index = static_cast<size_t>(found->second.first());
    const LayerRule rule = rule_for(spec, found->second, graph.node(id));
    check_inputs(sites, id, rule, describe(spec, index));
    decided[index].push_back(id);
    sites.set_rule(id, rule);
  }
  for (size_t i = 0; i < decided.size(); ++i) {
    if (!asks(spec.layers[i])) continue;
    for (const NodeId id : decided[i]) claim(sites, id, *sites.rule_of(id));
    check_effect(sites, spec, i, decided[i]);
  }
}

void check_matches(const Graph& graph, const Spec& spec) {
  check_spec(spec);
  const Sites sites(graph);
  const Fitter fitter(sites);
  for (size_t i = 0; i < spec.layers.size(); ++i) fitter.must_fit(spec, i);
}

std::set<std::string> names_to_keep(const Graph& graph, const Spec& spec) {
  const Sites sites(graph);
  const Fitter fitter(sites);
  std::set<std::string> names;
  for (const SpecEntry& entry : spec.layers) {
    if (!entry.quantize_input) continue;
    for (const NodeId id : fitter.fits(entry)) names.insert(graph.node(id).name);
  }
  return names;
}

Spec without_removed(const Graph& graph, const Spec& spec) {
  const Sites sites(graph);
  const Fitter fitter(sites);
  Spec left;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    if (!fitter.fits(spec.layers[i]).empty()) {
      left.layers.push_back(spec.layers[i]);
      if (left.layers.back().number == 0) left.layers.back().number = static_cast<int>(i) + 1;
    } else if (asks(spec.layers[i])) {
      fail(
          "{}: what it names is gone before pairs are placed: constants and what only passes on its input "
          "are "
          "removed, batch norms are folded",
          describe(spec, i));
    }
  }
  return left;
}

}  // namespace kvant::quant
