// SPDX-License-Identifier: Apache-2.0
// Small quantized networks, one for each way of building CNNs that the passes know. What they shall
// become is tested pass by pass here, and on every backend in tests/conformance.
#pragma once

#include "engine/passes/graph_text_test.h"

namespace kvant::engine {

struct Network {
  std::string name;
  std::string text;
  size_t transposes;                // that lowering may leave
  std::vector<std::string> absent;  // operators that must be gone
};

inline void PrintTo(const Network& network, std::ostream* out) { *out << network.name; }

inline std::string conv_chain() {
  return graph_text(pair("x", 0.02f) + conv("c1", "x_dq", {}) + unary("r1", "Relu", "c1") +
                        pair("r1", 0.02f) + conv("c2", "r1_dq", {.stride = 2}) + unary("r2", "Relu", "c2") +
                        pair("r2", 0.03f),
                    "r2_dq");
}

inline std::string resnet_v1() {
  return graph_text(
      pair("x", 0.02f) + conv("c1", "x_dq", {}) + unary("r1", "Relu", "c1") + pair("r1", 0.02f) +
          conv("c2", "r1_dq", {}) + binary("a1", "Add", "c2", "x_dq") + unary("r2", "Relu", "a1") +
          pair("r2", 0.03f) + conv("d", "r2_dq", {.out = 16, .kernel = 1, .stride = 2}) + pair("d", 0.03f) +
          conv("c3", "r2_dq", {.out = 16, .stride = 2}) + binary("a2", "Add", "d_dq", "c3") +
          unary("r3", "Relu", "a2") + pair("r3", 0.05f) + unary("g", "GlobalAveragePool", "r3_dq") +
          pair("g", 0.03f) + unary("f", "Flatten", "g_dq") +
          "const %fw: i8[10,16] = rand(9) const %fs: f32[10] = fill(0.003) const %fb: f32[10] = rand(4)\n"
          "%fwd = DequantizeLinear \"fDQ\" (%fw, %fs) {axis = 0}\n"
          "%y = Gemm \"fc\" (%f, %fwd, %fb) {transB = 1}\n",
      "y");
}

inline std::string resnet_v2() {
  return graph_text(pair("x", 0.02f) +
                        "const %bs: f32[8] = {1, 0.5, 2, 1, 1.5, 1, 0.7, 1} const %bb: f32[8] = rand(3) "
                        "const %bm: f32[8] = "
                        "rand(4) const %bv: f32[8] = {1, 2, 1, 0.5, 1, 1, 3, 1}\n"
                        "%bn = BatchNormalization \"bn\" (%x_dq, %bs, %bb, %bm, %bv)\n" +
                        unary("p", "Relu", "bn") + pair("p", 0.02f) + conv("c1", "p_dq", {}) +
                        "%b2 = BatchNormalization \"bn2\" (%c1, %bs, %bb, %bm, %bv)\n" +
                        unary("r", "Relu", "b2") + pair("r", 0.02f) + conv("c2", "r_dq", {.stride = 2}) +
                        unary("m", "MaxPool", "x_dq", "kernel_shape = [1,1], strides = [2,2]") +
                        binary("a", "Add", "c2", "m") + pair("a", 0.04f),
                    "a_dq");
}

inline std::string mobilenet_v2() {
  return graph_text(pair("x", 0.02f) + conv("e", "x_dq", {.out = 16, .kernel = 1}) +
                        "const %lo: f32[] = {0} const %hi: f32[] = {6}\n%e6 = Clip \"e6\" (%e, %lo, %hi)\n" +
                        pair("e6", 0.047f) + conv("w", "e6_dq", {.out = 16, .in = 16, .group = 16}) +
                        "%w6 = Clip \"w6\" (%w, %lo, %hi)\n" + pair("w6", 0.047f) +
                        conv("p", "w6_dq", {.out = 8, .in = 16, .kernel = 1}) +
                        binary("a", "Add", "p", "x_dq") + pair("a", 0.03f),
                    "a_dq");
}

inline std::string squeeze_excite() {
  return graph_text(
      pair("x", 0.02f) + conv("e", "x_dq", {.kernel = 1}) + unary("es", "Sigmoid", "e") +
          binary("u", "Mul", "e", "es") + pair("u", 0.02f) + unary("g", "GlobalAveragePool", "u_dq") +
          pair("g", 0.01f) + conv("s1", "g_dq", {.out = 4, .kernel = 1}) + unary("s1r", "Relu", "s1") +
          pair("s1r", 0.01f) + conv("s2", "s1r_dq", {.in = 4, .kernel = 1}) + unary("k", "Sigmoid", "s2") +
          pair("k", 0.0078f) + binary("m", "Mul", "u_dq", "k_dq") + pair("m", 0.02f) +
          conv("p", "m_dq", {.kernel = 1}) + binary("a", "Add", "p", "x_dq") + pair("a", 0.03f),
      "a_dq");
}

// A decoder: transposed convolutions (one of whose results the next concatenates), and pixels out of
// channels.
inline std::string decoder() {
  const auto up = [](const std::string& name, const std::string& x, int kernel, int pad) {
    return fmt::format(
        "const %{0}_w: i8[8,6,{2},{2}] = rand(21) const %{0}_ws: f32[6] = fill(0.002) const %{0}_b: f32[6] = "
        "rand(22)\n"
        "%{0}_wd = DequantizeLinear \"{0}_wDQ\" (%{0}_w, %{0}_ws) {{axis = 1}}\n"
        "%{0} = ConvTranspose \"{0}\" (%{1}, %{0}_wd, %{0}_b) {{strides = [2,2], pads = "
        "[{3},{3},{3},{3}]}}\n",
        name, x, kernel, pad);
  };
  return graph_text(pair("x", 0.02f) + conv("c1", "x_dq", {.stride = 2}) + unary("r1", "Relu", "c1") +
                        pair("r1", 0.02f) + up("t1", "r1_dq", 2, 0) + unary("s1", "Relu", "t1") +
                        pair("s1", 0.02f) + up("t2", "r1_dq", 4, 1) + pair("t2", 0.02f) +
                        "%cat = Concat \"cat\" (%s1_dq, %t2_dq, %x_dq) {axis = 1}\n" + pair("cat", 0.02f) +
                        conv("c2", "cat_dq", {.out = 16, .in = 20}) + pair("c2", 0.03f) +
                        unary("d", "DepthToSpace", "c2_dq", "blocksize = 2") + pair("d", 0.03f) +
                        conv("c3", "d_dq", {.out = 5, .in = 4}) + pair("c3", 0.04f),
                    "c3_dq");
}

// Activations between codes: tables behind a dense and a depthwise convolution.
inline std::string activation_tables() {
  return graph_text(pair("x", 0.02f) + conv("e", "x_dq", {.kernel = 1}) + pair("e", 0.03f) +
                        unary("es", "Sigmoid", "e_dq") + binary("u", "Mul", "e_dq", "es") + pair("u", 0.02f) +
                        conv("d", "u_dq", {}) + pair("d", 0.03f) + unary("h", "HardSwish", "d_dq") +
                        pair("h", 0.02f) + conv("p", "h_dq", {.kernel = 1}) +
                        binary("a", "Add", "p", "x_dq") + pair("a", 0.03f),
                    "a_dq");
}

inline std::string inception() {
  return graph_text(
      pair("x", 0.02f) + conv("ca", "x_dq", {.kernel = 1}) + unary("ra", "Relu", "ca") +
          conv("cb", "x_dq", {.kernel = 1}) + unary("rb", "Relu", "cb") + pair("rb", 0.02f) +
          conv("cc", "rb_dq", {}) + unary("rc", "Relu", "cc") +
          unary("mp", "MaxPool", "x_dq", "kernel_shape = [3,3], strides = [1,1], pads = [1,1,1,1]") +
          conv("cd", "mp", {.kernel = 1}) + unary("rd", "Relu", "cd") +
          unary("ap", "AveragePool", "x_dq", "kernel_shape = [3,3], strides = [1,1], pads = [1,1,1,1]") +
          pair("ap", 0.01213f) + conv("ce", "ap_dq", {.kernel = 1}) + unary("re", "Relu", "ce") +
          "%cat = Concat \"cat\" (%ra, %rc, %rd, %re) {axis = 1}\n" + pair("cat", 0.03f) +
          unary("m2", "MaxPool", "cat_dq", "kernel_shape = [3,3], strides = [2,2], ceil_mode = 1") +
          conv("cf", "m2", {.out = 8, .in = 32, .kernel = 1}) + pair("cf", 0.04f),
      "cf_dq");
}

// As onnxruntime writes it: uint8 with zero points, Q after every operator, int32 biases.
inline std::string onnxruntime_style() {
  const std::string bias =
      "const %cb: i32[8] = rand(5) const %cbs: f32[8] = fill(0.00004)\n"
      "%cbd = DequantizeLinear \"cbDQ\" (%cb, %cbs) {axis = 0}\n"
      "const %cw: i8[8,8,3,3] = rand(6) const %cws: f32[8] = fill(0.002)\n"
      "%cwd = DequantizeLinear \"cwDQ\" (%cw, %cws) {axis = 0}\n"
      "%c = Conv \"c\" (%x_dq, %cwd, %cbd) {pads = [1,1,1,1]}\n";
  return graph_text(
      pair("x", 0.016f, "u8", 121) + bias + pair("c", 0.03f, "u8", 130) + unary("r", "Relu", "c_dq") +
          pair("r", 0.015f, "u8", 0) + binary("a", "Add", "r_dq", "x_dq") + pair("a", 0.03f, "u8", 100) +
          unary("s", "Sigmoid", "a_dq") + pair("s", 0.0039f, "u8", 0) + binary("m", "Mul", "s_dq", "a_dq") +
          pair("m", 0.02f, "u8", 30) + unary("g", "GlobalAveragePool", "m_dq") + pair("g", 0.01f, "u8", 10),
      "g_dq");
}

inline std::string shuffle_net() {
  return graph_text(
      pair("x", 0.02f) + "const %h: i64[2] = {4, 4}\n%s1, %s2 = Split \"split\" (%x_dq, %h) {axis = 1}\n" +
          conv("c", "s2", {.out = 4, .in = 4}) + unary("r", "Relu", "c") +
          "%cat = Concat \"cat\" (%s1, %r) {axis = 1}\n" + pair("cat", 0.025f) +
          "const %sh1: i64[5] = {4, 2, 4, 16, 16} const %sh2: i64[4] = {4, 8, 16, 16}\n"
          "%t1 = Reshape \"t1\" (%cat_dq, %sh1)\n%t2 = Transpose \"t2\" (%t1) {perm = [0,2,1,3,4]}\n"
          "%t3 = Reshape \"t3\" (%t2, %sh2)\n" +
          conv("c2", "t3", {}) + pair("c2", 0.03f),
      "c2_dq");
}

inline std::string yolo() {
  return graph_text(
      pair("x", 0.02f) + conv("c", "x_dq", {.stride = 2}) + "%l = LeakyRelu \"l\" (%c) {alpha = 0.1}\n" +
          pair("l", 0.02f) +
          "const %rs: f32[4] = {1, 1, 2, 2}\n%up = Resize \"up\" (%l_dq, _, %rs) {mode = \"nearest\", "
          "coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"}\n"
          "%cat = Concat \"cat\" (%up, %x_dq) {axis = 1}\n" +
          pair("cat", 0.02f) + conv("h", "cat_dq", {.in = 16, .kernel = 1}),
      "h");
}

inline std::string mlp() {
  return graph_text(
      pair("x", 0.02f) +
          "const %w1: i8[8,32] = rand(3) const %s1: f32[32] = fill(0.004) const %b1: f32[32] = rand(8)\n"
          "%w1d = DequantizeLinear \"w1DQ\" (%w1, %s1) {axis = 1}\n%m1 = MatMul \"m1\" (%x_dq, %w1d)\n"
          "%h = Add \"h\" (%m1, %b1)\nconst %r2: f32[] = {1.41421356} const %one: f32[] = {1} const %half: "
          "f32[] = {0.5}\n"
          "%g1 = Div \"g1\" (%h, %r2)\n%g2 = Erf \"g2\" (%g1)\n%g3 = Add \"g3\" (%g2, %one)\n%g4 = Mul "
          "\"g4\" (%h, %g3)\n"
          "%g = Mul \"g\" (%g4, %half)\n" +
          pair("g", 0.015f) +
          "const %w2: i8[32,8] = rand(5) const %s2: f32[8] = fill(0.004) const %b2: f32[8] = rand(6)\n"
          "%w2d = DequantizeLinear \"w2DQ\" (%w2, %s2) {axis = 1}\n%m2 = MatMul \"m2\" (%g_dq, %w2d)\n"
          "%o = Add \"o\" (%b2, %m2)\n%y = Add \"y\" (%o, %x_dq)\n",
      "y", "f32[8,64,8]");
}

// %<name> = %<x> times i8 weights [in,out] behind a DQ, plus a bias.
inline std::string dense(const std::string& name, const std::string& x, int in, int out) {
  return fmt::format(
      "const %{0}_w: i8[{2},{3}] = rand({4}) const %{0}_s: f32[{3}] = fill(0.004) const %{0}_b: f32[{3}] = "
      "rand({5})\n"
      "%{0}_wd = DequantizeLinear \"{0}_wDQ\" (%{0}_w, %{0}_s) {{axis = 1}}\n%{0}_m = MatMul \"{0}_m\" "
      "(%{1}, %{0}_wd)\n"
      "%{0} = Add \"{0}\" (%{0}_m, %{0}_b)\n",
      name, x, in, out, static_cast<int>(name.size()) * 7 + name.back(),
      static_cast<int>(name.size()) * 5 + 3);
}

// A block of a transformer as exporters write it: both products quantized, the rest between them float.
inline std::string transformer() {
  const std::string heads = "const %h: i64[4] = {0, 0, 4, 8}\nconst %sizes: i64[3] = {32, 32, 32}\n";
  return graph_text(
      heads + "const %g1: f32[32] = rand(2) const %e1: f32[32] = rand(4) const %g2: f32[32] = rand(8)\n" +
          "%n1 = LayerNormalization \"n1\" (%x, %g1, %e1)\n" + pair("n1", 0.03f, "u8", 120) +
          dense("qkv", "n1_dq", 32, 96) + "%q0, %k0, %v0 = Split \"split\" (%qkv, %sizes) {axis = 2}\n" +
          binary("qh", "Reshape", "q0", "h") + unary("qt", "Transpose", "qh", "perm = [0,2,1,3]") +
          "const %c: f32[] = {0.353553}\n" + binary("q", "Mul", "qt", "c") + pair("q", 0.012f, "u8", 128) +
          binary("kh", "Reshape", "k0", "h") + unary("k", "Transpose", "kh", "perm = [0,2,3,1]") +
          pair("k", 0.04f) + binary("vh", "Reshape", "v0", "h") +
          unary("v", "Transpose", "vh", "perm = [0,2,1,3]") + pair("v", 0.04f, "u8", 131) +
          binary("s", "MatMul", "q_dq", "k_dq") + unary("p", "Softmax", "s") + pair("p", 0.002f, "u8", 0) +
          binary("o", "MatMul", "p_dq", "v_dq") + unary("ot", "Transpose", "o", "perm = [0,2,1,3]") +
          "const %flat: i64[3] = {0, 0, 32}\n" + binary("of", "Reshape", "ot", "flat") + pair("of", 0.02f) +
          dense("proj", "of_dq", 32, 32) + binary("a", "Add", "x", "proj") +
          "%n2 = LayerNormalization \"n2\" (%a, %g2)\n" + pair("n2", 0.03f, "u8", 120) +
          dense("f1", "n2_dq", 32, 64) + unary("g", "Gelu", "f1") + pair("g", 0.02f, "u8", 12) +
          dense("f2", "g_dq", 64, 32) + binary("y", "Add", "a", "f2"),
      "y", "f32[2,37,32]");
}

inline std::string silu_conv(const std::string& name, const std::string& x, const ConvText& c) {
  return conv(name + "_c", x, c) + unary(name + "_g", "Sigmoid", name + "_c") +
         binary(name, "Mul", name + "_c", name + "_g");
}

// What detectors are made of: split and joined halves, chained pools, an upsampled map, a head in rows.
inline std::string detector() {
  const std::string pool = "kernel_shape = [5,5], pads = [2,2,2,2]";
  return graph_text(
      pair("x", 0.02f) + silu_conv("a", "x_dq", {.out = 16, .kernel = 1}) + pair("a", 0.02f, "u8", 14) +
          "const %halves: i64[2] = {8, 8}\n%s1, %s2 = Split \"split\" (%a_dq, %halves) {axis = 1}\n" +
          silu_conv("b", "s2", {}) + "%c = Concat \"c\" (%s1, %s2, %b) {axis = 1}\n" +
          pair("c", 0.02f, "u8", 14) + silu_conv("d", "c_dq", {.in = 24, .stride = 2}) +
          pair("d", 0.02f, "u8", 14) + unary("p1", "MaxPool", "d_dq", pool) +
          unary("p2", "MaxPool", "p1", pool) + unary("p3", "MaxPool", "p2", pool) +
          "%sppf = Concat \"sppf\" (%d_dq, %p1, %p2, %p3) {axis = 1}\n" +
          silu_conv("e", "sppf", {.in = 32, .kernel = 1}) + pair("e", 0.02f, "u8", 14) +
          "const %scales: f32[4] = {1, 1, 2, 2}\n%up = Resize \"up\" (%e_dq, _, %scales) {mode = "
          "\"nearest\", "
          "coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"}\n"
          "%neck = Concat \"neck\" (%up, %c_dq) {axis = 1}\n" +
          conv("head", "neck", {.out = 6, .in = 32, .kernel = 1}) + "const %rows: i64[3] = {0, 6, -1}\n" +
          binary("hr", "Reshape", "head", "rows") + unary("ht", "Transpose", "hr", "perm = [0,2,1]") +
          "const %b0: i64[1] = {0} const %b4: i64[1] = {4} const %ax: i64[1] = {2}\n"
          "%boxes = Slice \"boxes\" (%ht, %b0, %b4, %ax)\n" +
          unary("y", "Sigmoid", "boxes"),
      "y");
}

// Explicit Pads, as TensorFlow's exporters write them: before a convolution and before a max pool.
inline std::string padded() {
  return graph_text(
      pair("x", 0.02f) +
          "const %around: i64[8] = {0, 0, 1, 2, 0, 0, 2, 1}\n%e = Pad \"e\" (%x_dq, %around)\n" +
          conv("c1", "e", {.kernel = 1}) + unary("r1", "Relu", "c1") + pair("r1", 0.02f, "u8", 0) +
          "const %corner: i64[8] = {0, 0, 0, 0, 0, 0, 1, 1}\n%f = Pad \"f\" (%r1_dq, %corner)\n" +
          unary("m", "MaxPool", "f", "kernel_shape = [3,3], strides = [2,2]") +
          "%g = Pad \"g\" (%m, %corner)\n" + conv("c2", "g", {.stride = 2}) + pair("c2", 0.03f),
      "c2_dq");
}

// A head that interpolates: codes of a coarse map beside a part of a fine one, and floats up to the image's
// size.
inline std::string segmenter() {
  return graph_text(
      pair("x", 0.02f) + conv("c1", "x_dq", {}) + unary("r1", "Relu", "c1") + pair("r1", 0.02f) +
          conv("c2", "r1_dq", {.out = 12, .stride = 2}) + unary("r2", "Relu", "c2") + pair("r2", 0.02f) +
          "const %twice: f32[4] = {1, 1, 2, 2}\n%up = Resize \"up\" (%r2_dq, _, %twice) {mode = \"linear\", "
          "coordinate_transformation_mode = \"half_pixel\"}\n" +
          pair("up", 0.02f) +
          "const %parts: i64[2] = {3, 5}\n%s1, %s2 = Split \"split\" (%r1_dq, %parts) {axis = 1}\n"
          "%cat = Concat \"cat\" (%up_dq, %s2) {axis = 1}\n" +
          pair("cat", 0.02f) + conv("c3", "cat_dq", {.out = 5, .in = 17, .kernel = 1}) +
          "const %full: i64[2] = {13, 11}\n%y = Resize \"full\" (%c3, _, _, %full) {mode = \"cubic\", axes = "
          "[2,3], coordinate_transformation_mode = \"align_corners\"}\n",
      "y");
}

inline std::vector<Network> networks() {
  const std::vector<std::string> integer = {"Conv", "ConvNhwc",           "Relu", "Add",
                                            "Mul",  "BatchNormalization", "Clip", "Sigmoid"};
  return {{"conv_chain", conv_chain(), 2, integer},
          {"resnet_v1",
           resnet_v1(),
           1,
           {"Conv", "ConvNhwc", "Relu", "Add", "Gemm", "GlobalAveragePool", "DequantizeLinear"}},
          {"resnet_v2", resnet_v2(), 3, {"Conv", "BatchNormalization"}},
          {"mobilenet_v2", mobilenet_v2(), 2, integer},
          {"squeeze_excite", squeeze_excite(), 2, integer},
          {"activation_tables", activation_tables(), 2, integer},
          {"decoder", decoder(), 5, {"Conv", "ConvNhwc", "ConvTranspose", "DepthToSpace", "Relu"}},
          {"meets_its_transpose",
           graph_text("%t = Transpose \"t\" (%x) {perm = [0,1,3,2]}\n%y = Add \"y\" (%x, %t)\n", "y"),
           1,
           {}},
          {"inception", inception(), 2, {"Conv", "ConvNhwc", "Relu", "AveragePool", "Concat"}},
          {"onnxruntime_style", onnxruntime_style(), 2, integer},
          {"shuffle_net", shuffle_net(), 5, {"Conv", "ConvNhwc"}},
          {"yolo", yolo(), 2, {"Conv", "ConvNhwc", "LeakyRelu"}},
          {"mlp", mlp(), 0, {"MatMul", "Erf"}},
          {"transformer",
           transformer(),
           0,
           {"MatMul", "Softmax", "LayerNormalization", "Split", "Mul", "Add", "QuantizeLinear",
            "DequantizeLinear", "Gelu"}},
          {"padded", padded(), 2, {"Conv", "ConvNhwc", "Relu", "Pad"}},
          {"segmenter", segmenter(), 2, {"Conv", "ConvNhwc", "Relu"}},
          {"detector", detector(), 3, {"Conv", "ConvNhwc", "Mul"}}};
}

}  // namespace kvant::engine
