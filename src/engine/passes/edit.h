// SPDX-License-Identifier: Apache-2.0
// Small steps that passes are written in. New values get their types at once, so that a pass can go on
// reading them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"
#include "tensor/quantize.h"

namespace kvant::engine {

// Lists a pass's work: it edits `graph`, knowing the operators' type rules.
class Edit {
 public:
  Edit(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), ops_(ops) {}
  ir::Graph& graph() { return graph_; }
  const ir::OpTable& ops() const { return ops_; }

  // A node named `name` with outputs named after `values` (one unless given), its sources those of `from`.
  ir::NodeId node(std::string op, std::string_view name, std::vector<ir::ValueId> inputs,
                  ir::Attributes attributes, const std::vector<ir::NodeId>& from,
                  std::vector<std::string> values = {""});
  // The same with one output, which is returned.
  ir::ValueId value(std::string op, std::string_view name, std::vector<ir::ValueId> inputs,
                    ir::Attributes attributes, const std::vector<ir::NodeId>& from);
  ir::ValueId constant(std::string_view name, Tensor tensor) {
    return graph_.add_constant(name, std::move(tensor));
  }
  // `fresh` takes every use and the name of `old`; what made `old` dies if nothing else needs it.
  void take_place(ir::ValueId old, ir::ValueId fresh);

 private:
  ir::Graph& graph_;
  const ir::OpTable& ops_;
};

// The nodes from the results up: each before the nodes that it reads. Of two producers that meet in one node
// the later one, which is the longer path, comes first.
std::vector<ir::NodeId> upwards(const ir::Graph& graph);
// fn(id) on each node of `order` that is still there. Where it returns true, what nothing reads any more is
// erased; returns how often it did.
template <class Fn>
size_t fuse_each(ir::Graph& graph, const std::vector<ir::NodeId>& order, const Fn& fn) {
  size_t changes = 0;
  for (const ir::NodeId id : order) {
    if (graph.node(id).erased || !fn(id)) continue;
    graph.erase_dead();
    ++changes;
  }
  return changes;
}

// The one node that reads `id`, which is no graph output; kNone when there are more or none.
ir::NodeId sole_user(const ir::Graph& graph, ir::ValueId id);
// Shape of a value of static type, else nothing.
std::optional<Shape> static_shape(const ir::Graph& graph, ir::ValueId id);
ir::ValueId input_at(const ir::Node& node, size_t index);
// The single element of a constant, if it is one.
std::optional<float> scalar_at(const ir::Graph& graph, ir::ValueId id);

// A tensor that a DequantizeLinear makes of 8-bit codes with one scale for the whole tensor.
struct Dequantized {
  ir::NodeId node = ir::kNone;
  ir::ValueId codes = ir::kNone;
  QuantParams params;
  int32_t zero_point() const { return params.zero_point_at(0); }
  float scale() const { return params.scale[0]; }
};
std::optional<Dequantized> dequantized(const ir::Graph& graph, ir::ValueId id);
// The parameters of a Q to 8-bit codes with one scale.
std::optional<QuantParams> tensor_quantizer(const ir::Graph& graph, ir::NodeId node);
// Equal as arithmetic: same type, scales and zero points (absent ones are 0).
bool same_params(const QuantParams& a, const QuantParams& b);

}  // namespace kvant::engine
