// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/integer_epilogue.h"
#include "engine/passes/layout.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

class FuseSandwiches {
 public:
  FuseSandwiches(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    return fuse_each(graph_, upwards(graph_), [this](ir::NodeId id) { return fuse(id); });
  }

 private:
  // What a sandwich makes, and where: the operator, its Relus and Clips, the Q.
  struct Top {
    QuantParams params;
    IntRange range;
    ir::NodeId op = ir::kNone;
    std::vector<ir::NodeId> nodes;
    ir::ValueId result = ir::kNone;
  };

  std::optional<Top> top_of(ir::NodeId id) const {
    const auto params = tensor_quantizer(graph_, id);
    if (!params) return std::nullopt;
    Top top{
        .params = *params, .range = {}, .op = ir::kNone, .nodes = {id}, .result = graph_.node(id).outputs[0]};
    std::vector<Bounds> clamps;
    ir::ValueId value = graph_.node(id).inputs[0];
    while (graph_.value(value).producer != ir::kNone && graph_.use_count(value) == 1) {
      top.op = graph_.value(value).producer;
      top.nodes.push_back(top.op);
      const auto bounds = bounds_of(graph_, graph_.node(top.op));
      if (!bounds) break;
      clamps.insert(clamps.begin(), *bounds);
      value = graph_.node(top.op).inputs[0];
      top.op = ir::kNone;
    }
    if (top.op == ir::kNone) return std::nullopt;
    top.range = clamped_range(top.params, clamps);
    return top;
  }

  bool fuse(ir::NodeId id) {
    const auto top = top_of(id);
    if (!top) return false;
    const std::string op = graph_.node(top->op).op;
    if (op == "Add" || op == "Mul") return binary(*top, op == "Add");
    if (op == "AveragePool") return average_pool(*top);
    if (op == "GlobalAveragePool" || op == "ReduceMean") return global_average_pool(*top);
    return false;
  }

  bool binary(const Top& top, bool is_add) {
    const ir::Node node = graph_.node(top.op);
    auto a = dequantized(graph_, node.inputs[0]);
    auto b = dequantized(graph_, node.inputs[1]);
    if (!a || !b) return false;
    Shape a_shape = *static_shape(graph_, a->codes), b_shape = *static_shape(graph_, b->codes);
    if (!is_add && b_shape.size() == 4 && a_shape != b_shape && a_shape[2] == 1 && a_shape[3] == 1) {
      std::swap(a, b);
      std::swap(a_shape, b_shape);
    }
    const bool gate = !is_add && a_shape.size() == 4 && b_shape == Shape{a_shape[0], a_shape[1], 1, 1};
    if (a_shape != b_shape && !gate) return false;
    ir::Attributes attributes;
    attributes.set("a_zero_point", static_cast<int64_t>(a->zero_point()));
    attributes.set("b_zero_point", static_cast<int64_t>(b->zero_point()));
    const double sa = a->scale(), sb = b->scale(), sy = top.params.scale[0];
    if (is_add) {
      attributes.set("a_multiplier", static_cast<float>(sa / sy));
      attributes.set("b_multiplier", static_cast<float>(sb / sy));
    } else {
      attributes.set("multiplier", static_cast<float>(sa * sb / sy));
    }
    const bool last = gate && a_shape != b_shape;
    return finish(top, is_add ? "QAdd" : "QMul", {a->codes, b->codes}, std::move(attributes), last);
  }

  bool average_pool(const Top& top) {
    const ir::Node node = graph_.node(top.op);
    const auto x = dequantized(graph_, node.inputs[0]);
    const auto window = x ? window_of(graph_, node, {}) : std::nullopt;
    const int64_t counts_padding = node.attributes.integer("count_include_pad", 0);
    if (!window || (window->widened && counts_padding != 0)) return false;
    ir::Attributes attributes;
    set_window(attributes, *window);
    attributes.set("kernel_shape", window->kernel);
    attributes.set("count_include_pad", counts_padding);
    attributes.set("multiplier", static_cast<float>(static_cast<double>(x->scale()) / top.params.scale[0]));
    attributes.set("x_zero_point", static_cast<int64_t>(x->zero_point()));
    return finish(top, "QAveragePool", {x->codes}, std::move(attributes), true);
  }

  bool global_average_pool(const Top& top) {
    const ir::Node node = graph_.node(top.op);
    const auto x = dequantized(graph_, node.inputs[0]);
    const auto y = static_shape(graph_, node.outputs[0]);
    if (!x || !y || (node.op == "ReduceMean" && !reduces_plane(graph_, node))) return false;
    const auto shape = static_shape(graph_, x->codes);
    if (!shape || shape->size() != 4) return false;
    ir::Attributes attributes;
    attributes.set("multiplier", static_cast<float>(static_cast<double>(x->scale()) / top.params.scale[0]));
    attributes.set("x_zero_point", static_cast<int64_t>(x->zero_point()));
    return finish(top, "QGlobalAveragePool", {x->codes}, std::move(attributes), true);
  }

  bool finish(const Top& top, const std::string& op, std::vector<ir::ValueId> inputs,
              ir::Attributes attributes, bool channels_last) {
    const std::string name = graph_.node(top.op).name;
    const Shape shape = *static_shape(graph_, top.result);
    graph_.rename_node(top.op, name + "~");
    set_code_output(attributes, top.params, top.range);
    if (channels_last) {
      for (ir::ValueId& input : inputs) input = to_nhwc(edit_, input);
    }
    ir::ValueId y = edit_.value(op, name, std::move(inputs), std::move(attributes), top.nodes);
    if (channels_last) y = to_nchw(edit_, y, top.nodes);
    if (shape.size() == 2 && channels_last) {  // ReduceMean without keepdims
      y = edit_.value("Reshape", name + "_flat", {y, edit_.constant("", Tensor::vector<int64_t>(shape))}, {},
                      top.nodes);
    }
    edit_.take_place(top.result, y);
    return true;
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

// Q([clamp](op(DQ(a) ...))) => QAdd | QMul | QAveragePool | QGlobalAveragePool
ir::Pass fuse_sandwiches(const LoweringOptions&) {
  return {"fuse-sandwiches", "Q(clamp(op(DQ...))) => QAdd | QMul | QAveragePool | QGlobalAveragePool",
          ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) { return FuseSandwiches(graph, ops).run(); }};
}

}  // namespace kvant::engine
