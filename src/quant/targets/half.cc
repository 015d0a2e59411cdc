// SPDX-License-Identifier: Apache-2.0
#include "quant/targets/half.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <string_view>

#include "base/error.h"
#include "ir/infer.h"
#include "ir/qdq.h"
#include "quant/targets/least_bits.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

constexpr float kLeastNormal = 6.103515625e-05f;  // 2^-14
constexpr float kLargest = 65504.0f;

constexpr std::string_view kSafe[] = {
    "Conv",    "ConvTranspose", "Gemm",        "MatMul",      "Add",           "Sub",
    "Mul",     "Relu",          "Clip",        "LeakyRelu",   "PRelu",         "Elu",
    "Selu",    "Sigmoid",       "HardSwish",   "HardSigmoid", "Tanh",          "Gelu",
    "Erf",     "MaxPool",       "Concat",      "AveragePool", "GlobalMaxPool", "GlobalAveragePool",
    "Reshape", "Flatten",       "Transpose",   "Squeeze",     "Unsqueeze",     "BatchNormalization",
    "Slice",   "Split",         "Pad",         "Identity",    "Dropout",       "ReduceMean",
    "Gather",  "Expand",        "Tile",        "Max",         "Min",           "Neg",
    "Abs",     "DepthToSpace",  "SpaceToDepth"};

bool is_safe(const Node& node) {
  return std::find(std::begin(kSafe), std::end(kSafe), node.op) != std::end(kSafe);
}

class Narrower {
 public:
  Narrower(Graph& graph, TargetReport& report) : graph_(graph), report_(report) {}

  void run() {
    std::set<ValueId> single;
    for (const ValueId output : graph_.outputs()) {
      if (is_single(output)) single.insert(output);
    }
    for (const NodeId id : graph_.topological_order()) visit(id);
    restore_outputs(single);
    graph_.erase_dead();
  }

 private:
  bool is_single(ValueId id) const { return id != kNone && graph_.value(id).type.dtype == DType::Float32; }

  void visit(NodeId id) {
    if (ir::is_quantize(graph_.node(id))) return quantize_node(id);
    if (ir::is_dequantize(graph_.node(id))) return dequantize_node(id);
    if (is_safe(graph_.node(id))) {
      each_input(id, [&](ValueId input) { return is_single(input) ? narrow(input) : input; });
      narrow_outputs(id);
    } else {
      each_input(id, [&](ValueId input) { return widen(input); });
    }
  }

  template <class Fn>
  void each_input(NodeId id, Fn&& fn) {
    const std::vector<ValueId> inputs = graph_.node(id).inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const ValueId wanted = inputs[i] == kNone ? kNone : fn(inputs[i]);
      if (wanted != inputs[i]) graph_.set_input(id, static_cast<int>(i), wanted);
    }
  }

  void narrow_outputs(NodeId id) {
    for (const ValueId output : graph_.node(id).outputs) {
      if (!is_single(output)) continue;
      graph_.set_type(output, {DType::Float16, graph_.value(output).type.shape});
      ++report_.half_tensors;
    }
  }

  void quantize_node(NodeId id) {
    const Node& node = graph_.node(id);
    const auto params = ir::params_of(graph_, id);
    if (const Tensor* weight = graph_.constant(node.inputs[0]); weight != nullptr && params) {
      const ValueId codes = node.outputs[0];
      const std::string name = graph_.value(codes).name;
      Tensor value = quantize(*weight, *params);
      graph_.rename_value(codes, name + "_removed");
      graph_.replace_uses(codes, graph_.add_constant(name, std::move(value)));
      return;
    }
    if (!scale_fits(id)) {
      graph_.set_input(id, 0, widen(node.inputs[0]));
      return;
    }
    const std::vector<ValueId> inputs = node.inputs;
    for (const int i : {0, 1}) {
      const ValueId input = inputs[static_cast<size_t>(i)];
      if (is_single(input)) graph_.set_input(id, i, narrow(input));
    }
  }

  void dequantize_node(NodeId id) {
    if (!scale_fits(id)) {
      report_.left_float.push_back(
          {graph_.node(id).name, "a scale is outside of float16's normal numbers: its pair stays float32"});
      return;
    }
    const ValueId scale = graph_.node(id).inputs[1];
    if (is_single(scale)) graph_.set_input(id, 1, narrow(scale));
    narrow_outputs(id);
  }

  bool scale_fits(NodeId id) const {
    const auto scales = graph_.constant(graph_.node(id).inputs[1])->to_floats();
    return std::all_of(scales.begin(), scales.end(),
                       [](float scale) { return scale >= kLeastNormal && scale <= kLargest; });
  }

  // The float16 form of a float32 value.
  ValueId narrow(ValueId id) {
    const auto [entry, fresh] = narrow_.try_emplace(id, kNone);
    if (!fresh) return entry->second;
    const std::string name = graph_.value(id).name;
    if (const Tensor* constant = graph_.constant(id)) {
      check_range(name, *constant);
      entry->second = graph_.add_constant(name + "_half", constant->cast(DType::Float16));
    } else {
      entry->second = cast(id, name + "_half", DType::Float16, 10);
    }
    return entry->second;
  }

  // The float32 form of a float16 value; others as they are.
  ValueId widen(ValueId id) {
    if (graph_.value(id).type.dtype != DType::Float16 || graph_.is_constant(id)) return id;
    const auto [entry, fresh] = wide_.try_emplace(id, kNone);
    if (fresh) entry->second = cast(id, graph_.value(id).name + "_float", DType::Float32, 1);
    return entry->second;
  }

  // `number` is ONNX's of the type.
  ValueId cast(ValueId id, const std::string& name, DType dtype, int64_t number) {
    ir::Attributes attributes;
    attributes.set("to", number);
    const NodeId node = graph_.add_node("Cast", name + "_Cast", {id}, {name}, attributes);
    const ValueId result = graph_.node(node).outputs[0];
    graph_.set_type(result, {dtype, graph_.value(id).type.shape});
    return result;
  }

  static void check_range(const std::string& name, const Tensor& constant) {
    for (const float value : constant.to_floats()) {
      if (std::isfinite(value) && std::fabs(value) > kLargest) {
        fail("the constant '{}' holds {}, beyond float16's {}: leave out --fp16", name, value, kLargest);
      }
    }
  }

  // The network's outputs keep their type and name.
  void restore_outputs(const std::set<ValueId>& single) {
    std::vector<ValueId> outputs(graph_.outputs().begin(), graph_.outputs().end());
    for (ValueId& output : outputs) {
      if (!single.contains(output) || is_single(output)) continue;
      const std::string name = graph_.value(output).name;
      const std::vector<std::string> dim_names = graph_.value(output).dim_names;
      const ValueId wide = widen(output);
      graph_.rename_value(output, name + "_half");
      graph_.rename_value(wide, name);
      graph_.set_dim_names(wide, dim_names);
      output = wide;
    }
    graph_.set_outputs(outputs);
  }

  Graph& graph_;
  TargetReport& report_;
  std::map<ValueId, ValueId> narrow_, wide_;
};

}  // namespace

void to_half(Graph& graph, const ir::OpTable& ops, TargetReport& report) {
  if (const int bits = least_bits(graph); bits < 8)
    fail("a model of {} bits is simulated in int8: FP16 parts would move its codes; leave out --fp16", bits);
  ir::infer_types(graph, ops);
  Narrower(graph, report).run();
  report.exact = false;
  ir::infer_types(graph, ops);
}

}  // namespace kvant::quant
