// SPDX-License-Identifier: Apache-2.0
// For tests of placement: small networks as text, and golden texts of what became of them. A line of a golden
// text is a node: `result = Op(inputs)`, where `x*` reads x through a Q/DQ pair and `w*0` through one with
// scales per index of axis 0.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
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

// Float tensors that `graph` makes of `inputs`, by name.
inline std::map<std::string, Tensor> evaluate_named(ir::Graph graph, const std::vector<std::string>& names,
                                                    const std::vector<Tensor>& inputs) {
  std::vector<ir::ValueId> values;
  for (const std::string& name : names) values.push_back(graph.find_value(name));
  graph.set_outputs(values);
  const std::vector<Tensor> results = ir::evaluate(graph, ops::standard(), inputs);
  std::map<std::string, Tensor> by_name;
  for (size_t i = 0; i < names.size(); ++i) by_name[names[i]] = results[i];
  return by_name;
}

// Evaluates the float graph and the one with its pairs (ranges: those of the very input) on noise. Returns
// the largest error of any output, as a part of that output's largest magnitude.
inline double relative_error(const Sites& sites) {
  const ir::Graph& graph = sites.graph();
  std::vector<Tensor> inputs;
  for (const ir::ValueId input : graph.inputs()) {
    Shape shape = *graph.value(input).type.shape;
    for (int64_t& dim : shape) dim = dim < 0 ? 2 : dim;
    Random random(inputs.size() + 1);
    inputs.emplace_back(DType::Float32, shape);
    for (float& value : inputs.back().mutable_data<float>()) value = random.normal();
  }
  const auto amax = [](const Tensor& tensor) {
    float largest = 0;
    for (const float value : tensor.data<float>()) largest = std::max(largest, std::fabs(value));
    return largest;
  };
  CalibrationTable table;
  for (const auto& [name, tensor] : evaluate_named(graph, tensors_to_calibrate(sites), inputs))
    table.ranges[name] = {-amax(tensor), amax(tensor)};
  ir::Graph quantized = graph;
  insert_pairs(quantized, sites, table);
  ir::infer_types(quantized, ops::standard());
  const auto expected = ir::evaluate(graph, ops::standard(), inputs);
  const auto actual = ir::evaluate(quantized, ops::standard(), inputs);
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto a = expected[i].data<float>(), b = actual[i].data<float>();
    for (size_t k = 0; k < a.size(); ++k)
      worst = std::max(worst, std::fabs(a[k] - b[k]) / static_cast<double>(amax(expected[i])));
  }
  return worst;
}

inline std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
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
