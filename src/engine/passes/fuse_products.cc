// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/passes/axis_remap.h"
#include "engine/passes/integer_epilogue.h"
#include "engine/passes/pipeline.h"
#include "engine/run/probes.h"

namespace kvant::engine {
namespace {

class FuseProducts {
 public:
  FuseProducts(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    return fuse_each(graph_, graph_.topological_order(),
                     [this](ir::NodeId id) { return graph_.node(id).op == "MatMul" && fuse(id); });
  }

 private:
  bool leading_dimensions_agree(const ir::Node& node) const {
    const auto a = static_shape(graph_, node.inputs[0]), b = static_shape(graph_, node.inputs[1]);
    return a && b && a->size() >= 2 && a->size() == b->size() &&
           std::equal(a->begin(), a->end() - 2, b->begin());
  }

  // Codes as they are before a Transpose, whose axes the product takes over.
  ir::ValueId untransposed(ir::ValueId codes, std::string_view name, ir::Attributes& attributes) {
    const ir::Node* before = graph_.producer(codes);
    if (before == nullptr || before->op != "Transpose") return codes;
    const std::vector<int64_t> perm = before->attributes.integers("perm");
    if (perm.empty()) return codes;
    attributes.set(std::string(name), perm);
    const ir::ValueId source = before->inputs[0];
    record_probe(graph_, graph_.value(codes).name,
                 {.value = graph_.value(source).name, .permutation = inverse(perm)});
    return source;
  }

  // Factors by single numbers that alone read the product.
  double take_factors(ir::ValueId& end, std::vector<ir::NodeId>& nodes) const {
    double gain = 1;
    for (ir::NodeId user = sole_user(graph_, end); user != ir::kNone; user = sole_user(graph_, end)) {
      const ir::Node& node = graph_.node(user);
      if (node.op != "Mul" && !(node.op == "Div" && node.inputs[0] == end)) break;
      const auto factor = scalar_at(graph_, node.inputs[0] == end ? node.inputs[1] : node.inputs[0]);
      if (!factor || static_shape(graph_, node.outputs[0]) != static_shape(graph_, end)) break;
      gain = node.op == "Mul" ? gain * *factor : gain / *factor;
      nodes.push_back(user);
      end = node.outputs[0];
    }
    return gain;
  }

  bool fuse(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    const auto a = dequantized(graph_, node.inputs[0]), b = dequantized(graph_, node.inputs[1]);
    if (!a || !b || !leading_dimensions_agree(node)) return false;
    ir::Attributes attributes{{"a_zero_point", static_cast<int64_t>(a->zero_point())},
                              {"b_zero_point", static_cast<int64_t>(b->zero_point())}};
    std::vector<ir::NodeId> nodes = {id};
    ir::ValueId end = node.outputs[0];
    double multiplier = static_cast<double>(a->scale()) * b->scale() * take_factors(end, nodes);
    const ir::NodeId quantize = sole_user(graph_, end);
    if (const auto params = tensor_quantizer(graph_, quantize)) {
      multiplier /= params->scale[0];
      set_code_output(attributes, *params, code_range(params->dtype));
      nodes.push_back(quantize);
      end = graph_.node(quantize).outputs[0];
    } else {
      attributes.set("output", std::string("f32"));
    }
    attributes.set("multiplier", static_cast<float>(multiplier));
    const ir::NodeId after = sole_user(graph_, end);
    if (after != ir::kNone && graph_.node(after).op == "Transpose" &&
        graph_.node(after).attributes.has("perm")) {
      const std::vector<int64_t> perm = graph_.node(after).attributes.integers("perm");
      attributes.set("y_perm", perm);
      nodes.push_back(after);
      const ir::ValueId moved = graph_.node(after).outputs[0];
      record_probe(graph_, graph_.value(end).name, {.value = graph_.value(moved).name, .permutation = perm});
      end = moved;
    }
    const ir::ValueId x = untransposed(a->codes, "a_perm", attributes),
                      z = untransposed(b->codes, "b_perm", attributes);
    graph_.rename_node(id, node.name + "~");
    edit_.take_place(end, edit_.value("QMatMul", node.name, {x, z}, std::move(attributes), nodes));
    return true;
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

// [Q](c * MatMul(DQ(a), DQ(b))) with the Transposes around it => QMatMul
ir::Pass fuse_products(const LoweringOptions&) {
  return {"fuse-products", "[Transpose] [Q] c * MatMul([Transpose] DQ(a), [Transpose] DQ(b)) => QMatMul",
          ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) { return FuseProducts(graph, ops).run(); }};
}

}  // namespace kvant::engine
