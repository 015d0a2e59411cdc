// SPDX-License-Identifier: Apache-2.0
// The hub type: a network as nodes over named values. Operators are ONNX's (names, attributes, input order)
// at one fixed opset (kIrOpset), plus kvant's fused ones after lowering. Float model, QDQ model and lowered
// graph are all this type; quant, train and engine share nothing else.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/attributes.h"
#include "tensor/tensor.h"

namespace kvant::ir {

// Operators in memory follow this ONNX opset; formats/onnx upgrades and downgrades.
inline constexpr int kIrOpset = 21;

using ValueId = int32_t;
using NodeId = int32_t;
inline constexpr int32_t kNone = -1;  // an absent optional input; no producer

// Element type and, when known, shape; unknown dimensions are kUnknownDim.
struct Type {
  DType dtype = DType::Float32;
  std::optional<Shape> shape;
  // Rank and every dimension known.
  bool is_static() const;
  friend bool operator==(const Type&, const Type&) = default;
};

struct Use {
  NodeId node;
  int index;  // which input
  friend bool operator==(Use, Use) = default;
};

struct Value {
  std::string name;  // unique in the graph, never empty
  Type type;
  NodeId producer = kNone;  // kNone for graph inputs and constants
  std::vector<Use> uses;    // in the order in which they were made
  std::optional<Tensor> constant;
  std::vector<std::string> dim_names;  // of graph inputs and outputs: "" or the name of a symbolic dimension
  bool erased = false;
};

struct Node {
  std::string op;
  std::string name;              // the ONNX node name; unique when not empty
  std::vector<ValueId> inputs;   // kNone where an optional one is absent
  std::vector<ValueId> outputs;  // kNone where an optional one is not wanted
  Attributes attributes;
  std::vector<std::string>
      sources;         // names of the model's nodes that this one came from (after fusion: several)
  std::string reason;  // why it is as it is ("float: ..."), for explain and reports
  bool erased = false;
};

class Graph {
 public:
  std::string name = "graph";
  int opset = kIrOpset;                         // of the file it came from; informative
  std::map<std::string, std::string> metadata;  // model metadata, kept on export ("kvant.preprocess", ...)

  // Building. Names are made unique by a suffix when taken; an empty name is invented from the operator.
  ValueId add_input(std::string_view name, Type type, std::vector<std::string> dim_names = {});
  ValueId add_constant(std::string_view name, Tensor value);
  NodeId add_node(std::string op, std::string_view name, std::vector<ValueId> inputs,
                  std::vector<std::string> output_names, Attributes attributes = {});
  // One-output convenience: returns the output value, named after the node.
  ValueId add(std::string op, std::string_view name, std::vector<ValueId> inputs, Attributes attributes = {});
  void add_output(ValueId value);
  void set_outputs(std::vector<ValueId> outputs);
  void remove_input(ValueId value);  // an input without uses

  // Reading.
  std::span<const ValueId> inputs() const { return inputs_; }
  std::span<const ValueId> outputs() const { return outputs_; }
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  size_t value_capacity() const { return values_.size(); }  // ids are below this; some are erased
  size_t node_capacity() const { return nodes_.size(); }
  ValueId find_value(std::string_view name) const;  // kNone when there is none
  NodeId find_node(std::string_view name) const;
  // Live nodes, each after its producers, stable (by id among the ready). A cycle is an Error that names a
  // node on it.
  std::vector<NodeId> topological_order() const;
  size_t node_count() const;
  bool is_output(ValueId id) const;
  bool is_constant(ValueId id) const { return id != kNone && value(id).constant.has_value(); }
  // The constant behind a value, or nullptr.
  const Tensor* constant(ValueId id) const { return is_constant(id) ? &*value(id).constant : nullptr; }
  // The node that makes `id`, or nullptr for inputs and constants (and for kNone).
  const Node* producer(ValueId id) const;
  // Uses by nodes plus uses as graph output.
  size_t use_count(ValueId id) const;

  // Changing.
  void set_type(ValueId id, Type type) { values_[static_cast<size_t>(id)].type = std::move(type); }
  void set_constant(ValueId id, Tensor value);
  void set_dim_names(ValueId id, std::vector<std::string> names);
  void rename_value(ValueId id, std::string_view name);
  void set_input(NodeId node, int index, ValueId value);
  void set_inputs(NodeId node, std::vector<ValueId> inputs);
  void set_op(NodeId node, std::string op) { nodes_[static_cast<size_t>(node)].op = std::move(op); }
  void rename_node(NodeId node, std::string_view name);
  Attributes& attributes(NodeId node) { return nodes_[static_cast<size_t>(node)].attributes; }
  std::vector<std::string>& sources(NodeId node) { return nodes_[static_cast<size_t>(node)].sources; }
  void set_reason(NodeId node, std::string reason) {
    nodes_[static_cast<size_t>(node)].reason = std::move(reason);
  }
  // Every use of `from` (by nodes, and as graph output when `outputs_too`) becomes a use of `to`.
  void replace_uses(ValueId from, ValueId to, bool outputs_too = true);
  // The node's outputs must be unused.
  void erase_node(NodeId id);
  // Erases nodes whose outputs nobody uses, repeatedly, and constants without uses. Returns how many nodes
  // went.
  size_t erase_dead();

 private:
  ValueId new_value(std::string_view name, Type type);
  std::string unique_value_name(std::string_view wanted) const;
  void drop_uses(NodeId id);

  std::deque<Value> values_;
  std::deque<Node> nodes_;
  std::vector<ValueId> inputs_, outputs_;
  std::map<std::string, ValueId, std::less<>> value_names_;
  std::map<std::string, NodeId, std::less<>> node_names_;
};

}  // namespace kvant::ir
