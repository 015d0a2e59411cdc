// SPDX-License-Identifier: Apache-2.0
#include "engine/plan/apart.h"

#include <algorithm>
#include <set>
#include <string>

#include "engine/build/memory_plan.h"

namespace kvant::engine {
namespace {

using OpNames = std::set<std::string, std::less<>>;

// Operators whose result's leading dimension is that of their first operand's and which work along others.
const OpNames& image_names() {
  static const OpNames names = {
      "QConv",         "QAveragePool",    "QGlobalAveragePool",    "ConvNhwc",
      "MaxPoolNhwc",   "AveragePoolNhwc", "GlobalAveragePoolNhwc", "Conv",
      "ConvTranspose", "MaxPool",         "AveragePool",           "GlobalAveragePool",
      "GlobalMaxPool", "DepthToSpace",    "SpaceToDepth",          "QSqueezeExcite",
      "QChannelAffine"};
  return names;
}

// Rows of the last dimension, each for itself: a leading dimension is never the last one here.
const OpNames& row_names() {
  static const OpNames names = {"QGemm", "Linear"};
  return names;
}

// Whose operands beyond the weights are residuals of the result's shape.
const OpNames& residual_names() {
  static const OpNames names = {"QConv", "QGemm", "ConvNhwc", "Linear"};
  return names;
}

const OpNames& elementwise_names() {
  static const OpNames names = {"QAdd",
                                "QAddReal",
                                "QMul",
                                "QLut",
                                "QuantizeLinear",
                                "DequantizeLinear",
                                "Add",
                                "Sub",
                                "Mul",
                                "Div",
                                "Min",
                                "Max",
                                "Relu",
                                "Clip",
                                "Sigmoid",
                                "Tanh",
                                "Gelu",
                                "Erf",
                                "Exp",
                                "HardSigmoid",
                                "HardSwish",
                                "LeakyRelu",
                                "PRelu",
                                "Elu",
                                "Mish",
                                "Sqrt",
                                "Neg",
                                "Abs",
                                "Softplus",
                                "Identity"};
  return names;
}

// Along `axis`, or (norms) from there on.
const OpNames& axis_names() {
  static const OpNames names = {
      "QConcat", "Concat", "Softmax", "QSoftmax", "LayerNormalization", "QLayerNormalization"};
  return names;
}

class Apart {
 public:
  Apart(const Plan& plan, int64_t images)
      : plan_(plan),
        graph_(plan.graph),
        images_(images),
        inputs_(plan.graph.inputs().first(plan.input_count)),
        packed_away_(plan.graph.inputs().subspan(plan.input_count)) {}

  bool holds() const {
    for (const ir::ValueId input : inputs_) {
      if (!in_parts(input)) return false;
    }
    for (const ir::ValueId output : graph_.outputs()) {
      if (is_constant(output) || std::ranges::find(inputs_, output) != inputs_.end()) return false;
    }
    return std::ranges::all_of(plan_.steps, [&](const PlanStep& step) { return keeps_parts(step); });
  }

 private:
  bool is_constant(ir::ValueId id) const {
    return graph_.is_constant(id) || std::ranges::find(packed_away_, id) != packed_away_.end();
  }
  const Shape* shape(ir::ValueId id) const {
    return id != ir::kNone && graph_.value(id).type.is_static() ? &*graph_.value(id).type.shape : nullptr;
  }
  bool in_parts(ir::ValueId id) const {
    const Shape* s = shape(id);
    return s != nullptr && !s->empty() && s->front() > 0 && s->front() % images_ == 0;
  }
  int64_t leading(ir::ValueId id) const { return shape(id)->front(); }

  bool keeps_parts(const PlanStep& step) const {
    const ir::Node& node = graph_.node(step.node);
    if (node.inputs.empty() || node.inputs[0] == ir::kNone) return false;
    if (is_constant(node.inputs[0]) && !elementwise_names().contains(node.op)) return false;
    if (std::ranges::all_of(node.inputs,
                            [&](ir::ValueId input) { return input == ir::kNone || is_constant(input); }))
      return false;
    for (const ir::ValueId output : node.outputs) {
      if (output == ir::kNone || !in_parts(output)) return false;
    }
    if (node.op == "Split") return splits_images(node);
    if (node.outputs.size() != 1) return false;
    for (const ir::ValueId input : node.inputs) {
      if (input != ir::kNone && !is_constant(input) && !in_parts(input)) return false;
    }
    if (step.backend == kView) return true;  // the same bytes under another shape
    if (node.op == "Transpose") {
      const std::vector<int64_t> perm = node.attributes.integers("perm");
      return !perm.empty() && perm[0] == 0;
    }
    if (node.op == "QMatMul") return is_product(node);
    if (elementwise_names().contains(node.op)) return operands_agree(node);
    if (node.op == "Resize" || node.op == "Slice" || node.op == "Gather") return moves_within(node);
    if (node.op == "Flatten") return node.attributes.integer("axis", 1) > 0 && first_leads(node);
    if (axis_names().contains(node.op)) {
      const int64_t rank = static_cast<int64_t>(shape(node.outputs[0])->size());
      const int64_t axis = node.attributes.integer("axis", -1);
      return (axis < 0 ? axis + rank : axis) > 0 && operands_agree(node);
    }
    if (row_names().contains(node.op)) return shape(node.inputs[0])->size() > 1 && first_leads(node);
    return image_names().contains(node.op) && first_leads(node);
  }

  // Only the first operand and a residual come at run time, and lead as the result does.
  bool first_leads(const ir::Node& node) const {
    const ir::ValueId output = node.outputs[0];
    if (leading(node.inputs[0]) != leading(output)) return false;
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      const ir::ValueId input = node.inputs[i];
      if (input == ir::kNone || is_constant(input)) continue;
      if (i < 3 || !residual_names().contains(node.op) || *shape(input) != *shape(output)) return false;
    }
    return true;
  }

  bool splits_images(const ir::Node& node) const {
    const int64_t rank = static_cast<int64_t>(shape(node.inputs[0])->size());
    const int64_t axis = node.attributes.integer("axis", 0);
    return (axis < 0 ? axis + rank : axis) > 0 && first_leads(node);
  }

  // Elements are taken along named axes, of which the first is none, by constants that say nothing of it.
  bool moves_within(const ir::Node& node) const {
    const int64_t rank = static_cast<int64_t>(shape(node.inputs[0])->size());
    std::vector<int64_t> axes;
    if (node.op == "Gather") {
      axes = {node.attributes.integer("axis", 0)};
    } else if (node.op == "Resize") {
      axes = node.attributes.integers("axes", {});
      if (axes.empty() && !scales_first_by_one(node)) return false;
    } else {
      const Tensor* listed = node.inputs.size() > 3 ? graph_.constant(node.inputs[3]) : nullptr;
      if (listed == nullptr) return false;
      axes = listed->to_ints();
    }
    return std::ranges::all_of(axes, [&](int64_t axis) { return (axis < 0 ? axis + rank : axis) > 0; }) &&
           first_leads(node);
  }

  bool scales_first_by_one(const ir::Node& node) const {
    const Tensor* scales = node.inputs.size() > 2 ? graph_.constant(node.inputs[2]) : nullptr;
    return scales != nullptr && scales->size() > 0 && scales->to_floats()[0] == 1.0f;
  }

  // What comes at run time has the result's rank and leading dimension; constants say the same to every part.
  bool operands_agree(const ir::Node& node) const {
    const Shape& y = *shape(node.outputs[0]);
    const bool of_codes = node.op == "QuantizeLinear" || node.op == "DequantizeLinear";
    for (const ir::ValueId input : node.inputs) {
      if (input == ir::kNone) continue;
      const Shape* s = shape(input);
      if (s == nullptr) return false;
      if (!is_constant(input)) {
        if (s->size() != y.size() || s->front() != y.front()) return false;
      } else if (of_codes) {
        if (element_count(*s) != 1) return false;
      } else if (node.op == "QLut" || node.op.ends_with("LayerNormalization")) {
        continue;  // a table, and numbers for each element of a row
      } else if (s->size() > y.size() || (s->size() == y.size() && s->front() != 1)) {
        return false;
      }
    }
    return true;
  }

  // Leading dimensions stay in front, and both factors have them.
  bool is_product(const ir::Node& node) const {
    for (const char* name : {"a_perm", "b_perm", "y_perm"}) {
      const std::vector<int64_t> perm = node.attributes.integers(name, {});
      if (!perm.empty() && perm[0] != 0) return false;
    }
    return std::ranges::all_of(node.inputs, [&](ir::ValueId input) {
      return input != ir::kNone && !is_constant(input) && shape(input)->size() > 2 &&
             shape(input)->size() == shape(node.outputs[0])->size() &&
             leading(input) == leading(node.outputs[0]);
    });
  }

  const Plan& plan_;
  const ir::Graph& graph_;
  int64_t images_;
  std::span<const ir::ValueId> inputs_, packed_away_;
};

}  // namespace

int64_t images_apart(const Plan& plan) {
  if (plan.input_count == 0) return 1;
  const ir::Type& type = plan.graph.value(plan.graph.inputs()[0]).type;
  if (!type.is_static() || type.shape->empty() || type.shape->front() < 2) return 1;
  const int64_t images = type.shape->front();
  return Apart(plan, images).holds() ? images : 1;
}

Plan plan_of_one_image(const Plan& plan, int64_t images) {
  Plan one = plan;
  one.threads = 1;
  const auto packed_away = plan.graph.inputs().subspan(plan.input_count);
  for (size_t i = 0; i < one.graph.value_capacity(); ++i) {
    const auto id = static_cast<ir::ValueId>(i);
    const ir::Value& value = one.graph.value(id);
    if (value.erased || value.constant || std::ranges::find(packed_away, id) != packed_away.end()) continue;
    ir::Type type = value.type;
    if (!type.shape || type.shape->empty()) continue;
    type.shape->front() /= images;
    one.graph.set_type(id, std::move(type));
  }
  plan_memory(one);
  return one;
}

ConstantUse use_of_constants(const Plan& plan) {
  double bytes = 0, uses = 0;
  for (const PlanStep& step : plan.steps) {
    if (step.backend == kView) continue;
    double packed = 0;
    for (const Tensor& tensor : step.packed) packed += static_cast<double>(tensor.byte_size());
    const Shape& y = *plan.graph.value(plan.graph.node(step.node).outputs[0]).type.shape;
    if (y.empty() || y.back() == 0) continue;
    bytes += packed;
    uses += packed * static_cast<double>(element_count(y)) / static_cast<double>(y.back());
  }
  return {bytes, bytes > 0 ? uses / bytes : 0};
}

}  // namespace kvant::engine
