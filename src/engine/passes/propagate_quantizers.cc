// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/passes/commuting.h"
#include "engine/passes/pipeline.h"
#include "engine/run/probes.h"
#include "ir/qdq.h"

namespace kvant::engine {
namespace {

class Propagate {
 public:
  Propagate(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    size_t changes = 0;
    while (const size_t moved = sweep()) changes += moved;
    for (const ir::NodeId id : graph_.topological_order()) {
      const auto params = graph_.node(id).erased ? std::nullopt : tensor_quantizer(graph_, id);
      if (params) merge_readers(graph_.node(id).inputs[0], *params);
    }
    return changes;
  }

 private:
  size_t sweep() {
    size_t changes = 0;
    for (const ir::NodeId id : graph_.topological_order()) {
      if (!graph_.node(id).erased) changes += erase_pair(id) || forward(id);
    }
    graph_.erase_dead();
    // One step back at a time: what DQs it meets may go forward first.
    for (const ir::NodeId id : upwards(graph_)) {
      if (!graph_.node(id).erased) changes += backward(id);
    }
    graph_.erase_dead();
    return changes;
  }

  // q -> DQ(s) -> Q(s) => q
  bool erase_pair(ir::NodeId id) {
    const auto params = tensor_quantizer(graph_, id);
    if (!params) return false;
    const ir::Node& node = graph_.node(id);
    const auto source = dequantized(graph_, node.inputs[0]);
    if (!source || !same_params(*params, source->params)) return false;
    const ir::ValueId q = node.outputs[0];
    if (graph_.is_output(q)) return false;
    record_probe(graph_, graph_.value(q).name,
                 {.value = graph_.value(source->codes).name, .permutation = {}});
    graph_.replace_uses(q, source->codes);
    return true;
  }

  // DQ(s) -> op => op on codes -> DQ(s), when all data inputs are DQs of equal parameters; and
  // DQ(s) -> Relu => codes clamped at the zero point -> DQ(s)
  bool forward(ir::NodeId id) {
    const ir::Node node = graph_.node(id);
    const bool is_relu = node.op == "Relu";
    const std::vector<size_t> data = is_relu ? std::vector<size_t>{0} : data_inputs(graph_, node);
    if (data.empty()) return false;
    std::vector<ir::ValueId> inputs = node.inputs;
    std::optional<Dequantized> first;
    for (const size_t i : data) {
      const auto source = dequantized(graph_, node.inputs[i]);
      if (!source || (first && !same_params(first->params, source->params))) return false;
      if (!first) first = source;
      inputs[i] = source->codes;
    }
    const ir::Node dequantize = graph_.node(first->node);
    std::vector<ir::ValueId> codes;
    if (is_relu) {
      if (next_is_quantizer(node.outputs[0])) return false;  // a table does both
      codes.push_back(
          edit_.value("QLut", node.name + "_codes", {inputs[0], relu_table(first->params)}, {}, {id}));
    } else {
      const auto moved = on_codes(edit_, id, std::move(inputs), first->params, false);
      if (!moved) return false;
      codes = graph_.node(*moved).outputs;
    }
    for (size_t i = 0; i < codes.size(); ++i)
      dequantize_into(node.outputs[i], codes[i], dequantize, first->node);
    return true;
  }

  bool next_is_quantizer(ir::ValueId id) const {
    const ir::NodeId user = sole_user(graph_, id);
    return user != ir::kNone && ir::is_quantize(graph_.node(user));
  }

  ir::ValueId relu_table(const QuantParams& params) {
    Tensor table(params.dtype, {256});
    for (int byte = 0; byte < 256; ++byte) {
      const int32_t code = params.dtype == DType::Int8 ? static_cast<int8_t>(byte) : byte;
      table.mutable_raw()[byte] = static_cast<std::byte>(std::max(code, params.zero_point_at(0)));
    }
    return edit_.constant("relu_table", std::move(table));
  }

  // `codes` dequantized as `pattern` does it takes the place of `old`.
  void dequantize_into(ir::ValueId old, ir::ValueId codes, const ir::Node& pattern, ir::NodeId from) {
    std::vector<ir::ValueId> inputs = pattern.inputs;
    inputs[0] = codes;
    edit_.take_place(
        old, edit_.value("DequantizeLinear", pattern.name, std::move(inputs), pattern.attributes, {from}));
  }

  // op -> Q(s) => Q(s) on each data input -> op on codes
  bool backward(ir::NodeId id) {
    const auto params = tensor_quantizer(graph_, id);
    if (!params) return false;
    const ir::NodeId producer = graph_.value(graph_.node(id).inputs[0]).producer;
    if (producer == ir::kNone) return false;
    const ir::Node node = graph_.node(producer);
    const std::vector<size_t> data = data_inputs(graph_, node);
    if (data.empty()) return false;
    std::vector<ir::NodeId> quantizers;
    for (const ir::ValueId output : node.outputs) {
      merge_readers(output, *params);
      const ir::NodeId user = sole_user(graph_, output);
      const auto other = tensor_quantizer(graph_, user);
      if (!other || !same_params(*params, *other)) return false;
      quantizers.push_back(user);
    }
    if (!worth_moving(producer, data, *params)) return false;
    const ir::NodeId kept = quantizers.front();  // `id` may have been merged with it
    const ir::Node quantize = graph_.node(kept);
    std::vector<ir::ValueId> inputs = node.inputs;
    for (const size_t i : data) {
      std::vector<ir::ValueId> operands = quantize.inputs;
      operands[0] = node.inputs[i];
      inputs[i] =
          edit_.value("QuantizeLinear", quantize.name, std::move(operands), quantize.attributes, {kept});
    }
    const auto moved = on_codes(edit_, producer, std::move(inputs), *params, true);
    if (!moved) return false;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      edit_.take_place(graph_.node(quantizers[i]).outputs[0], graph_.node(*moved).outputs[i]);
    }
    return true;
  }

  bool quantizes_alike(ir::NodeId id, const QuantParams& params) const {
    const auto other = tensor_quantizer(graph_, id);
    return other && same_params(params, *other);
  }

  // Where Qs of the same parameters are all that reads a tensor, one of them is left.
  void merge_readers(ir::ValueId id, const QuantParams& params) {
    const std::vector<ir::Use> uses = graph_.value(id).uses;
    if (uses.size() < 2 || graph_.use_count(id) != uses.size()) return;
    for (const ir::Use& use : uses) {
      if (!quantizes_alike(use.node, params) || graph_.is_output(graph_.node(use.node).outputs[0])) return;
    }
    const ir::ValueId kept = graph_.node(uses[0].node).outputs[0];
    for (size_t i = 1; i < uses.size(); ++i) {
      const ir::ValueId other = graph_.node(uses[i].node).outputs[0];
      record_probe(graph_, graph_.value(other).name, {.value = graph_.value(kept).name, .permutation = {}});
      graph_.replace_uses(other, kept);
    }
    graph_.erase_dead();
  }

  // A tensor that others read in float too would be quantized whole for the sake of a part of it; not so
  // where they quantize it in the same way.
  bool worth_moving(ir::NodeId id, const std::vector<size_t>& data, const QuantParams& params) const {
    const ir::Node& node = graph_.node(id);
    if (node.op == "Concat") return true;
    return std::ranges::all_of(data, [&](size_t i) {
      const ir::ValueId x = node.inputs[i];
      const std::vector<ir::Use>& uses = graph_.value(x).uses;
      const bool alike =
          graph_.use_count(x) == uses.size() && std::ranges::all_of(uses, [&](const ir::Use& use) {
            return use.node == id || quantizes_alike(use.node, params);
          });
      return alike || dequantized(graph_, x).has_value();
    });
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

ir::Pass propagate_quantizers(const LoweringOptions&) {
  return {"propagate-quantizers",
          "DQ(s) -> op => op on codes -> DQ(s); op -> Q(s) => Q(s) -> op on codes; DQ(s) -> Q(s) => nothing",
          ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable& ops) { return Propagate(graph, ops).run(); }};
}

}  // namespace kvant::engine
