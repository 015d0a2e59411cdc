// SPDX-License-Identifier: Apache-2.0
#include "report/explain.h"

#include <fmt/ranges.h>

#include <map>
#include <optional>

#include "ir/qdq.h"

namespace kvant::report {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

bool is_code(DType dtype) { return dtype == DType::Int8 || dtype == DType::UInt8; }

std::string type_name(DType dtype) {
  switch (dtype) {
    case DType::Int8:
      return "int8";
    case DType::UInt8:
      return "uint8";
    case DType::Float32:
      return "float32";
    case DType::Float16:
      return "float16";
    default:
      return std::string(kvant::name(dtype));
  }
}

class Explainer {
 public:
  Explainer(const Graph& model, const engine::Plan& plan) : model_(model), plan_(plan) {
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const Node& node = lowered(i);
      by_source_.emplace(node.name, i);
      for (const std::string& source : node.sources) by_source_.emplace(source, i);
    }
  }

  Explanation run() {
    Explanation result;
    for (size_t i = 0; i < plan_.steps.size(); ++i) result.layers.push_back(layer(i));
    for (const NodeId id : model_.topological_order()) {
      const Node& node = model_.node(id);
      if (ir::is_quantize(node) || ir::is_dequantize(node)) result.qdq.push_back(fate(id));
    }
    return result;
  }

 private:
  const Node& lowered(size_t step) const { return plan_.graph.node(plan_.steps[step].node); }
  const std::string& step_name(size_t step) const { return lowered(step).name; }

  DType input_type(size_t step) const {
    for (const ValueId input : lowered(step).inputs) {
      if (input != kNone) return plan_.graph.value(input).type.dtype;
    }
    return DType::Float32;
  }
  DType output_type(size_t step) const {
    for (const ValueId output : lowered(step).outputs) {
      if (output != kNone) return plan_.graph.value(output).type.dtype;
    }
    return DType::Float32;
  }

  ExplainedLayer layer(size_t i) const {
    const engine::PlanStep& step = plan_.steps[i];
    const Node& node = lowered(i);
    const DType in = input_type(i), out = output_type(i);
    ExplainedLayer layer{.name = node.name,
                         .op = node.op,
                         .precision = type_name(in),
                         .kernel = step.backend,
                         .reason = node.reason,
                         .nodes = node.sources};
    if (in != out) layer.precision += " to " + type_name(out);
    if (!step.tactic.empty()) layer.kernel += " " + step.tactic;
    if (layer.reason.empty()) layer.reason = reason(i, in);
    if (!step.fallback.empty()) layer.reason += "; " + step.fallback;
    return layer;
  }

  std::string reason(size_t i, DType in) const {
    const Node& node = lowered(i);
    if (plan_.steps[i].backend == engine::kView) return "shares its input's memory";
    if (node.op == "Transpose") return "another layout of the same data";
    if (node.sources.size() > 1) return fmt::format("one kernel for {}", fmt::join(node.sources, " + "));
    if (is_code(in)) return "an integer kernel";
    return "float: its inputs are not quantized";
  }

  // The step that computes a node of the model, if one does.
  std::optional<size_t> step_of(NodeId id) const {
    const auto found = by_source_.find(model_.node(id).name);
    if (found == by_source_.end()) return std::nullopt;
    return found->second;
  }

  PairFate fate(NodeId id) const {
    const Node& node = model_.node(id);
    PairFate fate{.node = node.name, .fate = {}, .into = {}, .reason = {}};
    if (const auto step = step_of(id)) {
      const Node& made = lowered(*step);
      fate.into = made.name;
      if (ir::is_quantize(made) || ir::is_dequantize(made)) {
        fate.fate = "separate";
        fate.reason = made.reason.empty() ? "a pass of its own" : made.reason;
      } else {
        fate.fate = "fused";
        fate.reason = ir::is_quantize(node) ? made.op + " writes the codes" : made.op + " reads the codes";
      }
      return fate;
    }
    if (is_of_constant(node)) return folded(id, std::move(fate));
    return ir::is_quantize(node) ? moved(id, std::move(fate)) : read(id, std::move(fate));
  }

  bool is_of_constant(const Node& node) const {
    if (model_.is_constant(node.inputs[0])) return true;
    const Node* before = model_.producer(node.inputs[0]);
    return before != nullptr && ir::is_quantize(*before) && model_.is_constant(before->inputs[0]);
  }

  // The first step behind a value, through Q, DQ and what has no step of its own.
  std::optional<size_t> reader(ValueId value, int depth = 0) const {
    if (depth > 8) return std::nullopt;
    for (const ir::Use& use : model_.value(value).uses) {
      if (const auto step = step_of(use.node)) return step;
      for (const ValueId output : model_.node(use.node).outputs) {
        if (output == kNone) continue;
        if (const auto step = reader(output, depth + 1)) return step;
      }
    }
    return std::nullopt;
  }

  PairFate folded(NodeId id, PairFate fate) const {
    fate.fate = "folded";
    const auto step = reader(model_.node(id).outputs[0]);
    if (!step) {
      fate.reason = "nothing in the plan reads it";
      return fate;
    }
    fate.into = step_name(*step);
    fate.reason = is_code(input_type(*step)) ? "the plan holds the integer weight"
                                             : "the plan holds the weight as the float values of its codes";
    return fate;
  }

  // A DQ without a step: whoever reads it reads the codes.
  PairFate read(NodeId id, PairFate fate) const {
    const auto step = reader(model_.node(id).outputs[0]);
    if (!step) {
      fate.fate = "erased";
      fate.reason = "a Q with the same scale follows: the codes pass unchanged";
      return fate;
    }
    fate.fate = "fused";
    fate.into = step_name(*step);
    fate.reason = lowered(*step).op + " reads the codes";
    return fate;
  }

  // A Q without a step: the layer before it, behind data movement, writes the codes; or an equal Q does.
  PairFate moved(NodeId id, PairFate fate) const {
    const ValueId source = model_.node(id).inputs[0];
    for (const ir::Use& use : model_.value(source).uses) {
      const auto step = use.node == id ? std::nullopt : step_of(use.node);
      if (!step || !ir::is_quantize(model_.node(use.node))) continue;
      fate.fate = "fused";
      fate.into = step_name(*step);
      fate.reason = "an equal Q of the same tensor does its work";
      return fate;
    }
    ValueId value = source;
    for (int steps = 0; steps < 16 && value != kNone; ++steps) {
      const NodeId producer = model_.value(value).producer;
      if (producer == kNone) break;
      const auto step = step_of(producer);
      if (step && is_code(output_type(*step))) {
        fate.fate = "moved";
        fate.into = step_name(*step);
        fate.reason = lowered(*step).op + " writes the codes; what lies between works on them";
        return fate;
      }
      if (model_.node(producer).inputs.empty()) break;
      value = model_.node(producer).inputs[0];
    }
    fate.fate = "erased";
    fate.reason = "its input holds codes of the same scale already";
    return fate;
  }

  const Graph& model_;
  const engine::Plan& plan_;
  std::map<std::string, size_t> by_source_;
};

}  // namespace

Explanation explain(const Graph& model, const engine::Plan& plan) { return Explainer(model, plan).run(); }

}  // namespace kvant::report
