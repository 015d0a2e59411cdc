// SPDX-License-Identifier: Apache-2.0
#include "ir/interpreter.h"

#include <algorithm>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::ir {
namespace {

std::vector<std::string> value_names(const Graph& graph) {
  std::vector<std::string> names;
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    if (!graph.value(static_cast<ValueId>(i)).erased)
      names.push_back(graph.value(static_cast<ValueId>(i)).name);
  }
  return names;
}

}  // namespace

void check_inputs(const Graph& graph, std::span<const Tensor> inputs) {
  if (inputs.size() != graph.inputs().size()) {
    fail("the model takes {} inputs, got {}", graph.inputs().size(), inputs.size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& declared = graph.value(graph.inputs()[i]);
    if (inputs[i].dtype() != declared.type.dtype) {
      fail("input '{}' takes {}, got {}", declared.name, name(declared.type.dtype), name(inputs[i].dtype()));
    }
    if (!declared.type.shape) continue;
    const Shape& want = *declared.type.shape;
    const Shape& have = inputs[i].shape();
    bool fits = want.size() == have.size();
    for (size_t d = 0; fits && d < want.size(); ++d) fits = want[d] == kUnknownDim || want[d] == have[d];
    if (!fits) fail("input '{}' takes shape {}, got {}", declared.name, to_string(want), to_string(have));
  }
}

Interpreter::Interpreter(const Graph& graph, const OpTable& ops)
    : graph_(graph),
      ops_(ops),
      order_(graph.topological_order()),
      use_counts_(graph.value_capacity(), 0),
      watched_(graph.value_capacity(), 0) {
  for (const NodeId id : order_) {
    noting([&] { return fmt::format("in node '{}'", graph_.node(id).name); },
           [&] { ops_.get(graph_.node(id).op); });
    for (const ValueId input : graph_.node(id).inputs) {
      if (input != kNone) ++use_counts_[static_cast<size_t>(input)];
    }
  }
  for (const ValueId output : graph_.outputs()) ++use_counts_[static_cast<size_t>(output)];
}

void Interpreter::watch(std::vector<std::string> names) {
  std::ranges::fill(watched_, 0);
  for (const std::string& name : names) {
    const ValueId id = graph_.find_value(name);
    if (id == kNone) fail("the graph has no tensor '{}'{}", name, nearest_hint(name, value_names(graph_)));
    watched_[static_cast<size_t>(id)] = 1;
  }
}

std::vector<Tensor> Interpreter::run(std::span<const Tensor> inputs, const Observer& observer) {
  check_inputs(graph_, inputs);
  std::vector<Tensor> values(graph_.value_capacity());
  std::vector<int> left = use_counts_;
  const auto show = [&](ValueId id, const Tensor& tensor) {
    if (observer && watched_[static_cast<size_t>(id)]) observer(graph_.value(id).name, tensor);
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[static_cast<size_t>(graph_.inputs()[i])] = inputs[i];
    show(graph_.inputs()[i], inputs[i]);
  }
  const auto tensor_of = [&](ValueId id) -> const Tensor* {
    if (id == kNone) return nullptr;
    const Tensor* constant = graph_.constant(id);
    return constant ? constant : &values[static_cast<size_t>(id)];
  };
  for (const NodeId id : order_) {
    const Node& node = graph_.node(id);
    std::vector<const Tensor*> arguments;
    for (const ValueId input : node.inputs) arguments.push_back(tensor_of(input));
    std::vector<Tensor> results =
        noting([&] { return fmt::format("while evaluating {} '{}'", node.op, node.name); },
               [&] {
                 return ops_.get(node.op).evaluate({node, arguments});
               });
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNone) continue;
      KVANT_CHECK(i < results.size(), node.op + " evaluates to too few outputs");
      show(node.outputs[i], results[i]);
      values[static_cast<size_t>(node.outputs[i])] = std::move(results[i]);
    }
    for (const ValueId input : node.inputs) {
      if (input != kNone && --left[static_cast<size_t>(input)] == 0)
        values[static_cast<size_t>(input)] = Tensor();
    }
  }
  std::vector<Tensor> outputs;
  for (const ValueId output : graph_.outputs()) outputs.push_back(*tensor_of(output));
  return outputs;
}

std::vector<Tensor> evaluate(const Graph& graph, const OpTable& ops, std::span<const Tensor> inputs) {
  return Interpreter(graph, ops).run(inputs);
}

}  // namespace kvant::ir
