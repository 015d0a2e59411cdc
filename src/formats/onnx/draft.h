// SPDX-License-Identifier: Apache-2.0
// A node on its way into the graph, and what the rules that change it may see. Rules bring the forms of older
// and newer opsets to that of ir::kIrOpset (upgrades.inc), and integer operators to QDQ form (lifts.inc).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace kvant::formats {

struct Draft {
  std::string op;
  std::string name;                  // never empty
  std::vector<ir::ValueId> inputs;   // typed values of the graph; kNone where absent
  std::vector<std::string> outputs;  // "" where not wanted
  ir::Attributes attributes;
  std::optional<Tensor> constant;  // set by a rule: no node at all, its output is this

  bool has(size_t i) const { return i < inputs.size() && inputs[i] != ir::kNone; }
  ir::ValueId input(size_t i) const { return i < inputs.size() ? inputs[i] : ir::kNone; }
  // Sets input `i`, absent ones before it where there are none yet.
  void set_input(size_t i, ir::ValueId value);
};

// The graph so far, as rules see it.
class Importing {
 public:
  virtual ~Importing() = default;
  virtual int opset() const = 0;
  virtual const ir::Type& type(ir::ValueId value) const = 0;
  virtual const Tensor* constant(ir::ValueId value) const = 0;  // nullptr when it is none
  // Whether a node or the graph's outputs read this output of the file.
  virtual bool wanted(const std::string& output) const = 0;
  // A node before the draft, named after it; its output, typed.
  virtual ir::ValueId add(std::string op, std::vector<ir::ValueId> inputs,
                          ir::Attributes attributes = {}) = 0;
  virtual ir::ValueId add_constant(std::string_view suffix, Tensor value) = 0;
};

using DraftRule = void (*)(Draft& node, Importing& graph);

// The rules for models of `opset`, applied in order to the draft of every node whose operator they name.
void upgrade(Draft& node, Importing& graph);
void lift(Draft& node, Importing& graph);

}  // namespace kvant::formats
