// SPDX-License-Identifier: Apache-2.0
// For tests of placement: small networks as text, and golden texts of what became of them. A line of a golden
// text is a node: `result = Op(inputs)`, where `x*` reads x through a Q/DQ pair and `w*0` through one with
// scales per index of axis 0.
#pragma once

#include <stdexcept>
#include <string>

#include "base/error.h"
#include "ir/infer.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/ops.h"
#include "quant/placement/insert.h"
#include "quant/placement/placement.h"

namespace kvant::quant {

struct Placed {
  ir::Graph graph;
  PlacementReport report;
  const LayerReport& layer(const std::string& name) const {
    for (const LayerReport& layer : report.layers) {
      if (layer.name == name) return layer;
    }
    throw std::runtime_error("no layer " + name);
  }
};

inline ir::Graph parse_typed(const std::string& text) {
  ir::Graph graph = ir::parse(text);
  ir::infer_types(graph, ops::standard());
  return graph;
}

// The pairs of `sites`, with the range [-1, 2] for every tensor that needs one.
inline Placed insert_all(const Sites& sites, int bits = 8) {
  const ir::Graph& graph = sites.graph();
  CalibrationTable table;
  for (const std::string& name : tensors_to_calibrate(sites)) table.ranges[name] = {-1.0f, 2.0f};
  Placed placed{graph, {}};
  placed.report = insert_pairs(placed.graph, sites, table, bits);
  ir::infer_types(placed.graph, ops::standard());
  ir::verify(placed.graph, ops::standard());
  ir::verify_qdq(placed.graph);
  return placed;
}

inline Placed place_text(const std::string& text, int bits = 8) {
  const ir::Graph graph = parse_typed(text);
  return insert_all(place(graph), bits);
}

inline std::string golden(const ir::Graph& graph) {
  std::string text;
  for (size_t i = 0; i < graph.node_capacity(); ++i) {  // as the text lists them
    const ir::Node& node = graph.node(static_cast<ir::NodeId>(i));
    if (node.erased || ir::is_quantize(node) || ir::is_dequantize(node)) continue;
    text += graph.value(node.outputs[0]).name + " = " + node.op + "(";
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      if (k > 0) text += ", ";
      const auto pair = ir::quantized_behind(graph, node.inputs[k]);
      const ir::ValueId source =
          pair && pair->source == ir::kNone ? pair->codes : (pair ? pair->source : node.inputs[k]);
      text += graph.value(source).name;
      if (pair) text += "*";
      if (pair && !pair->params.per_tensor()) text += std::to_string(pair->params.axis);
    }
    text += ")\n";
  }
  return text;
}

inline std::string norm(const std::string& name, const std::string& x, int channels, int seed) {
  const std::string c = "f32[" + std::to_string(channels) + "]";
  return "const %" + name + ".g: " + c + " = rand(" + std::to_string(seed) + ")\n" +      //
         "const %" + name + ".b: " + c + " = rand(" + std::to_string(seed + 1) + ")\n" +  //
         "const %" + name + ".m: " + c + " = rand(" + std::to_string(seed + 2) + ")\n" +  //
         "const %" + name + ".v: " + c + " = fill(0.5)\n" +                               //
         "%" + name + " = BatchNormalization \"" + name + "\" (%" + x + ", %" + name + ".g, %" + name +
         ".b, %" + name + ".m, %" + name + ".v)\n";
}

inline std::string conv(const std::string& name, const std::string& x, int in, int out, int kernel = 1,
                        int groups = 1, int stride = 1) {
  const int pad = kernel / 2;
  return fmt::format(
      "const %{0}.w: f32[{2},{3},{4},{4}] = rand(7)\n"
      "%{0} = Conv \"{0}\" (%{1}, %{0}.w) {{pads = [{5},{5},{5},{5}], group = {6}, strides = [{7},{7}]}}\n",
      name, x, out, in / groups, kernel, pad, groups, stride);
}

inline std::string graph_of(const std::string& body, const std::string& input = "f32[N,4,8,8]") {
  return "graph \"g\" {\ninput %x: " + input + "\n" + body + "}\n";
}

}  // namespace kvant::quant
