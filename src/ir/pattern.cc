// SPDX-License-Identifier: Apache-2.0
#include "ir/pattern.h"

#include <algorithm>

#include "base/error.h"

namespace kvant::ir {

struct Pattern::Data {
  enum class Kind { Any, Constant, Optional, Op, Maybe } kind = Kind::Any;
  std::vector<std::string> ops;
  std::vector<Pattern> inputs;
  std::string name;
  bool shared = false;
};

namespace {

using Kind = Pattern::Data::Kind;

Pattern make(Pattern::Data data) { return Pattern(std::make_shared<const Pattern::Data>(std::move(data))); }

std::vector<std::string> split_alternatives(const std::string& ops) {
  std::vector<std::string> result;
  size_t begin = 0;
  while (true) {
    const size_t end = ops.find('|', begin);
    result.push_back(ops.substr(begin, end - begin));
    if (end == std::string::npos) return result;
    begin = end + 1;
  }
}

bool is_commutative(const std::string& op) {
  return op == "Add" || op == "Mul" || op == "Max" || op == "Min";
}

class Matcher {
 public:
  explicit Matcher(const Graph& graph) : graph_(graph) {}

  bool match_value(ValueId id, const Pattern& pattern, bool root, Match& m) const {
    const Pattern::Data& p = pattern.data();
    if (id == kNone) return p.kind == Kind::Optional;
    switch (p.kind) {
      case Kind::Any:
        return bind(id, p, m);
      case Kind::Constant:
        return graph_.is_constant(id) && bind(id, p, m);
      case Kind::Optional:
        return match_value(id, p.inputs[0], root, m) && bind(id, p, m);
      case Kind::Op:
        return match_node(id, p, root, m) && bind(id, p, m);
      case Kind::Maybe: {
        Match with = m;
        if (match_node(id, p, root, with) && bind(id, p, with)) {
          m = std::move(with);
          return true;
        }
        return match_value(id, p.inputs[0], root, m);
      }
    }
    return false;
  }

 private:
  static bool bind(ValueId id, const Pattern::Data& p, Match& m) {
    if (p.name.empty()) return true;
    const auto [it, fresh] = m.values.emplace(p.name, id);
    return fresh || it->second == id;  // the same name twice must be the same value
  }

  bool match_node(ValueId id, const Pattern::Data& p, bool root, Match& m) const {
    const NodeId producer = graph_.value(id).producer;
    if (producer == kNone) return false;
    const Node& node = graph_.node(producer);
    if (std::ranges::find(p.ops, node.op) == p.ops.end() || node.outputs[0] != id) return false;
    if (!root && !p.shared && graph_.use_count(id) != 1) return false;
    Match direct = m;
    direct.nodes.push_back(producer);
    if (match_inputs(node.inputs, p, direct)) {
      m = std::move(direct);
      return true;
    }
    if (!is_commutative(node.op) || node.inputs.size() != 2 || p.inputs.size() != 2) return false;
    Match swapped = m;
    swapped.nodes.push_back(producer);
    if (!match_inputs({node.inputs[1], node.inputs[0]}, p, swapped)) return false;
    m = std::move(swapped);
    return true;
  }

  bool match_inputs(const std::vector<ValueId>& inputs, const Pattern::Data& p, Match& m) const {
    for (size_t i = 0; i < p.inputs.size(); ++i) {
      const ValueId input = i < inputs.size() ? inputs[i] : kNone;
      if (!match_value(input, p.inputs[i], false, m)) return false;
    }
    return true;
  }

  const Graph& graph_;
};

}  // namespace

Pattern Pattern::as(std::string name) const {
  Data data = *data_;
  data.name = std::move(name);
  return make(std::move(data));
}

Pattern Pattern::shared() const {
  Data data = *data_;
  data.shared = true;
  return make(std::move(data));
}

Pattern any(std::string name) {
  return make({.kind = Kind::Any, .ops = {}, .inputs = {}, .name = std::move(name)});
}
Pattern constant(std::string name) {
  return make({.kind = Kind::Constant, .ops = {}, .inputs = {}, .name = std::move(name)});
}
Pattern optional(Pattern inner) {
  return make({.kind = Kind::Optional, .ops = {}, .inputs = {std::move(inner)}, .name = ""});
}
Pattern op(std::string ops, std::vector<Pattern> inputs) {
  return make({.kind = Kind::Op, .ops = split_alternatives(ops), .inputs = std::move(inputs), .name = ""});
}
Pattern maybe(std::string ops, Pattern inner) {
  return make(
      {.kind = Kind::Maybe, .ops = split_alternatives(ops), .inputs = {std::move(inner)}, .name = ""});
}

ValueId Match::operator[](const std::string& name) const {
  const auto it = values.find(name);
  return it == values.end() ? kNone : it->second;
}

std::optional<Match> match(const Graph& graph, NodeId node, const Pattern& pattern) {
  const Node& root = graph.node(node);
  if (root.erased || root.outputs.empty() || root.outputs[0] == kNone) return std::nullopt;
  Match m;
  if (!Matcher(graph).match_value(root.outputs[0], pattern, true, m) || m.nodes.empty()) return std::nullopt;
  m.root = node;
  if (m.nodes.front() != node) return std::nullopt;
  return m;
}

ValueId Patch::add(std::string op, std::vector<ValueId> inputs, Attributes attributes) {
  const Node& root = graph_.node(match_.root);
  const ValueId value = graph_.add(std::move(op), root.name, std::move(inputs), std::move(attributes));
  const NodeId id = graph_.value(value).producer;
  added_nodes_.push_back(id);
  std::vector<std::string>& sources = graph_.sources(id);
  for (const NodeId matched : match_.nodes) {
    const Node& node = graph_.node(matched);
    const std::vector<std::string> own = node.sources.empty() ? std::vector{node.name} : node.sources;
    for (const std::string& source : own) {
      if (std::ranges::find(sources, source) == sources.end()) sources.push_back(source);
    }
  }
  return value;
}

ValueId Patch::add_constant(std::string_view name, Tensor value) {
  return graph_.add_constant(name, std::move(value));
}

void Patch::replace_root(ValueId value) { replacement_ = value; }

void Patch::commit() {
  if (replacement_ == kNone) return;
  const ValueId old = graph_.node(match_.root).outputs[0];
  const std::string value_name = graph_.value(old).name;
  const std::string node_name = graph_.node(match_.root).name;
  graph_.replace_uses(old, replacement_);
  const NodeId maker = graph_.value(replacement_).producer;
  const bool ours = maker != kNone && std::ranges::find(added_nodes_, maker) != added_nodes_.end();
  if (ours) {  // the new node takes the place and the names of the old
    graph_.rename_value(old, value_name + "_old");
    graph_.rename_value(replacement_, value_name);
    graph_.rename_node(match_.root, node_name + "_old");
    graph_.rename_node(maker, node_name);
  }
  graph_.erase_dead();
}

void Patch::roll_back() {
  for (auto it = added_nodes_.rbegin(); it != added_nodes_.rend(); ++it) graph_.erase_node(*it);
  graph_.erase_dead();
}

size_t apply(Graph& graph, const Rule& rule) {
  size_t fired = 0;
  bool changed = true;
  while (changed) {
    changed = false;
    for (const NodeId id : graph.topological_order()) {
      if (graph.node(id).erased) continue;
      const std::optional<Match> m = match(graph, id, rule.pattern);
      if (!m) continue;
      Patch patch(graph, *m);
      if (rule.rewrite(*m, patch)) {
        patch.commit();
        ++fired;
        changed = true;
      } else {
        patch.roll_back();
      }
    }
  }
  return fired;
}

}  // namespace kvant::ir
