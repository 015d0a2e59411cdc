// SPDX-License-Identifier: Apache-2.0
// Golden placements of the default recipe.
#include "quant/placement/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/placement/placement_testing.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Placement, ConvBatchNormReluChain) {
  const Placed placed = place_text(
      graph_of(conv("c1", "x", 4, 8, 3) + norm("n1", "c1", 8, 1) + "%r1 = Relu \"r1\" (%n1)\n" +
               conv("c2", "r1", 8, 4) + norm("n2", "c2", 4, 5) + "%r2 = Relu \"r2\" (%n2)\noutput %r2\n"));
  EXPECT_EQ(golden(placed.graph),
            "c1 = Conv(x*, c1.w*0)\n"
            "n1 = BatchNormalization(c1, n1.g, n1.b, n1.m, n1.v)\n"
            "r1 = Relu(n1)\n"
            "c2 = Conv(r1*, c2.w*0)\n"
            "n2 = BatchNormalization(c2, n2.g, n2.b, n2.m, n2.v)\n"
            "r2 = Relu(n2)\n");
  EXPECT_EQ(placed.report.activation_pairs, 2);
  EXPECT_EQ(placed.report.weight_pairs, 2);
}

TEST(Placement, ResNetV1BlockWithIdentityShortcutSharesThePair) {
  const Placed placed = place_text(graph_of(
      "%x0 = Relu \"x0\" (%x)\n" + conv("c1", "x0", 4, 4, 3) + "%r1 = Relu \"r1\" (%c1)\n" +
      conv("c2", "r1", 4, 4, 3) + norm("n2", "c2", 4, 1) +
      "%a = Add \"a\" (%n2, %x0)\n%y = Relu \"y\" (%a)\n" + conv("next", "y", 4, 4) + "output %next\n"));
  EXPECT_EQ(golden(placed.graph),
            "x0 = Relu(x)\n"
            "c1 = Conv(x0*, c1.w*0)\n"
            "r1 = Relu(c1)\n"
            "c2 = Conv(r1*, c2.w*0)\n"
            "n2 = BatchNormalization(c2, n2.g, n2.b, n2.m, n2.v)\n"
            "a = Add(n2, x0*)\n"
            "y = Relu(a)\n"
            "next = Conv(y*, next.w*0)\n");
  EXPECT_EQ(placed.report.activation_pairs, 3);  // x0 is shared by c1 and the shortcut
  EXPECT_THAT(placed.layer("a").inputs, ElementsAre(1));
  EXPECT_THAT(placed.layer("a").reason,
              HasSubstr("int8: residual branch of c2: float input would force float output"));
}

TEST(Placement, ResNetV1DownsampleBlockLeavesTheMainBranch) {
  for (const bool shortcut_first : {false, true}) {
    const std::string add = shortcut_first ? "%a = Add \"a\" (%d, %n2)\n" : "%a = Add \"a\" (%n2, %d)\n";
    const Placed placed = place_text(graph_of(
        conv("c1", "x", 4, 8, 3, 1, 2) + "%r1 = Relu \"r1\" (%c1)\n" + conv("c2", "r1", 8, 8, 3) +
        norm("n2", "c2", 8, 1) + conv("d", "x", 4, 8, 1, 1, 2) + add + "%y = Relu \"y\" (%a)\noutput %y\n"));
    EXPECT_THAT(golden(placed.graph), HasSubstr(shortcut_first ? "a = Add(d*, n2)" : "a = Add(n2, d*)"));
    EXPECT_THAT(placed.layer("a").inputs, ElementsAre(shortcut_first ? 0 : 1));
  }
}

TEST(Placement, ResNetV2BlockWithMaxPoolShortcut) {
  const Placed placed = place_text(graph_of(
      conv("c0", "x", 4, 4) + "%x0 = MaxPool \"x0\" (%c0) {kernel_shape = [2,2], strides = [2,2]}\n" +
      norm("n1", "x0", 4, 1) + "%p = Relu \"p\" (%n1)\n" + conv("c1", "p", 4, 4, 3, 1, 2) +
      norm("n2", "c1", 4, 5) + "%r = Relu \"r\" (%n2)\n" + conv("c2", "r", 4, 4) +
      "%s = MaxPool \"s\" (%x0) {kernel_shape = [1,1], strides = [2,2]}\n%y = Add \"y\" (%s, %c2)\noutput "
      "%y\n"));
  EXPECT_EQ(golden(placed.graph),
            "c0 = Conv(x*, c0.w*0)\n"
            "x0 = MaxPool(c0)\n"
            "n1 = BatchNormalization(x0*, n1.g, n1.b, n1.m, n1.v)\n"
            "p = Relu(n1)\n"
            "c1 = Conv(p*, c1.w*0)\n"
            "n2 = BatchNormalization(c1, n2.g, n2.b, n2.m, n2.v)\n"
            "r = Relu(n2)\n"
            "c2 = Conv(r*, c2.w*0)\n"
            "s = MaxPool(x0*)\n"
            "y = Add(s*, c2)\n");
}

TEST(Placement, MaxPoolSharesTheScaleOfItsInput) {
  ir::Graph graph = ir::parse(graph_of(conv("c1", "x", 4, 4) +
                                       "%m = MaxPool \"m\" (%x) {kernel_shape = [2,2], strides = [2,2]}\n" +
                                       conv("c2", "m", 4, 4) + "output %c1\noutput %c2\n"));
  ir::infer_types(graph, ops::standard());
  const Sites sites = place(graph);
  ir::Graph quantized = graph;
  insert_pairs(quantized, sites, {.calibrator = "", .samples = 0, .ranges = {{"x", {-4, 3}}, {"m", {0, 3}}}});
  const auto scale = [&](const char* name) {
    return ir::quantized_forms(quantized, quantized.find_value(name)).at(0).params.scale.at(0);
  };
  EXPECT_EQ(scale("x"), 4.0f / 127);
  EXPECT_EQ(scale("m"), scale("x"));
}

TEST(Placement, StemPoolIsLeftToThePairBehindIt) {
  const Placed placed =
      place_text(graph_of(conv("c1", "x", 4, 4, 3) + "%r = Relu \"r\" (%c1)\n" +
                          "%m = MaxPool \"m\" (%r) {kernel_shape = [2,2], strides = [2,2]}\n" +
                          conv("c2", "m", 4, 4) + "output %c2\n"));
  EXPECT_THAT(golden(placed.graph), HasSubstr("m = MaxPool(r)\nc2 = Conv(m*, c2.w*0)\n"));
}

TEST(Placement, MobileNetV2Block) {
  const std::string bounds = "const %zero: f32[] = {0}\nconst %six: f32[] = {6}\n";
  const Placed placed =
      place_text(graph_of(bounds + conv("e", "x", 4, 12) + "%r1 = Clip \"r1\" (%e, %zero, %six)\n" +
                          conv("d", "r1", 12, 12, 3, 12) + "%r2 = Clip \"r2\" (%d, %zero, %six)\n" +
                          conv("p", "r2", 12, 4) + "%y = Add \"y\" (%p, %x)\noutput %y\n"));
  EXPECT_EQ(golden(placed.graph),
            "e = Conv(x*, e.w*0)\n"
            "r1 = Clip(e, zero, six)\n"
            "d = Conv(r1*, d.w*0)\n"
            "r2 = Clip(d, zero, six)\n"
            "p = Conv(r2*, p.w*0)\n"
            "y = Add(p, x*)\n");
  EXPECT_EQ(ir::quantized_behind(placed.graph, placed.graph.node(placed.graph.find_node("d")).inputs[1])
                ->params.scale.size(),
            12u);
}

TEST(Placement, SqueezeExcite) {
  const Placed placed = place_text(
      graph_of(conv("d", "x", 4, 4, 3, 4) + "%sg = Sigmoid \"sg\" (%d)\n%u = Mul \"u\" (%d, %sg)\n" +
               "%g = GlobalAveragePool \"g\" (%u)\n" + conv("s1", "g", 4, 2) + "%s2 = Relu \"s2\" (%s1)\n" +
               conv("s3", "s2", 2, 4) + "%s4 = Sigmoid \"s4\" (%s3)\n%m = Mul \"m\" (%u, %s4)\n" +
               conv("p", "m", 4, 4) + "%y = Add \"y\" (%p, %x)\noutput %y\n"));
  EXPECT_EQ(golden(placed.graph),
            "d = Conv(x*, d.w*0)\n"
            "sg = Sigmoid(d)\n"
            "u = Mul(d, sg)\n"  // SiLU, not squeeze-excite
            "g = GlobalAveragePool(u*)\n"
            "s1 = Conv(g*, s1.w*0)\n"
            "s2 = Relu(s1)\n"
            "s3 = Conv(s2*, s3.w*0)\n"
            "s4 = Sigmoid(s3)\n"
            "m = Mul(u*, s4*)\n"
            "p = Conv(m*, p.w*0)\n"
            "y = Add(p, x*)\n");
}

TEST(Placement, InceptionBlock) {
  const Placed placed = place_text(
      graph_of(conv("a", "x", 4, 4) + conv("b1", "x", 4, 4) + conv("b2", "b1", 4, 4, 3) +
               "%m = MaxPool \"m\" (%x) {kernel_shape = [3,3], pads = [1,1,1,1], strides = [1,1]}\n" +
               conv("c", "m", 4, 4) +
               "%v = AveragePool \"v\" (%x) {kernel_shape = [3,3], pads = [1,1,1,1], strides = [1,1]}\n" +
               conv("d", "v", 4, 4) + "%j = Concat \"j\" (%a, %b2, %c, %d) {axis = 1}\n" +
               conv("n", "j", 16, 4) + "output %n\n"));
  EXPECT_EQ(golden(placed.graph),
            "a = Conv(x*, a.w*0)\n"
            "b1 = Conv(x*, b1.w*0)\n"
            "b2 = Conv(b1*, b2.w*0)\n"
            "m = MaxPool(x*)\n"
            "c = Conv(m*, c.w*0)\n"
            "v = AveragePool(x*)\n"
            "d = Conv(v*, d.w*0)\n"
            "j = Concat(a, b2, c, d)\n"
            "n = Conv(j*, n.w*0)\n");
  EXPECT_EQ(placed.report.activation_pairs, 5);  // x, b1, m, v, j
}

TEST(Placement, ConcatBranchReadElsewhereSharesTheScale) {
  ir::Graph graph =
      ir::parse(graph_of(conv("a", "x", 4, 4) + conv("b", "a", 4, 4) +
                         "%j = Concat \"j\" (%a, %b) {axis = 1}\n" + conv("n", "j", 8, 4) + "output %n\n"));
  ir::infer_types(graph, ops::standard());
  const Sites sites = place(graph);
  ir::Graph quantized = graph;
  insert_pairs(quantized, sites,
               {.calibrator = "", .samples = 0, .ranges = {{"x", {-1, 1}}, {"a", {-2, 2}}, {"j", {-5, 2}}}});
  EXPECT_THAT(golden(quantized), HasSubstr("j = Concat(a*, b)\n"));
  const auto scale = [&](const char* name) {
    return ir::quantized_forms(quantized, quantized.find_value(name)).at(0).params.scale.at(0);
  };
  EXPECT_EQ(scale("a"), 5.0f / 127);
  EXPECT_EQ(scale("j"), 5.0f / 127);
  EXPECT_EQ(scale("x"), 1.0f / 127);
}

TEST(Placement, GlobalPoolBeforeTheClassifier) {
  const std::string body = conv("c", "x", 4, 4) +
                           "%g = GlobalAveragePool \"g\" (%c)\n%f = Flatten \"f\" (%g)\n" +
                           "const %w: f32[10,4] = rand(3)\nconst %b: f32[10] = rand(4)\n";
  const Placed placed = place_text(
      graph_of(body + "%y = Gemm \"y\" (%f, %w, %b) {transB = 1}\n%s = Softmax \"s\" (%y)\noutput %s\n"));
  EXPECT_EQ(golden(placed.graph),
            "c = Conv(x*, c.w*0)\n"
            "g = GlobalAveragePool(c*)\n"
            "f = Flatten(g)\n"
            "y = Gemm(f*, w*0, b)\n"
            "s = Softmax(y)\n");
  EXPECT_EQ(placed.layer("s").reason, "float: Softmax stays in float");
  const Placed alone = place_text(graph_of(body + "output %f\n"));
  EXPECT_THAT(golden(alone.graph), HasSubstr("g = GlobalAveragePool(c)"));
  EXPECT_EQ(alone.layer("g").reason, "float: average pool whose result no quantized layer reads");
}

TEST(Placement, ReduceMeanOverHeightAndWidthIsAPool) {
  const Placed placed = place_text(
      graph_of("const %axes: i64[2] = {-1, -2}\nconst %w: f32[4,10] = rand(3)\n" + conv("c", "x", 4, 4) +
               "%g = ReduceMean \"g\" (%c, %axes) {keepdims = 0}\n"
               "%y = MatMul \"y\" (%g, %w)\noutput %y\n"));
  EXPECT_THAT(golden(placed.graph), HasSubstr("g = ReduceMean(c*, axes)\ny = MatMul(g*, w*1)\n"));
}

TEST(Placement, WeightAxes) {
  const Placed placed = place_text(graph_of(
      "const %t1: f32[4,3,2,2] = rand(1)\n%a = ConvTranspose \"a\" (%x, %t1) {strides = [2,2]}\n"
      "const %t2: f32[4,2,2,2] = rand(2)\n%b = ConvTranspose \"b\" (%x, %t2) {strides = [2,2], group = 2}\n"
      "%f = Flatten \"f\" (%x)\nconst %w: f32[256,5] = rand(3)\n%c = Gemm \"c\" (%f, %w)\n"
      "output %a\noutput %b\noutput %c\n"));
  EXPECT_THAT(golden(placed.graph), HasSubstr("a = ConvTranspose(x*, t1*1)"));
  EXPECT_THAT(golden(placed.graph), HasSubstr("b = ConvTranspose(x*, t2*)"));
  EXPECT_THAT(golden(placed.graph), HasSubstr("c = Gemm(f*, w*1)"));
}

TEST(Placement, WhatStaysFloatSaysWhy) {
  const Placed placed = place_text(graph_of(
      conv("c", "x", 4, 4) + "const %k: f32[4,1,1] = rand(1)\n%bias = Add \"bias\" (%c, %k)\n" +
      "%q = MatMul \"q\" (%bias, %bias)\n%t = Add \"t\" (%q, %x)\n%e = Exp \"e\" (%t)\noutput %e\n"));
  EXPECT_EQ(placed.layer("bias").reason, "float: adds a constant: a bias, not a shortcut");
  EXPECT_EQ(placed.layer("q").reason, "float: its second operand is computed at run time");
  EXPECT_EQ(placed.layer("t").reason,
            "float: none of its inputs is a quantized layer that could compute the addition");
  EXPECT_EQ(placed.layer("e").reason, "float: Exp stays in float");
  for (const ir::NodeId id : placed.graph.topological_order()) EXPECT_NE(placed.graph.node(id).reason, "");
}

TEST(Placement, ModelsThatHoldPairsAreExtended) {
  const std::string text = graph_of(
      "const %s: f32[] = {0.05}\nconst %z: i8[] = {0}\n%q = QuantizeLinear \"q\" (%x, %s, %z)\n"
      "%dq = DequantizeLinear \"dq\" (%q, %s, %z)\nconst %wq: i8[4,4,1,1] = rand(2)\n"
      "%w = DequantizeLinear \"w\" (%wq, %s, %z)\n%c1 = Conv \"c1\" (%dq, %w)\n" +
      conv("c2", "x", 4, 4) + "%y = Add \"y\" (%c2, %c1)\noutput %y\n");
  const Placed placed = place_text(text);
  EXPECT_THAT(golden(placed.graph), HasSubstr("c2 = Conv(x*, c2.w*0)"));
  EXPECT_EQ(ir::quantized_forms(placed.graph, placed.graph.find_value("x")).size(),
            1u);  // the pair it came with
  EXPECT_TRUE(placed.layer("c1").weight);
  const auto shortcut =
      ir::quantized_behind(placed.graph, placed.graph.node(placed.graph.find_node("y")).inputs[1]);
  EXPECT_TRUE(shortcut.has_value());
}

}  // namespace
}  // namespace kvant::quant
