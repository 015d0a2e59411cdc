// SPDX-License-Identifier: Apache-2.0
// Networks beside those of engine/passes/networks_test.h: float ones, and one quantized as TensorRT has it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/passes/graph_text_test.h"

namespace kvant::engine {

// int8 around zero, Q only before what reads codes: results of convolutions stay float up to the residual.
inline std::string tensorrt_style() {
  return graph_text(pair("x", 0.0203f) + conv("c1", "x_dq", {}) + unary("r1", "Relu", "c1") +
                        pair("r1", 0.0211f) + conv("c2", "r1_dq", {}) + pair("c2", 0.0307f) +
                        conv("d", "x_dq", {.kernel = 1}) + binary("a", "Add", "d", "c2_dq") +
                        unary("r2", "Relu", "a") + pair("r2", 0.0391f) + conv("c3", "r2_dq", {.kernel = 1}),
                    "c3");
}

inline std::string float_resnet() {
  const std::string norm =
      "const %bs: f32[8] = {1, 0.5, 2, 1, 1.5, 1, 0.7, 1} const %bb: f32[8] = rand(3) const %bm: f32[8] = "
      "rand(4) "
      "const %bv: f32[8] = {1, 2, 1, 0.5, 1, 1, 3, 1}\n%bn = BatchNormalization \"bn\" (%c1, %bs, %bb, %bm, "
      "%bv)\n";
  return graph_text(
      conv("c1", "x", {.quantized = false}) + norm + unary("r1", "Relu", "bn") +
          conv("c2", "r1", {.quantized = false}) + binary("a", "Add", "c2", "x") + unary("r2", "Relu", "a") +
          unary("m", "MaxPool", "r2", "kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]") +
          unary("g", "GlobalAveragePool", "m") + unary("f", "Flatten", "g") +
          "const %fw: f32[10,8] = rand(9) const %fb: f32[10] = rand(2)\n%y = Gemm \"fc\" (%f, %fw, %fb) "
          "{transB = 1}\n",
      "y");
}

inline std::string float_mobilenet() {
  return graph_text(conv("e", "x", {.out = 16, .kernel = 1, .quantized = false}) +
                        unary("h", "HardSwish", "e") +
                        conv("w", "h", {.out = 16, .in = 16, .stride = 2, .group = 16, .quantized = false}) +
                        "const %lo: f32[] = {0} const %hi: f32[] = {6}\n%w6 = Clip \"w6\" (%w, %lo, %hi)\n" +
                        unary("g", "GlobalAveragePool", "w6") +
                        conv("s", "g", {.out = 16, .in = 16, .kernel = 1, .quantized = false}) +
                        unary("k", "HardSigmoid", "s") + binary("q", "Mul", "w6", "k") +
                        conv("p", "q", {.out = 8, .in = 16, .kernel = 1, .quantized = false}),
                    "p");
}

inline std::string float_mlp() {
  return graph_text(
      "const %w1: f32[8,32] = rand(3) const %b1: f32[32] = rand(8)\n%m1 = MatMul \"m1\" (%x, %w1)\n%h = Add "
      "\"h\" "
      "(%m1, %b1)\n%g = Gelu \"g\" (%h)\nconst %w2: f32[32,8] = rand(5)\n%m2 = MatMul \"m2\" (%g, %w2)\n%r = "
      "Add "
      "\"r\" (%m2, %x)\n%y = Softmax \"y\" (%r) {axis = -1}\n",
      "y", "f32[8,64,8]");
}

// An attention block: norm, two heads of four channels, scores, softmax, context, residual, mean over tokens.
inline std::string float_attention() {
  return graph_text(
      "const %s: f32[8] = {1, 0.5, 2, 1, 1.5, 1, 0.7, 1} const %b: f32[8] = rand(3)\n"
      "%n = LayerNormalization \"n\" (%x, %s, %b) {axis = -1, epsilon = 1e-06}\n"
      "const %wq: f32[8,8] = rand(3) const %wk: f32[8,8] = rand(4) const %wv: f32[8,8] = rand(5)\n"
      "%q = MatMul \"q\" (%n, %wq)\n%k = MatMul \"k\" (%n, %wk)\n%v = MatMul \"v\" (%n, %wv)\n"
      "const %heads: i64[4] = {2, 32, 2, 4}\n"
      "%qh = Reshape \"qh\" (%q, %heads)\n%kh = Reshape \"kh\" (%k, %heads)\n%vh = Reshape \"vh\" (%v, "
      "%heads)\n"
      "%qt = Transpose \"qt\" (%qh) {perm = [0,2,1,3]}\n%kt = Transpose \"kt\" (%kh) {perm = [0,2,3,1]}\n"
      "%vt = Transpose \"vt\" (%vh) {perm = [0,2,1,3]}\n"
      "const %scale: f32[] = {0.5}\n%qs = Mul \"qs\" (%qt, %scale)\n"
      "%scores = MatMul \"scores\" (%qs, %kt)\n%p = Softmax \"p\" (%scores) {axis = -1}\n"
      "%c = MatMul \"c\" (%p, %vt)\n%ct = Transpose \"ct\" (%c) {perm = [0,2,1,3]}\n"
      "const %flat: i64[3] = {2, 32, 8}\n%m = Reshape \"m\" (%ct, %flat)\n%a = Add \"a\" (%m, %x)\n"
      "const %axes: i64[1] = {1}\n%y = ReduceMean \"y\" (%a, %axes) {keepdims = 0}\n",
      "y", "f32[2,32,8]");
}

inline std::vector<std::pair<std::string, std::string>> float_networks() {
  return {{"float_resnet", float_resnet()},
          {"float_mobilenet", float_mobilenet()},
          {"float_mlp", float_mlp()},
          {"float_attention", float_attention()}};
}

}  // namespace kvant::engine
