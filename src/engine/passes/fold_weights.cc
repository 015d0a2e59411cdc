// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "ir/qdq.h"

namespace kvant::engine {
namespace {

// Codes minus their zero points as i8, when all fit; the code's index along the axis is its channel.
std::optional<Tensor> centred(const Tensor& codes, const QuantParams& params) {
  const std::vector<int64_t> values = codes.to_ints();
  Tensor result(DType::Int8, codes.shape());
  const auto out = result.mutable_data<int8_t>();
  size_t inner = 1;
  for (size_t i = static_cast<size_t>(params.axis) + 1; !params.per_tensor() && i < codes.rank(); ++i)
    inner *= static_cast<size_t>(codes.dim(i));
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = params.per_tensor() ? 0 : i / inner % params.scale.size();
    const int64_t value = values[i] - params.zero_point_at(channel);
    if (value < -128 || value > 127) return std::nullopt;
    out[i] = static_cast<int8_t>(value);
  }
  return result;
}

bool has_zero_points(const QuantParams& params) {
  for (size_t i = 0; i < params.scale.size(); ++i) {
    if (params.zero_point_at(i) != 0) return true;
  }
  return false;
}

// Q(constant) => its codes.
bool fold_quantize(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const ir::Node& node = graph.node(id);
  const Tensor* source = graph.constant(node.inputs[0]);
  const auto params = source != nullptr ? ir::params_of(graph, id) : std::nullopt;
  if (!params || graph.is_output(node.outputs[0])) return false;
  edit.take_place(node.outputs[0], edit.constant("", quantize(*source, *params)));
  return true;
}

// DQ(codes, zero point) => DQ(codes - zero point as i8): u8 weights around 128 become i8 around 0.
bool centre_codes(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const ir::Node& node = graph.node(id);
  const Tensor* codes = graph.constant(node.inputs[0]);
  const auto params = codes != nullptr ? ir::params_of(graph, id) : std::nullopt;
  if (!params || codes->rank() == 0 || (params->dtype != DType::UInt8 && params->dtype != DType::Int8))
    return false;
  if (params->dtype == DType::Int8 && !has_zero_points(*params)) return false;
  auto fresh = centred(*codes, *params);
  if (!fresh) return false;
  const Shape& shape = *graph.value(node.inputs[1]).type.shape;
  std::vector<ir::ValueId> inputs = {edit.constant(graph.value(node.inputs[0]).name, std::move(*fresh)),
                                     node.inputs[1], edit.constant("", Tensor(DType::Int8, shape))};
  graph.set_inputs(id, std::move(inputs));
  return true;
}

// DQ(i32 constant), which is how ONNX Runtime stores a bias => float constant.
bool fold_bias(Edit& edit, ir::NodeId id) {
  ir::Graph& graph = edit.graph();
  const ir::Node& node = graph.node(id);
  const Tensor* codes = graph.constant(node.inputs[0]);
  if (codes == nullptr || codes->dtype() != DType::Int32 || graph.is_output(node.outputs[0])) return false;
  const auto params = ir::params_of(graph, id);
  if (!params) return false;
  edit.take_place(node.outputs[0], edit.constant("", dequantize(*codes, *params)));
  return true;
}

}  // namespace

ir::Pass fold_weights(const LoweringOptions&) {
  return {"fold-weights",
          "Q(constant) => codes; DQ(codes, zp) => DQ(codes - zp); DQ(i32 constant) => float constant",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            size_t changes = 0;
            for (const ir::NodeId id : graph.topological_order()) {
              if (ir::is_quantize(graph.node(id))) changes += fold_quantize(edit, id);
              if (!ir::is_dequantize(graph.node(id))) continue;
              if (fold_bias(edit, id) || centre_codes(edit, id)) ++changes;
            }
            graph.erase_dead();
            return changes;
          }};
}

}  // namespace kvant::engine
