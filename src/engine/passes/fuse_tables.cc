// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "base/error.h"
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

constexpr size_t kMaxNodes = 16;

// Everything between one tensor of codes and a Q: elementwise operators whose other operands are single
// numbers.
struct Region {
  std::optional<Dequantized> source;
  std::vector<ir::NodeId> nodes;  // each after its producers
};

// Bytes that are numbers, as an image comes: codes of scale 1 around 0.
std::optional<Dequantized> cast_bytes(const ir::Graph& graph, ir::ValueId id) {
  const ir::Node* node = graph.producer(id);
  if (node == nullptr || node->op != "Cast" || graph.is_constant(node->inputs[0])) return std::nullopt;
  const DType from = graph.value(node->inputs[0]).type.dtype;
  if (graph.value(id).type.dtype != DType::Float32 || (from != DType::UInt8 && from != DType::Int8))
    return std::nullopt;
  return Dequantized{graph.value(id).producer, node->inputs[0],
                     QuantParams{.dtype = from, .scale = {1.0f}, .zero_point = {}}};
}

class FuseTables {
 public:
  FuseTables(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), ops_(ops), edit_(graph, ops) {}

  size_t run() {
    return fuse_each(graph_, upwards(graph_), [this](ir::NodeId id) { return fuse(id); });
  }

 private:
  bool fuse(ir::NodeId id) {
    const auto params = tensor_quantizer(graph_, id);
    if (!params) return false;
    Region region;
    const ir::ValueId root = graph_.node(id).inputs[0];
    if (!collect(root, region) || !region.source || !is_closed(region, root, id)) return false;
    if (static_shape(graph_, root) != static_shape(graph_, region.source->codes)) return false;
    make_table(id, *params, region, root);
    return true;
  }

  bool collect(ir::ValueId id, Region& region) const {
    if (graph_.is_constant(id)) return graph_.constant(id)->size() == 1;
    auto source = dequantized(graph_, id);
    if (!source) source = cast_bytes(graph_, id);
    if (source) {
      if (!region.source) region.source = source;
      return region.source->codes == source->codes && same_params(region.source->params, source->params);
    }
    const ir::NodeId producer = graph_.value(id).producer;
    if (producer == ir::kNone || region.nodes.size() >= kMaxNodes) return false;
    if (std::ranges::find(region.nodes, producer) != region.nodes.end()) return true;
    const ir::Node& node = graph_.node(producer);
    const ir::OpDef& op = ops_.get(node.op);
    if (!op.is(ir::Trait::Elementwise) || op.is(ir::Trait::Random) || op.is(ir::Trait::Internal) ||
        node.outputs.size() != 1)
      return false;
    if (node.op == "Cast" || node.op == "CastLike") return false;
    for (const ir::ValueId input : node.inputs) {
      if (input != ir::kNone && !collect(input, region)) return false;
    }
    region.nodes.push_back(producer);
    return true;
  }

  // Nobody outside sees what is computed inside.
  bool is_closed(const Region& region, ir::ValueId root, ir::NodeId quantize) const {
    for (const ir::NodeId id : region.nodes) {
      const ir::ValueId output = graph_.node(id).outputs[0];
      if (graph_.is_output(output)) return false;
      for (const ir::Use& use : graph_.value(output).uses) {
        const bool inside = std::ranges::find(region.nodes, use.node) != region.nodes.end();
        if (!inside && !(output == root && use.node == quantize)) return false;
      }
    }
    return true;
  }

  // The region's value for each of the 256 bytes.
  Tensor evaluate(const Region& region, ir::ValueId root) const {
    Tensor bytes(region.source->params.dtype, {256});
    for (int byte = 0; byte < 256; ++byte) bytes.mutable_raw()[byte] = static_cast<std::byte>(byte);
    const Tensor source = dequantize(bytes, region.source->params);
    std::map<ir::ValueId, Tensor> values;
    const auto value_of = [&](ir::ValueId id) -> Tensor {
      if (const Tensor* constant = graph_.constant(id)) return constant->reshaped({});
      const auto found = values.find(id);
      return found != values.end() ? found->second : source;
    };
    for (const ir::NodeId id : region.nodes) {
      const ir::Node& node = graph_.node(id);
      std::vector<Tensor> inputs;
      for (const ir::ValueId input : node.inputs)
        inputs.push_back(input == ir::kNone ? Tensor() : value_of(input));
      std::vector<const Tensor*> pointers;
      for (size_t i = 0; i < inputs.size(); ++i)
        pointers.push_back(node.inputs[i] == ir::kNone ? nullptr : &inputs[i]);
      values[node.outputs[0]] = ops_.get(node.op).evaluate({node, pointers})[0];
    }
    return value_of(root);
  }

  void make_table(ir::NodeId id, const QuantParams& params, const Region& region, ir::ValueId root) {
    const std::string name = graph_.node(id).name;
    const Tensor table = quantize(evaluate(region, root).reshaped({256}), params);
    std::vector<ir::NodeId> from = region.nodes;
    from.push_back(id);
    graph_.rename_node(id, name + "~");
    const ir::ValueId y =
        edit_.value("QLut", name, {region.source->codes, edit_.constant(name + "_table", table)}, {}, from);
    edit_.take_place(graph_.node(id).outputs[0], y);
  }

  ir::Graph& graph_;
  const ir::OpTable& ops_;
  Edit edit_;
};

}  // namespace

// Q(f(DQ(x))) => table[x]; f is any composition of elementwise functions, or nothing (requantization). Also
// Q(f(Cast(x))) where x holds bytes: an image that the network normalizes itself is then never float.
ir::Pass fuse_tables(const LoweringOptions&) {
  return {"fuse-tables", "Q(f(DQ(x))), Q(f(Cast(bytes))) => QLut(x), f elementwise", ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable& ops) { return FuseTables(graph, ops).run(); }};
}

}  // namespace kvant::engine
