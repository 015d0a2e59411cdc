// SPDX-License-Identifier: Apache-2.0
// Lines of graph text for the tests of the engine: quantized tensors, convolutions, and evaluation of both
// sides.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/text.h"
#include "ops/ops.h"

namespace kvant::engine {

// %<x>_dq: %x through a Q/DQ pair.
inline std::string pair(const std::string& x, float scale, const std::string& type = "i8",
                        int zero_point = 0) {
  return fmt::format(
      "const %{0}_s: f32[] = {{{1}}} const %{0}_z: {2}[] = {{{3}}}\n"
      "%{0}_q = QuantizeLinear \"{0}_Q\" (%{0}, %{0}_s, %{0}_z)\n"
      "%{0}_dq = DequantizeLinear \"{0}_DQ\" (%{0}_q, %{0}_s, %{0}_z)\n",
      x, fmt::format("{:.6f}", scale), type, zero_point);
}

struct ConvText {
  int out = 8, in = 8, kernel = 3, stride = 1, group = 1;
  bool quantized = true;
};

// %<name> = Conv of %<x> with i8 weights behind a DQ and a float bias.
inline std::string conv(const std::string& name, const std::string& x, const ConvText& c) {
  const int inner = c.in / c.group, pad = c.kernel / 2,
            seed = static_cast<int>(name.size()) * 31 + name.back();
  std::string text = fmt::format("const %{0}_b: f32[{1}] = rand({2})\n", name, c.out, seed + 1);
  if (c.quantized) {
    text += fmt::format(
        "const %{0}_w: i8[{1},{2},{3},{3}] = rand({4}) const %{0}_ws: f32[{1}] = fill(0.002)\n"
        "%{0}_wd = DequantizeLinear \"{0}_wDQ\" (%{0}_w, %{0}_ws) {{axis = 0}}\n",
        name, c.out, inner, c.kernel, seed);
  } else {
    text +=
        fmt::format("const %{0}_wd: f32[{1},{2},{3},{3}] = rand({4})\n", name, c.out, inner, c.kernel, seed);
  }
  return text +
         fmt::format(
             "%{0} = Conv \"{0}\" (%{1}, %{0}_wd, %{0}_b) {{strides = [{2},{2}], pads = [{3},{3},{3},{3}], "
             "group = {4}}}\n",
             name, x, c.stride, pad, c.group);
}

inline std::string unary(const std::string& y, const std::string& op, const std::string& x,
                         const std::string& attributes = "") {
  return fmt::format("%{0} = {1} \"{0}\" (%{2}){3}\n", y, op, x,
                     attributes.empty() ? "" : " {" + attributes + "}");
}

inline std::string binary(const std::string& y, const std::string& op, const std::string& a,
                          const std::string& b) {
  return fmt::format("%{0} = {1} \"{0}\" (%{2}, %{3})\n", y, op, a, b);
}

inline std::string graph_text(const std::string& body, const std::string& output,
                              const std::string& input = "f32[4,8,16,16]") {
  return "graph \"g\" {\ninput %x: " + input + "\n" + body + "output %" + output + "\n}\n";
}

inline ir::Graph typed(const std::string& text) {
  ir::Graph graph = ir::parse(text);
  ir::infer_types(graph, ops::standard());
  return graph;
}

inline std::vector<Tensor> random_inputs(const ir::Graph& graph, uint64_t seed = 7) {
  Random random(seed);
  std::vector<Tensor> inputs;
  for (const ir::ValueId id : graph.inputs()) {
    Tensor tensor(graph.value(id).type.dtype, *graph.value(id).type.shape);
    if (tensor.dtype() == DType::Float32) {
      for (float& x : tensor.mutable_data<float>()) x = random.uniform(-2, 2);
    } else {
      for (size_t i = 0; i < tensor.byte_size(); ++i)
        tensor.mutable_raw()[i] = static_cast<std::byte>(random.next());
    }
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

// Share of elements that differ by more than `tolerance` times the largest magnitude.
inline double differing(const Tensor& a, const Tensor& b, double tolerance) {
  const std::vector<float> x = a.to_floats(), y = b.to_floats();
  if (a.shape() != b.shape() || x.empty()) return 1;
  double largest = 1e-6;
  for (const float v : x) largest = std::max(largest, std::abs(static_cast<double>(v)));
  size_t count = 0;
  for (size_t i = 0; i < x.size(); ++i)
    count += !(std::abs(static_cast<double>(x[i]) - y[i]) <= tolerance * largest);
  return static_cast<double>(count) / static_cast<double>(x.size());
}

inline size_t count(const ir::Graph& graph, const std::string& op) {
  size_t n = 0;
  for (const ir::NodeId id : graph.topological_order()) n += graph.node(id).op == op;
  return n;
}

}  // namespace kvant::engine
