// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.h"
#include "engine/passes/epilogue.h"
#include "engine/passes/layout.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

class FuseFloat {
 public:
  FuseFloat(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    return fuse_each(graph_, upwards(graph_), [this](ir::NodeId id) { return fuse(id); });
  }

 private:
  bool fuse(ir::NodeId id) {
    const ir::Node& node = graph_.node(id);
    if (node.op != "Conv" && node.op != "Gemm" && node.op != "MatMul") return false;
    const bool is_conv = node.op == "Conv";
    const Tensor* w = graph_.constant(node.inputs[1]);
    const auto y = static_shape(graph_, node.outputs[0]);
    if (w == nullptr || w->dtype() != DType::Float32 || !y || w->rank() != (is_conv ? 4u : 2u)) return false;
    if (graph_.value(node.inputs[0]).type.dtype != DType::Float32 || (is_conv && y->size() != 4))
      return false;
    if (node.op == "Gemm" &&
        (node.attributes.integer("transA", 0) != 0 || node.attributes.real("alpha", 1) != 1))
      return false;
    const size_t axis = is_conv ? 1 : y->size() - 1;
    const int64_t channels = (*y)[axis];
    std::vector<double> bias(static_cast<size_t>(channels), 0.0);
    const ir::ValueId given = input_at(node, 2);
    if (given != ir::kNone) {
      const auto values = per_channel(graph_, given, is_conv ? 1 : 2, is_conv ? 0 : 1, channels);
      if (!values || (node.op == "Gemm" && node.attributes.real("beta", 1) != 1)) return false;
      bias = *values;
    }
    const bool transposed = is_conv || (node.op == "Gemm" && node.attributes.integer("transB", 0) != 0);
    const std::vector<int64_t> swap = {1, 0};
    replace(id, is_conv, transposed ? *w : transpose(*w, swap), bias,
            follow_epilogue(graph_, node.outputs[0], axis, false));
    return true;
  }

  // The weight's first axis is the output channel: gain goes into it.
  static Tensor scaled(Tensor w, const std::vector<double>& gain) {
    if (std::ranges::all_of(gain, [](double g) { return g == 1.0; })) return w;
    const auto values = w.mutable_data<float>();
    const size_t inner = values.size() / std::max<size_t>(1, gain.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(values[i] * gain[i / inner]);
    return w;
  }

  void replace(ir::NodeId id, bool is_conv, Tensor w, const std::vector<double>& bias,
               const Epilogue& epilogue) {
    const std::string name = graph_.node(id).name;
    const std::string reason = graph_.node(id).reason;
    ir::Attributes attributes;
    if (epilogue.activation) {
      attributes.set("activation", epilogue.activation->name);
      attributes.set("alpha", epilogue.activation->alpha);
      attributes.set("beta", epilogue.activation->beta);
    }
    std::vector<float> b;
    for (size_t k = 0; k < bias.size(); ++k)
      b.push_back(static_cast<float>(bias[k] * epilogue.gain[k] + epilogue.offset[k]));
    std::vector<ir::NodeId> from = {id};
    from.insert(from.end(), epilogue.nodes.begin(), epilogue.nodes.end());
    std::vector<ir::ValueId> inputs = {graph_.node(id).inputs[0], ir::kNone, ir::kNone};
    if (epilogue.residual != ir::kNone) inputs.push_back(epilogue.residual);
    if (is_conv) {
      const auto window = window_of(graph_, graph_.node(id), {w.dim(2), w.dim(3)});
      KVANT_CHECK(window.has_value(), "a 2-D convolution of static shape has a window");
      set_window(attributes, *window);
      attributes.set("group", graph_.node(id).attributes.integer("group", 1));
      inputs[0] = to_nhwc(edit_, inputs[0]);
      if (inputs.size() > 3) inputs[3] = to_nhwc(edit_, inputs[3]);
    }
    graph_.rename_node(id, name + "~");
    inputs[1] = edit_.constant(name + "_w", scaled(std::move(w), epilogue.gain));
    inputs[2] = edit_.constant(name + "_bias", Tensor::vector<float>(b));
    const ir::NodeId fused =
        edit_.node(is_conv ? "ConvNhwc" : "Linear", name, std::move(inputs), std::move(attributes), from);
    graph_.set_reason(fused, reason);
    ir::ValueId result = graph_.node(fused).outputs[0];
    if (is_conv) result = to_nchw(edit_, result, from);
    edit_.take_place(epilogue.end, result);
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

// act(affine(Conv|Gemm|MatMul(x, constant)) [+ r]) => ConvNhwc | Linear, the gain folded into the weight
ir::Pass fuse_float(const LoweringOptions&) {
  return {"fuse-float", "act(affine(Conv|Gemm|MatMul(x, constant)) [+ residual]) => ConvNhwc | Linear",
          ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) { return FuseFloat(graph, ops).run(); }};
}

}  // namespace kvant::engine
