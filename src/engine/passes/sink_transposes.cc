// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "engine/passes/axis_remap.h"
#include "engine/passes/layout.h"
#include "engine/passes/pipeline.h"
#include "engine/plan/plan.h"
#include "engine/run/probes.h"

namespace kvant::engine {
namespace {

bool is_identity(const std::vector<int64_t>& permutation) { return std::ranges::is_sorted(permutation); }

class SinkTransposes {
 public:
  SinkTransposes(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    size_t changes = 0;
    while (true) {
      size_t swept = 0;
      for (const ir::NodeId id : graph_.topological_order()) {
        if (!graph_.node(id).erased) swept += compose(id) || reshape(id) || product(id) || sink(id);
      }
      forget_unused();
      graph_.erase_dead();
      if (swept == 0) return changes;
      changes += swept;
    }
  }

 private:
  // The Transpose that makes a value, with explicit axes.
  const ir::Node* transpose_of(ir::ValueId id, std::vector<int64_t>& permutation) const {
    const ir::Node* node = graph_.producer(id);
    if (node == nullptr || node->op != "Transpose") return nullptr;
    permutation = node->attributes.integers("perm");
    if (permutation.empty()) {
      const auto shape = static_shape(graph_, id);
      if (!shape) return nullptr;
      for (size_t i = shape->size(); i-- > 0;) permutation.push_back(static_cast<int64_t>(i));
    }
    return node;
  }

  // Transpose(Transpose(x)) => one, or none
  bool compose(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    std::vector<int64_t> outer, inner;
    if (node.op != "Transpose" || transpose_of(node.outputs[0], outer) == nullptr) return false;
    const ir::Node* before = transpose_of(node.inputs[0], inner);
    if (before != nullptr && inner.size() == outer.size()) {
      for (int64_t& axis : outer) axis = inner[static_cast<size_t>(axis)];
      graph_.set_input(id, 0, before->inputs[0]);
      graph_.attributes(id).set("perm", outer);
      return true;
    }
    if (!is_identity(outer) || graph_.is_output(node.outputs[0]) || graph_.use_count(node.outputs[0]) == 0)
      return false;
    graph_.replace_uses(node.outputs[0], node.inputs[0]);
    return true;
  }

  // Reshape(Transpose(x)) where only axes of size 1 move => Reshape(x)
  bool reshape(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    if (node.op != "Reshape" && node.op != "Flatten" && node.op != "Squeeze") return false;
    const ir::Node* before = graph_.producer(node.inputs[0]);
    const auto shape = static_shape(graph_, node.outputs[0]);
    if (before == nullptr || before->op != "Transpose" || !is_view(graph_, *before) || !shape) return false;
    if (element_count(*shape) == 0) return false;
    reshape_from(id, before->inputs[0], *shape);
    return true;
  }

  void reshape_from(ir::NodeId id, ir::ValueId source, const Shape& shape) {
    const ir::Node node = graph_.node(id);
    graph_.rename_node(id, node.name + "~");
    const ir::ValueId target = edit_.constant(node.name + "_shape", Tensor::vector<int64_t>(shape));
    edit_.take_place(node.outputs[0], edit_.value("Reshape", node.name, {source, target}, {}, {id}));
  }

  // product(Reshape(Transpose(x)), w) => product(Reshape(x), w with its columns permuted): flattening needs
  // no Transpose
  bool product(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    const Tensor* w = node.op == "QGemm" || node.op == "Linear" ? graph_.constant(node.inputs[1]) : nullptr;
    const ir::Node* flat = w != nullptr ? graph_.producer(node.inputs[0]) : nullptr;
    if (flat == nullptr || (flat->op != "Reshape" && flat->op != "Flatten") ||
        graph_.use_count(node.inputs[0]) != 1)
      return false;
    std::vector<int64_t> permutation;
    const ir::Node* before = transpose_of(flat->inputs[0], permutation);
    if (before == nullptr || permutation != to_nchw_axes()) return false;
    const Shape y = *static_shape(graph_, flat->outputs[0]), x = *static_shape(graph_, flat->inputs[0]);
    if (y.size() != 2 || y[0] != x[0] || w->rank() != 2 || w->dim(1) != y[1]) return false;
    const Tensor moved =
        transpose(w->reshaped({w->dim(0), x[1], x[2], x[3]}), to_nhwc_axes()).reshaped(w->shape());
    graph_.set_input(id, 1, edit_.constant(graph_.value(node.inputs[1]).name, moved));
    const ir::ValueId source = before->inputs[0];
    const std::string name = graph_.value(node.inputs[0]).name;
    reshape_from(graph_.value(node.inputs[0]).producer, source, y);
    // Its elements come in another order than those of the model's tensor.
    graph_.rename_value(graph_.node(id).inputs[0], name + "_nhwc");
    record_probe(graph_, name,
                 {.value = graph_.value(source).name, .permutation = inverse(permutation), .flat = true});
    return true;
  }

  // The same tensor in the other layout, when somebody makes it already.
  ir::ValueId companion(ir::ValueId id, const std::vector<int64_t>& permutation) const {
    if (id == ir::kNone || graph_.is_constant(id)) return ir::kNone;
    for (const ir::Use& use : graph_.value(id).uses) {
      const ir::Node& user = graph_.node(use.node);
      if (user.op == "Transpose" && user.attributes.integers("perm") == inverse(permutation))
        return user.outputs[0];
    }
    return ir::kNone;
  }

  // op(Transpose(x) ...) => Transpose(op'(x ...))
  bool sink(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    if (node.op == "Transpose") return false;
    std::vector<int64_t> permutation;
    std::vector<ir::ValueId> sources(node.inputs.size(), ir::kNone);
    bool any = false;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      std::vector<int64_t> axes;
      const ir::Node* before = transpose_of(node.inputs[i], axes);
      if (before == nullptr || (any && axes != permutation)) continue;
      permutation = axes;
      sources[i] = before->inputs[0];
      any = true;
    }
    if (!any) return false;
    for (size_t i = 0; i < sources.size(); ++i) {
      if (sources[i] != ir::kNone) continue;
      sources[i] = companion(node.inputs[i], permutation);
      // x and its own transpose meet: they would change places for ever.
      if (sources[i] != ir::kNone && std::ranges::find(node.inputs, sources[i]) != node.inputs.end())
        return false;
    }
    for (const ir::ValueId output : node.outputs) {
      const auto shape = static_shape(graph_, output);
      if (!shape || shape->size() != permutation.size()) return false;
    }
    auto remapped = remap(edit_, id, sources, permutation);
    if (!remapped) {
      return false;
    }
    graph_.rename_node(id, node.name + "~");
    std::vector<std::string> names;
    for (const ir::ValueId output : node.outputs) names.push_back(graph_.value(output).name + "_nhwc");
    const ir::NodeId fresh = edit_.node(node.op, node.name, std::move(remapped->inputs),
                                        std::move(remapped->attributes), {id}, names);
    graph_.set_reason(fresh, node.reason);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ir::ValueId back = edit_.value("Transpose", node.name + "_nchw", {graph_.node(fresh).outputs[i]},
                                           {{"perm", permutation}}, {id});
      edit_.take_place(node.outputs[i], back);
    }
    return true;
  }

  bool is_unread(ir::ValueId id, const std::set<ir::NodeId>& dead) const {
    if (id == ir::kNone) return true;
    return !graph_.is_output(id) && std::ranges::all_of(graph_.value(id).uses, [&](const ir::Use& use) {
      return dead.contains(use.node);
    });
  }

  // Tensors that exist in the other layout only are found by a probe.
  void forget_unused() {
    std::vector<ir::NodeId> order = graph_.topological_order();
    std::ranges::reverse(order);
    std::set<ir::NodeId> dead;  // sunk nodes still stand behind the Transposes that they read
    for (const ir::NodeId id : order) {
      const ir::Node& node = graph_.node(id);
      if (!std::ranges::all_of(node.outputs, [&](ir::ValueId v) { return is_unread(v, dead); })) continue;
      dead.insert(id);
      std::vector<int64_t> permutation;
      if (node.op != "Transpose") continue;
      transpose_of(node.outputs[0], permutation);
      const std::string& name = graph_.value(node.outputs[0]).name;
      if (name.ends_with("_nhwc") || name.ends_with("_nchw") || name.find('~') != std::string::npos) continue;
      if (is_identity(permutation)) permutation.clear();
      record_probe(graph_, name,
                   {.value = graph_.value(node.inputs[0]).name, .permutation = inverse(permutation)});
    }
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

ir::Pass sink_transposes(const LoweringOptions&) {
  return {"sink-transposes", "op(Transpose(x)) => Transpose(op'(x)); Transpose(Transpose(x)) => x",
          ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) { return SinkTransposes(graph, ops).run(); }};
}

}  // namespace kvant::engine
