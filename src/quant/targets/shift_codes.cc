// SPDX-License-Identifier: Apache-2.0
#include "quant/targets/shift_codes.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "ir/qdq.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

// Operators that move or pick codes and bring none of their own.
constexpr std::string_view kCodeMovers[] = {"MaxPool", "Reshape", "Transpose", "Flatten",
                                            "Squeeze", "Slice",   "Unsqueeze", "Identity"};

bool moves_codes(const Node& node) {
  return std::find(std::begin(kCodeMovers), std::end(kCodeMovers), node.op) != std::end(kCodeMovers);
}

enum class ShiftedCodes { All, Activations };

struct Form {
  DType dtype;
  int32_t zero;
};

// All tensors that hold the codes of one quantized tensor, as Q makes and movers pass them on.
struct Region {
  std::set<ValueId> codes;
  std::set<NodeId> quantizers;  // Q and DQ
  bool constant = false;        // a weight
  bool fits = true;             // all of the given form, read and written by Q, DQ and movers only
};

class RegionFinder {
 public:
  RegionFinder(const Graph& graph, Form form) : graph_(graph), form_(form) {}

  // The region around what a Q writes or a DQ reads.
  Region around(ValueId codes) {
    Region region;
    std::vector<ValueId> open{codes};
    while (!open.empty()) {
      const ValueId value = open.back();
      open.pop_back();
      if (!region.codes.insert(value).second) continue;
      visit(region, value, open);
    }
    return region;
  }

 private:
  void visit(Region& region, ValueId value, std::vector<ValueId>& open) {
    const ir::Value& v = graph_.value(value);
    if (v.type.dtype != form_.dtype || graph_.is_output(value)) region.fits = false;
    if (v.constant) region.constant = true;
    if (v.producer != kNone) {
      take(region, v.producer, open);
    } else if (!v.constant) {
      region.fits = false;  // an input of the network
    }
    for (const ir::Use& use : v.uses) {
      if (use.index != 0) {
        region.fits = false;
        continue;
      }
      take(region, use.node, open);
    }
  }

  void take(Region& region, NodeId id, std::vector<ValueId>& open) {
    const Node& node = graph_.node(id);
    if (ir::is_quantize(node) || ir::is_dequantize(node)) {
      region.quantizers.insert(id);
      const auto params = ir::params_of(graph_, id);
      region.fits = region.fits && params && of_form(*params);
      if (ir::is_quantize(node) && graph_.is_constant(node.inputs[0])) region.constant = true;
    } else if (moves_codes(node)) {
      open.push_back(node.inputs[0]);
      for (const ValueId output : node.outputs) {
        if (output != kNone) open.push_back(output);
      }
      region.fits = region.fits && node.outputs.size() == 1;
    } else {
      region.fits = false;
    }
  }

  bool of_form(const QuantParams& params) const {
    if (params.dtype != form_.dtype) return false;
    for (size_t i = 0; i < params.scale.size(); ++i) {
      if (params.zero_point_at(i) != form_.zero) return false;
    }
    return true;
  }

  const Graph& graph_;
  Form form_;
};

class Shifter {
 public:
  Shifter(Graph& graph, Form to, int32_t by) : graph_(graph), to_(to), by_(by) {}

  void shift(const Region& region) {
    for (const ValueId id : region.codes) {
      const ir::Value& value = graph_.value(id);
      if (value.constant) {
        std::vector<int32_t> codes;
        for (const int64_t code : value.constant->to_ints())
          codes.push_back(static_cast<int32_t>(code) + by_);
        graph_.set_constant(id, Tensor::of<int32_t>(value.constant->shape(), codes).cast(to_.dtype));
      } else {
        graph_.set_type(id, {to_.dtype, value.type.shape});
      }
    }
    for (const NodeId id : region.quantizers) set_zero_point(id);
  }

 private:
  void set_zero_point(NodeId id) {
    std::vector<ValueId> inputs = graph_.node(id).inputs;
    inputs.resize(3, kNone);
    const ValueId old = inputs[2], scale = inputs[1];
    const auto [entry, fresh] = made_.try_emplace({old, scale}, kNone);
    if (fresh) {
      const Tensor& scales = *graph_.constant(scale);
      Tensor zeros = Tensor::full(scales.shape(), static_cast<float>(to_.zero)).cast(to_.dtype);
      const std::string name =
          old != kNone ? graph_.value(old).name : graph_.value(scale).name + "_zero_point";
      if (old != kNone) graph_.rename_value(old, name + "_before");
      entry->second = graph_.add_constant(name, std::move(zeros));
    }
    inputs[2] = entry->second;
    graph_.set_inputs(id, inputs);
    if (ir::is_quantize(graph_.node(id))) graph_.attributes(id).erase("output_dtype");
  }

  Graph& graph_;
  Form to_;
  int32_t by_;
  std::map<std::pair<ValueId, ValueId>, ValueId> made_;
};

int64_t shift(Graph& graph, Form from, Form to, ShiftedCodes which) {
  std::set<ValueId> seen;
  std::vector<Region> regions;
  RegionFinder finder(graph, from);
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!ir::is_quantize(node) && !ir::is_dequantize(node)) continue;
    const ValueId codes = ir::is_quantize(node) ? node.outputs[0] : node.inputs[0];
    if (seen.contains(codes)) continue;
    Region region = finder.around(codes);
    seen.insert(region.codes.begin(), region.codes.end());
    if (!region.fits || (which == ShiftedCodes::Activations && region.constant)) continue;
    regions.push_back(std::move(region));
  }
  Shifter shifter(graph, to, to.zero - from.zero);
  for (const Region& region : regions) shifter.shift(region);
  graph.erase_dead();
  return static_cast<int64_t>(regions.size());
}

constexpr Form kInt8{DType::Int8, 0};
constexpr Form kUInt8{DType::UInt8, 128};

}  // namespace

int64_t shift_to_int8(Graph& graph) { return shift(graph, kUInt8, kInt8, ShiftedCodes::All); }
int64_t shift_to_uint8(Graph& graph) { return shift(graph, kInt8, kUInt8, ShiftedCodes::Activations); }

}  // namespace kvant::quant
