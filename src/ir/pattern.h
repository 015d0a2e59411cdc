// SPDX-License-Identifier: Apache-2.0
// Patterns over a graph, matched from a root node up through producers, and rules that rewrite what they
// match.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace kvant::ir {

// Matches a value. Build with the functions below; copies share structure.
class Pattern {
 public:
  struct Data;
  explicit Pattern(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  const Data& data() const { return *data_; }
  // This pattern, its value bound to `name`.
  Pattern as(std::string name) const;
  // Inner values with more than one user match too (the default refuses them: fusing would compute them
  // twice).
  Pattern shared() const;

 private:
  std::shared_ptr<const Data> data_;
};

Pattern any(std::string name = "");       // any value, kNone excepted
Pattern constant(std::string name = "");  // a constant
Pattern optional(Pattern inner);          // the inner pattern, or an absent input
// A value made by one of `ops` ("Relu|Clip" for alternatives; output 0) whose inputs match in order. With
// fewer patterns than inputs the rest are free. Two-input Add, Mul, Max, Min match either way round.
Pattern op(std::string ops, std::vector<Pattern> inputs = {});
// `op(inner)` or just `inner`: an operator that may be there.
Pattern maybe(std::string ops, Pattern inner);

struct Match {
  NodeId root = kNone;
  std::map<std::string, ValueId> values;  // named by as(), any(), constant()
  std::vector<NodeId> nodes;              // all nodes matched, root first
  bool has(const std::string& name) const { return values.contains(name); }
  ValueId operator[](const std::string& name) const;  // kNone when not bound
};

// A match of `pattern` rooted at `node` (its output 0), if there is one.
std::optional<Match> match(const Graph& graph, NodeId node, const Pattern& pattern);

// What a rule does to the graph. New nodes inherit the sources of all matched nodes. Nothing is changed
// unless the rewrite returns true: additions of a rule that declines are taken back.
class Patch {
 public:
  Patch(Graph& graph, const Match& match) : graph_(graph), match_(match) {}
  // A new node; its first output. The name is invented from the root's.
  ValueId add(std::string op, std::vector<ValueId> inputs, Attributes attributes = {});
  ValueId add_constant(std::string_view name, Tensor value);
  // All uses of the root's output 0 become uses of `value`; the old nodes die if unused. Kept until commit.
  void replace_root(ValueId value);
  Graph& graph() { return graph_; }
  void commit();
  void roll_back();

 private:
  Graph& graph_;
  const Match& match_;
  std::vector<NodeId> added_nodes_;
  ValueId replacement_ = kNone;
};

struct Rule {
  std::string name;
  Pattern pattern;
  // Returns false to decline; never throws for an unfit match.
  std::function<bool(const Match&, Patch&)> rewrite;
};

// Applies a rule everywhere, in topological order, until nothing changes. Returns how often it fired.
size_t apply(Graph& graph, const Rule& rule);

}  // namespace kvant::ir
