// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "base/error.h"
#include "engine/passes/integer_epilogue.h"
#include "engine/passes/layout.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

// A weighted node whose operands are codes, ready to become QConv or QGemm.
struct Weighted {
  Dequantized x;
  QuantizedWeight w;
  std::vector<double> bias;
  size_t axis = 1;         // of the output channels in the result
  bool transposed = true;  // the weight has its output channels first
};

class FuseWeighted {
 public:
  FuseWeighted(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    return fuse_each(graph_, upwards(graph_), [this](ir::NodeId id) { return fuse(id); });
  }

 private:
  bool fuse(ir::NodeId id) {
    const ir::Node& node = graph_.node(id);
    if (node.op != "Conv" && node.op != "Gemm" && node.op != "MatMul") return false;
    std::string why;
    const auto weighted = operands(id, why);
    if (weighted) {
      rewrite(id, *weighted);
    } else {
      graph_.set_reason(id, "float: " + why);
    }
    return weighted.has_value();
  }

  std::optional<Weighted> operands(ir::NodeId id, std::string& why) {
    const ir::Node& node = graph_.node(id);
    const auto y = static_shape(graph_, node.outputs[0]);
    const auto x = dequantized(graph_, node.inputs[0]);
    if (!y) return refuse(why, "its shape is not known");
    Weighted result{.x = {}, .w = {}, .bias = {}};
    result.axis = node.op == "Conv" ? 1 : y->size() - 1;
    result.transposed = node.op == "Conv" || (node.op == "Gemm" && node.attributes.integer("transB", 0) != 0);
    const auto w = quantized_weight(graph_, node.inputs[1], result.transposed ? 0 : 1, why);
    if (!x) return refuse(why, w ? "its input is not quantized" : "it is not quantized");
    if (!w) return std::nullopt;
    if (node.op == "Conv" && y->size() != 4)
      return refuse(why, "only 2-D convolutions have an integer kernel");
    if (node.op != "Conv" && w->codes->rank() != 2)
      return refuse(why, "only matrices are multiplied in integers");
    if (node.op == "Gemm" &&
        (node.attributes.integer("transA", 0) != 0 || node.attributes.real("alpha", 1) != 1)) {
      return refuse(why, "transA and alpha have no integer kernel");
    }
    const ir::ValueId bias = input_at(node, 2);
    if (bias != ir::kNone) {
      const auto values = node.op == "Conv" ? per_channel(graph_, bias, 1, 0, (*y)[1])
                                            : per_channel(graph_, bias, 2, 1, y->back());
      if (!values || (node.op == "Gemm" && node.attributes.real("beta", 1) != 1))
        return refuse(why, "its bias is no vector constant");
      result.bias = *values;
    }
    result.x = *x;
    result.w = *w;
    return result;
  }

  static std::nullopt_t refuse(std::string& why, std::string reason) {
    why = std::move(reason);
    return std::nullopt;
  }

  // An integer kernel reads its residual from memory that is written before: it must not depend on the kernel
  // itself.
  void rewrite(ir::NodeId id, const Weighted& weighted) {
    const std::string op = graph_.node(id).op;
    const std::string name = graph_.node(id).name;
    const Epilogue epilogue = follow_epilogue(graph_, graph_.node(id).outputs[0], weighted.axis, true);
    IntegerEpilogue integer =
        integer_epilogue(graph_, epilogue, weighted.x.scale(), weighted.w.params.scale, weighted.bias);
    integer.attributes.set("x_zero_point", static_cast<int64_t>(weighted.x.zero_point()));
    std::vector<ir::NodeId> from = {id};
    from.insert(from.end(), epilogue.nodes.begin(), epilogue.nodes.end());
    graph_.rename_node(id, name + "~");
    const ir::ValueId y = op == "Conv" ? convolution(id, name, weighted, integer, from)
                                       : product(name, weighted, integer, from);
    edit_.take_place(epilogue.end, y);
  }

  std::vector<ir::ValueId> inputs(const std::string& name, const Weighted& weighted,
                                  const IntegerEpilogue& integer, Tensor w) {
    std::vector<ir::ValueId> result = {
        weighted.x.codes, edit_.constant(name + "_w", std::move(w)),
        edit_.constant(name + "_multiplier", Tensor::vector<float>(integer.multiplier)),
        edit_.constant(name + "_bias", Tensor::vector<float>(integer.bias))};
    if (integer.residual != ir::kNone) result.push_back(integer.residual);
    return result;
  }

  ir::ValueId convolution(ir::NodeId id, const std::string& name, const Weighted& weighted,
                          IntegerEpilogue& integer, const std::vector<ir::NodeId>& from) {
    const Tensor& w = *weighted.w.codes;
    const auto window = window_of(graph_, graph_.node(id), {w.dim(2), w.dim(3)});
    KVANT_CHECK(window.has_value(), "a 2-D convolution of static shape has a window");
    set_window(integer.attributes, *window);
    integer.attributes.set("group", graph_.node(id).attributes.integer("group", 1));
    std::vector<ir::ValueId> in = inputs(name, weighted, integer, transpose(w, to_nhwc_axes()));
    in[0] = to_nhwc(edit_, in[0]);
    if (in.size() > 4) in[4] = to_nhwc(edit_, in[4]);
    return to_nchw(edit_, edit_.value("QConv", name, std::move(in), integer.attributes, from), from);
  }

  ir::ValueId product(const std::string& name, const Weighted& weighted, IntegerEpilogue& integer,
                      const std::vector<ir::NodeId>& from) {
    const std::vector<int64_t> swap = {1, 0};
    Tensor w = weighted.transposed ? *weighted.w.codes : transpose(*weighted.w.codes, swap);
    return edit_.value("QGemm", name, inputs(name, weighted, integer, std::move(w)), integer.attributes,
                       from);
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

// [Q](act([affine(op(DQ(x), DQ(w), b))] [+ r])) => QConv | QGemm
ir::Pass fuse_weighted(const LoweringOptions&) {
  return {"fuse-weighted", "[Q] act(affine(Conv|Gemm|MatMul(DQ(x), DQ(w))) [+ residual]) => QConv | QGemm",
          ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) { return FuseWeighted(graph, ops).run(); }};
}

}  // namespace kvant::engine
