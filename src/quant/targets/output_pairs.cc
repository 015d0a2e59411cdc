// SPDX-License-Identifier: Apache-2.0
#include "quant/targets/output_pairs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "ir/qdq.h"
#include "quant/placement/insert.h"
#include "quant/placement/sites.h"
#include "quant/weight_range.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

// Scales of the metadata by tensor.
std::map<std::string, float> kept_scales(const Graph& graph) {
  std::map<std::string, float> scales;
  const auto found = graph.metadata.find(std::string(kOutputScalesKey));
  if (found == graph.metadata.end()) return scales;
  const std::string& text = found->second;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t space = line.rfind(' ');
    if (space == std::string::npos) continue;
    float scale = 0;
    const char* last = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data() + space + 1, last, scale);
    if (error == std::errc() && stop == last && scale > 0 && std::isfinite(scale))
      scales[line.substr(0, space)] = scale;
  }
  return scales;
}

void keep_scales(Graph& graph, const std::map<std::string, float>& scales) {
  std::string text;
  for (const auto& [name, scale] : scales) text += fmt::format("{} {}\n", name, scale);
  if (text.empty()) {
    graph.metadata.erase(std::string(kOutputScalesKey));
  } else {
    graph.metadata[std::string(kOutputScalesKey)] = text;
  }
}

bool computes_in_integers(const Graph& graph, const Node& node) {
  if (!is_weighted(node)) return false;
  const auto x = ir::quantized_behind(graph, node.inputs[0]);
  return x && x->params.per_tensor() && ir::quantized_behind(graph, node.inputs[1]);
}

// Operators that onnxruntime computes on codes when all they read is quantized and a Q reads their result.
constexpr std::string_view kPairedOperators[] = {"Add", "Mul", "AveragePool", "GlobalAveragePool"};

bool may_be_sandwich(const Node& node) {
  return std::find(std::begin(kPairedOperators), std::end(kPairedOperators), node.op) !=
         std::end(kPairedOperators);
}

bool is_sandwich(const Graph& graph, const Node& node) {
  return may_be_sandwich(node) && std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) {
           const auto pair = ir::quantized_behind(graph, input);
           return pair && pair->params.per_tensor();
         });
}

constexpr std::string_view kMoversBeforePair[] = {"Flatten",   "Reshape",   "Squeeze",
                                                  "Unsqueeze", "Transpose", "MaxPool"};

// Relu, Clip with constant bounds and data movement: they commute with any Q that has a code for 0, because Q
// does not decrease and gives back the code of what DQ made.
bool commutes(const Graph& graph, const Node& node) {
  if (node.op == "Relu" || std::find(std::begin(kMoversBeforePair), std::end(kMoversBeforePair), node.op) !=
                               std::end(kMoversBeforePair))
    return node.outputs.size() == 1;
  if (node.op != "Clip") return false;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] != kNone && !graph.is_constant(node.inputs[i])) return false;
  }
  return true;
}

std::optional<QuantParams> byte_params(const Graph& graph, NodeId quantize) {
  auto params = ir::params_of(graph, quantize);
  if (!params || !params->per_tensor() || (params->dtype != DType::Int8 && params->dtype != DType::UInt8))
    return std::nullopt;
  return params;
}

// The parameters that every Q of `value` has, if there is a Q and they agree; `others` counts other readers.
std::optional<QuantParams> common_params(const Graph& graph, ValueId value, size_t& others) {
  std::optional<QuantParams> common;
  others = graph.use_count(value) - graph.value(value).uses.size();
  bool agree = true;
  for (const ir::Use& use : graph.value(value).uses) {
    if (!ir::is_quantize(graph.node(use.node)) || use.index != 0) {
      ++others;
      continue;
    }
    const auto params = byte_params(graph, use.node);
    agree = agree && params && (!common || *common == *params);
    common = params;
  }
  return agree ? common : std::nullopt;
}

// The Q's parameters behind a chain of commuting operators that alone reads `value`.
std::optional<QuantParams> params_behind_chain(const Graph& graph, ValueId value) {
  for (int steps = 0; steps < 8; ++steps) {
    size_t others = 0;
    const auto params = common_params(graph, value, others);
    if (others == 0) return steps > 0 ? params : std::nullopt;
    if (graph.use_count(value) != 1 || graph.value(value).uses.size() != 1) return std::nullopt;
    const ir::Use use = graph.value(value).uses[0];
    if (use.index != 0 || !commutes(graph, graph.node(use.node))) return std::nullopt;
    value = graph.node(use.node).outputs[0];
  }
  return std::nullopt;
}

// What is to be done about the result of a quantized convolution.
struct Plan {
  bool done = false;                  // nothing
  bool exact = false;                 // the pair rounds nothing new
  std::optional<QuantParams> params;  // of the pair, if they follow from the graph
};

Plan plan_for(const Graph& graph, const Node& conv) {
  const ValueId y = conv.outputs[0];
  size_t others = 0;
  const auto own = common_params(graph, y, others);
  if (others == 0) return {.done = true, .exact = true, .params = {}};
  if (own) return {.done = false, .exact = false, .params = own};
  auto params = params_behind_chain(graph, y);
  if (!params) return {};
  // With zero at the lowest code Q itself cuts what is negative, and onnxruntime drops the Relu.
  const ir::Use use = graph.value(y).uses[0];
  const bool redundant =
      graph.node(use.node).op == "Relu" && params->zero_point_at(0) == code_range(params->dtype).low;
  return {.done = redundant, .exact = true, .params = params};
}

QuantParams symmetric(DType dtype, float scale) {
  QuantParams params{.dtype = dtype, .scale = {scale}, .zero_point = {}};
  if (dtype == DType::UInt8) params.zero_point = {128};
  return params;
}

// Gives `to`, which takes over what `from` was to the graph's users, the name of a graph output.
void swap_names(Graph& graph, ValueId from, ValueId to, const std::string& suffix) {
  const std::string name = graph.value(from).name;
  const std::vector<std::string> dim_names = graph.value(from).dim_names;
  graph.rename_value(from, name + suffix);
  graph.rename_value(to, name);
  graph.set_dim_names(to, dim_names);
}

void insert_pair(Graph& graph, NodeId conv, const QuantParams& params) {
  const ValueId y = graph.node(conv).outputs[0];
  const std::vector<ir::Use> uses = graph.value(y).uses;
  const bool output = graph.is_output(y);
  const ir::Quantized pair = ir::add_pair(graph, y, params);
  for (const ir::Use& use : uses) graph.set_input(use.node, use.index, pair.result);
  for (const NodeId id : {pair.quantize, pair.dequantize})
    graph.set_reason(id, "result of '" + graph.node(conv).name + "', for a kernel that writes integers");
  if (!output) return;
  std::vector<ValueId> outputs(graph.outputs().begin(), graph.outputs().end());
  std::replace(outputs.begin(), outputs.end(), y, pair.result);
  graph.set_outputs(outputs);
  swap_names(graph, y, pair.result, "_float");
}

// A pair that may be taken away: it alone reads the result of a weighted layer.
std::optional<ir::Quantized> output_pair(const Graph& graph, NodeId quantize) {
  const Node& q = graph.node(quantize);
  const ValueId source = q.inputs[0];
  const Node* producer = graph.producer(source);
  if (producer == nullptr || graph.use_count(source) != 1) return std::nullopt;
  if (!computes_in_integers(graph, *producer) && !may_be_sandwich(*producer)) return std::nullopt;
  if (graph.use_count(q.outputs[0]) != 1 || graph.value(q.outputs[0]).uses.size() != 1) return std::nullopt;
  const Node& reader = graph.node(graph.value(q.outputs[0]).uses[0].node);
  if (!ir::is_dequantize(reader)) return std::nullopt;
  const auto pair = ir::quantized_behind(graph, reader.outputs[0]);
  return pair && pair->quantize == quantize && pair->clip == kNone ? pair : std::nullopt;
}

size_t count_ancestors(const Graph& graph, ValueId value) {
  std::set<NodeId> seen;
  std::vector<ValueId> open{value};
  while (!open.empty()) {
    const NodeId producer = open.back() == kNone ? kNone : graph.value(open.back()).producer;
    open.pop_back();
    if (producer == kNone || !seen.insert(producer).second) continue;
    const Node& node = graph.node(producer);
    open.insert(open.end(), node.inputs.begin(), node.inputs.end());
  }
  return seen.size();
}

// Whether the addition shall compute on this branch's float result: the other operand is quantized, and if it
// is such a branch too, it is the shorter one (or the second of two equal).
bool is_main_branch(const Graph& graph, const Node& add, ValueId branch) {
  const size_t at = add.inputs[0] == branch ? 0 : 1;
  const ValueId other = add.inputs[1 - at];
  const auto pair = ir::quantized_behind(graph, other);
  if (other == branch || !pair) return false;
  if (pair->quantize == kNone || !output_pair(graph, pair->quantize) || graph.use_count(other) != 1)
    return true;
  const size_t here = count_ancestors(graph, branch), there = count_ancestors(graph, other);
  return here != there ? here > there : at == 0;
}

// A pair before an activation that shall be a table of codes.
bool is_before_table(const Graph& graph, const ir::Quantized& pair) {
  if (!graph.metadata.contains(std::string(kActivationTablesKey))) return false;
  const std::vector<ir::Use>& uses = graph.value(pair.result).uses;
  return std::all_of(uses.begin(), uses.end(), [&](const ir::Use& use) {
    const Node& reader = graph.node(use.node);
    return is_swish(graph, reader) || (is_activation(reader) && reader.op != "Relu" && reader.op != "Clip");
  });
}

// A pair of a model from elsewhere that splits a layer from what would fuse into it.
bool splits_fusion(const Graph& graph, const ir::Quantized& pair) {
  if (is_before_table(graph, pair)) return false;
  const auto behind = params_behind_chain(graph, pair.result);
  const Node& producer = *graph.producer(pair.source);
  if (!is_weighted(producer))
    return behind && *behind == pair.params &&
           is_activation(graph.node(graph.value(pair.result).uses[0].node));
  const std::vector<ir::Use>& uses = graph.value(pair.result).uses;
  if (uses.empty() || graph.is_output(pair.result)) return false;
  const Node& reader = graph.node(uses[0].node);
  if (uses.size() == 2) {
    const Node& second = graph.node(uses[1].node);
    return is_swish(graph, reader) || is_swish(graph, second);
  }
  if (uses.size() != 1) return false;
  if (reader.op == "Add" && !graph.is_constant(reader.inputs[0]) && !graph.is_constant(reader.inputs[1]))
    return is_main_branch(graph, reader, pair.result);
  return uses[0].index == 0 && (is_activation(reader) || reader.op == "BatchNormalization");
}

// Returns the name that the float tensor has afterwards.
std::string remove_pair(Graph& graph, const ir::Quantized& pair) {
  const bool output = graph.is_output(pair.result);
  graph.replace_uses(pair.result, pair.source);
  if (output) {
    const std::string name = graph.value(pair.result).name;
    const std::vector<std::string> dim_names = graph.value(pair.result).dim_names;
    graph.rename_value(pair.result, name + "_removed");
    graph.rename_value(pair.source, name);
    graph.set_dim_names(pair.source, dim_names);
  }
  return graph.value(pair.source).name;
}

}  // namespace

std::vector<std::string> outputs_without_scale(const Graph& graph) {
  const auto kept = kept_scales(graph);
  std::vector<std::string> names;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Conv" || !computes_in_integers(graph, node)) continue;
    const Plan plan = plan_for(graph, node);
    const std::string& name = graph.value(node.outputs[0]).name;
    if (!plan.done && !plan.params && !kept.contains(name)) names.push_back(name);
  }
  return names;
}

void add_output_pairs(Graph& graph, const CalibrationTable& ranges, TargetReport& report) {
  auto kept = kept_scales(graph);
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    const bool conv = node.op == "Conv" && computes_in_integers(graph, node);
    if (!conv && !is_sandwich(graph, node)) continue;
    const Plan plan = plan_for(graph, node);
    if (plan.done || (!conv && !(plan.params && plan.exact))) continue;
    const std::string name = graph.value(node.outputs[0]).name;
    const DType dtype = ir::quantized_behind(graph, node.inputs[0])->params.dtype;
    std::optional<QuantParams> params = plan.params;
    if (!params) {
      if (const auto range = ranges.ranges.find(name); range != ranges.ranges.end()) {
        params = symmetric(dtype, safe_scale(range->second.amax(), 8));
      } else if (const auto scale = kept.find(name); scale != kept.end()) {
        params = symmetric(dtype, scale->second);
      }
    }
    if (!params || params->dtype != dtype) {
      report.left_float.push_back(
          {node.name,
           params ? "its result is quantized to another type than its input"
                  : "the range of its result '" + name + "' is not known: give --data or --load-ranges"});
      continue;
    }
    insert_pair(graph, id, *params);
    kept.erase(name);
    kept[graph.value(graph.node(id).outputs[0]).name] = params->scale[0];
    ++report.output_pairs_added;
    report.exact = report.exact && plan.exact;
  }
  keep_scales(graph, kept);
}

std::vector<std::string> splitting_pairs(const Graph& graph) {
  const auto kept = kept_scales(graph);
  std::vector<std::string> names;
  for (const NodeId id : graph.topological_order()) {
    if (!ir::is_quantize(graph.node(id))) continue;
    const auto pair = output_pair(graph, id);
    if (pair && (kept.contains(graph.value(pair->source).name) || splits_fusion(graph, *pair)))
      names.push_back(label(graph, graph.value(pair->source).producer));
  }
  return names;
}

void drop_output_pairs(Graph& graph, TargetReport& report) {
  auto kept = kept_scales(graph);
  for (const NodeId id : graph.topological_order()) {
    if (graph.node(id).erased || !ir::is_quantize(graph.node(id))) continue;
    const auto pair = output_pair(graph, id);
    if (!pair) continue;
    const std::string name = graph.value(pair->source).name;
    if (!kept.contains(name) && !splits_fusion(graph, *pair)) continue;
    const auto behind = params_behind_chain(graph, pair->result);
    const float scale = pair->params.scale[0];
    const auto same = behind && *behind == pair->params;
    kept.erase(name);
    kept[remove_pair(graph, *pair)] = scale;
    graph.erase_dead();
    ++report.output_pairs_dropped;
    report.exact = report.exact && same;
  }
  keep_scales(graph, kept);
}

}  // namespace kvant::quant
