// SPDX-License-Identifier: Apache-2.0
#include "ir/graph.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "base/error.h"

namespace kvant::ir {
namespace {

template <class Map>
std::string unique_name(const Map& taken, std::string_view wanted) {
  std::string name(wanted);
  for (int i = 1; taken.contains(name); ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

}  // namespace

bool Type::is_static() const {
  return shape && std::ranges::none_of(*shape, [](int64_t dim) { return dim == kUnknownDim; });
}

std::string Graph::unique_value_name(std::string_view wanted) const {
  return unique_name(value_names_, wanted.empty() ? "value" : wanted);
}

ValueId Graph::new_value(std::string_view name, Type type) {
  const auto id = static_cast<ValueId>(values_.size());
  Value value;
  value.name = unique_value_name(name);
  value.type = std::move(type);
  value_names_.emplace(value.name, id);
  values_.push_back(std::move(value));
  return id;
}

ValueId Graph::add_input(std::string_view name, Type type, std::vector<std::string> dim_names) {
  const ValueId id = new_value(name, std::move(type));
  values_[static_cast<size_t>(id)].dim_names = std::move(dim_names);
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string_view name, Tensor value) {
  const ValueId id = new_value(name, {value.dtype(), value.shape()});
  values_[static_cast<size_t>(id)].constant = std::move(value);
  return id;
}

NodeId Graph::add_node(std::string op, std::string_view name, std::vector<ValueId> inputs,
                       std::vector<std::string> output_names, Attributes attributes) {
  const auto id = static_cast<NodeId>(nodes_.size());
  Node node;
  node.name = name.empty() ? unique_name(node_names_, lower(op)) : unique_name(node_names_, name);
  node.op = std::move(op);
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
  for (size_t i = 0; i < output_names.size(); ++i) {
    const std::string wanted = output_names[i].empty() ? node.name + "_output" : output_names[i];
    const ValueId value = new_value(wanted, {});
    values_[static_cast<size_t>(value)].producer = id;
    node.outputs.push_back(value);
  }
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] != kNone) {
      values_[static_cast<size_t>(node.inputs[i])].uses.push_back({id, static_cast<int>(i)});
    }
  }
  node_names_.emplace(node.name, id);
  nodes_.push_back(std::move(node));
  return id;
}

ValueId Graph::add(std::string op, std::string_view name, std::vector<ValueId> inputs,
                   Attributes attributes) {
  const NodeId id = add_node(std::move(op), name, std::move(inputs), {""}, std::move(attributes));
  return node(id).outputs[0];
}

void Graph::add_output(ValueId value) { outputs_.push_back(value); }
void Graph::set_outputs(std::vector<ValueId> outputs) { outputs_ = std::move(outputs); }

void Graph::remove_input(ValueId id) {
  Value& v = values_[static_cast<size_t>(id)];
  KVANT_CHECK(v.uses.empty() && !is_output(id), "a used graph input is removed");
  std::erase(inputs_, id);
  value_names_.erase(v.name);
  v.erased = true;
}

ValueId Graph::find_value(std::string_view name) const {
  const auto it = value_names_.find(name);
  return it == value_names_.end() ? kNone : it->second;
}

NodeId Graph::find_node(std::string_view name) const {
  const auto it = node_names_.find(name);
  return it == node_names_.end() ? kNone : it->second;
}

std::vector<NodeId> Graph::topological_order() const {
  std::vector<int> missing(nodes_.size(), 0);
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;
  size_t live = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].erased) continue;
    ++live;
    for (const ValueId input : nodes_[i].inputs) {
      if (input != kNone && value(input).producer != kNone) ++missing[i];
    }
    if (missing[i] == 0) ready.push(static_cast<NodeId>(i));
  }
  std::vector<NodeId> order;
  order.reserve(live);
  while (!ready.empty()) {
    const NodeId id = ready.top();
    ready.pop();
    order.push_back(id);
    for (const ValueId output : node(id).outputs) {
      if (output == kNone) continue;
      for (const Use& use : value(output).uses) {
        if (--missing[static_cast<size_t>(use.node)] == 0) ready.push(use.node);
      }
    }
  }
  if (order.size() != live) {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!nodes_[i].erased && missing[i] > 0) {
        fail("the graph has a cycle through or before node '{}' ({})", nodes_[i].name, nodes_[i].op);
      }
    }
  }
  return order;
}

size_t Graph::node_count() const {
  return static_cast<size_t>(std::ranges::count_if(nodes_, [](const Node& n) { return !n.erased; }));
}

bool Graph::is_output(ValueId id) const { return std::ranges::find(outputs_, id) != outputs_.end(); }

const Node* Graph::producer(ValueId id) const {
  if (id == kNone || value(id).producer == kNone) return nullptr;
  return &node(value(id).producer);
}

size_t Graph::use_count(ValueId id) const {
  return value(id).uses.size() + static_cast<size_t>(std::ranges::count(outputs_, id));
}

void Graph::set_constant(ValueId id, Tensor tensor) {
  Value& v = values_[static_cast<size_t>(id)];
  KVANT_CHECK(v.producer == kNone, "a node's output cannot become a constant in place");
  std::erase(inputs_, id);
  v.type = {tensor.dtype(), tensor.shape()};
  v.constant = std::move(tensor);
}

void Graph::set_dim_names(ValueId id, std::vector<std::string> names) {
  values_[static_cast<size_t>(id)].dim_names = std::move(names);
}

void Graph::rename_value(ValueId id, std::string_view name) {
  Value& v = values_[static_cast<size_t>(id)];
  if (v.name == name) return;
  value_names_.erase(v.name);
  v.name = unique_value_name(name);
  value_names_.emplace(v.name, id);
}

void Graph::rename_node(NodeId id, std::string_view name) {
  Node& n = nodes_[static_cast<size_t>(id)];
  if (n.name == name) return;
  node_names_.erase(n.name);
  n.name = unique_name(node_names_, name);
  node_names_.emplace(n.name, id);
}

void Graph::set_input(NodeId id, int index, ValueId new_value) {
  ValueId& slot = nodes_[static_cast<size_t>(id)].inputs[static_cast<size_t>(index)];
  const Use use{id, index};
  if (slot != kNone) std::erase(values_[static_cast<size_t>(slot)].uses, use);
  slot = new_value;
  if (slot != kNone) values_[static_cast<size_t>(slot)].uses.push_back(use);
}

void Graph::drop_uses(NodeId id) {
  for (const ValueId input : node(id).inputs) {
    if (input == kNone) continue;
    std::erase_if(values_[static_cast<size_t>(input)].uses, [id](const Use& use) { return use.node == id; });
  }
}

void Graph::set_inputs(NodeId id, std::vector<ValueId> inputs) {
  drop_uses(id);
  Node& n = nodes_[static_cast<size_t>(id)];
  n.inputs = std::move(inputs);
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    if (n.inputs[i] != kNone)
      values_[static_cast<size_t>(n.inputs[i])].uses.push_back({id, static_cast<int>(i)});
  }
}

void Graph::replace_uses(ValueId from, ValueId to, bool outputs_too) {
  const std::vector<Use> uses = value(from).uses;
  for (const Use& use : uses) set_input(use.node, use.index, to);
  if (outputs_too) std::ranges::replace(outputs_, from, to);
}

void Graph::erase_node(NodeId id) {
  Node& n = nodes_[static_cast<size_t>(id)];
  for (const ValueId output : n.outputs) {
    if (output == kNone) continue;
    KVANT_CHECK(use_count(output) == 0, "node '" + n.name + "' is erased while in use");
    Value& v = values_[static_cast<size_t>(output)];
    value_names_.erase(v.name);
    v.erased = true;
  }
  drop_uses(id);
  node_names_.erase(n.name);
  n.inputs.clear();
  n.erased = true;
}

size_t Graph::erase_dead() {
  const std::vector<NodeId> order = topological_order();
  size_t erased = 0;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const auto unused = [this](ValueId output) { return output == kNone || use_count(output) == 0; };
    if (!std::ranges::all_of(node(*it).outputs, unused)) continue;
    erase_node(*it);
    ++erased;
  }
  for (size_t i = 0; i < values_.size(); ++i) {
    Value& v = values_[i];
    if (v.erased || !v.constant || use_count(static_cast<ValueId>(i)) > 0) continue;
    value_names_.erase(v.name);
    v.constant.reset();
    v.erased = true;
  }
  return erased;
}

}  // namespace kvant::ir
