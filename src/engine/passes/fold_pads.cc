// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "engine/passes/layout.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

// A constant Pad of the two spatial axes of a 4-D tensor of channels first.
struct SpatialPad {
  ir::NodeId node = ir::kNone;
  ir::ValueId source = ir::kNone;
  std::vector<int64_t> pads;  // top, left, bottom, right
  double value = 0;
};

class FoldPads {
 public:
  FoldPads(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    return fuse_each(graph_, upwards(graph_), [this](ir::NodeId id) { return fold(id); });
  }

 private:
  bool fold(ir::NodeId id) {
    const std::string op = graph_.node(id).op;
    if (op == "QConv" || op == "ConvNhwc" || op == "QAveragePool") return channels_last(id);
    return (op == "MaxPool" || op == "AveragePool") && channels_first(id);
  }

  // The Pad that makes `id` for `reader` alone.
  std::optional<SpatialPad> pad_behind(ir::ValueId id, ir::NodeId reader) const {
    const ir::Node* node = graph_.producer(id);
    if (node == nullptr || node->op != "Pad" || sole_user(graph_, id) != reader) return std::nullopt;
    if (node->attributes.text("mode", "constant") != "constant") return std::nullopt;
    const auto shape = static_shape(graph_, id);
    const Tensor* given = graph_.constant(input_at(*node, 1));
    if (!shape || shape->size() != 4 || given == nullptr) return std::nullopt;
    const auto value =
        input_at(*node, 2) == ir::kNone ? std::optional(0.0f) : scalar_at(graph_, node->inputs[2]);
    std::vector<int64_t> axes = {0, 1, 2, 3};
    if (input_at(*node, 3) != ir::kNone) {
      const Tensor* listed = graph_.constant(node->inputs[3]);
      if (listed == nullptr) return std::nullopt;
      axes = listed->to_ints();
    }
    if (!value) return std::nullopt;
    const std::vector<int64_t> amounts = given->to_ints();
    SpatialPad pad{graph_.value(id).producer, node->inputs[0], {0, 0, 0, 0}, *value};
    for (size_t i = 0; i < axes.size(); ++i) {
      const int64_t axis = normalize_axis(axes[i], 4), begin = amounts[i], end = amounts[i + axes.size()];
      if (begin < 0 || end < 0 || (axis < 2 && (begin != 0 || end != 0))) return std::nullopt;
      if (axis < 2) continue;
      pad.pads[static_cast<size_t>(axis - 2)] = begin;
      pad.pads[static_cast<size_t>(axis)] = end;
    }
    return pad;
  }

  static std::vector<int64_t> sum(std::vector<int64_t> a, const std::vector<int64_t>& b) {
    a.resize(b.size(), 0);
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }

  void add_sources(ir::NodeId to, ir::NodeId from) {
    std::vector<std::string>& sources = graph_.sources(to);
    if (sources.empty()) sources.push_back(graph_.node(to).name);
    std::vector<std::string> more = graph_.node(from).sources;
    if (more.empty()) more.push_back(graph_.node(from).name);
    sources.insert(sources.begin(), more.begin(), more.end());
  }

  // op(to_nhwc(Pad(x))) => op with wider pads(to_nhwc(x)): these pad with the code of 0.
  bool channels_last(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    const ir::Node* turn = graph_.producer(node.inputs[0]);
    if (turn == nullptr || turn->op != "Transpose" || turn->attributes.integers("perm") != to_nhwc_axes() ||
        sole_user(graph_, node.inputs[0]) != id)
      return false;
    const auto pad = pad_behind(turn->inputs[0], graph_.value(node.inputs[0]).producer);
    if (!pad || pad->value != static_cast<double>(node.attributes.integer("x_zero_point", 0))) return false;
    const std::vector<int64_t> own = node.attributes.integers("pads");
    if (node.op == "QAveragePool") {
      if (!counts_all(node, own)) return false;
      graph_.attributes(id).set("count_include_pad", int64_t{1});
    }
    graph_.attributes(id).set("pads", sum(own, pad->pads));
    graph_.set_input(id, 0, to_nhwc(edit_, pad->source));
    add_sources(id, pad->node);
    return true;
  }

  // What a Pad added counts as elements; the pool's own padding must do so too, or there must be none.
  static bool counts_all(const ir::Node& node, const std::vector<int64_t>& own) {
    return node.attributes.integer("count_include_pad", 0) != 0 ||
           std::ranges::all_of(own, [](int64_t p) { return p == 0; });
  }

  // pool(Pad(x)) => pool with pads(x)
  bool channels_first(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    const ir::Attributes& attributes = node.attributes;
    const auto pad = pad_behind(node.inputs[0], id);
    if (!pad || node.outputs.size() != 1 || attributes.integer("ceil_mode", 0) != 0 ||
        attributes.text("auto_pad", "NOTSET") != "NOTSET")
      return false;
    const std::vector<int64_t> own = attributes.integers("pads");
    if (node.op == "AveragePool") {
      if (pad->value != 0 || !counts_all(node, own)) return false;
      graph_.attributes(id).set("count_include_pad", int64_t{1});
    } else if (!never_wins(*pad, node, own)) {
      return false;
    }
    graph_.attributes(id).set("pads", sum(own, pad->pads));
    graph_.set_input(id, 0, pad->source);
    add_sources(id, pad->node);
    return true;
  }

  // In every window there is an element of x that is no less than the padding.
  bool never_wins(const SpatialPad& pad, const ir::Node& pool, const std::vector<int64_t>& own) const {
    const std::vector<int64_t> kernel = pool.attributes.integers("kernel_shape"), pads = sum(own, pad.pads);
    if (kernel.size() != 2) return false;
    for (const int64_t dilation : pool.attributes.integers("dilations")) {
      if (dilation != 1) return false;
    }
    for (size_t i = 0; i < 4; ++i) {
      if (pads[i] >= kernel[i % 2]) return false;
    }
    const Shape x = *static_shape(graph_, pad.source);
    if (x[2] < 1 || x[3] < 1) return false;
    return pad.value <= least_of(pad.source);
  }

  // What a tensor can hold at least, as its type or its maker says.
  double least_of(ir::ValueId id) const {
    const ir::Node* maker = graph_.producer(id);
    while (maker != nullptr && (maker->op == "Transpose" || maker->op == "Reshape"))
      maker = graph_.producer(maker->inputs[0]);
    const DType dtype = graph_.value(id).type.dtype;
    if (dtype == DType::Float32) {
      const bool clamped = maker != nullptr && (maker->op == "Relu" || maker->op == "Sigmoid" ||
                                                maker->attributes.text("activation", "") == "Relu");
      return clamped ? 0.0 : -std::numeric_limits<double>::infinity();
    }
    if (dtype != DType::Int8 && dtype != DType::UInt8) return -std::numeric_limits<double>::infinity();
    const double least = dtype == DType::Int8 ? -128 : 0;
    if (maker == nullptr || maker->op[0] != 'Q' || !maker->attributes.has("low")) return least;
    return static_cast<double>(maker->attributes.integer("low", 0));
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

// Pad with 0 (as a code: the zero point) before a convolution or an average pool, with what cannot win before
// a max pool => the operator's own padding, which needs no pass over memory.
ir::Pass fold_pads(const LoweringOptions&) {
  return {"fold-pads", "conv | pool(Pad(x)) => conv | pool with the pads(x)", ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable& ops) { return FoldPads(graph, ops).run(); }};
}

}  // namespace kvant::engine
