// SPDX-License-Identifier: Apache-2.0
// Specs on graphs: what they select, which entry counts, what they refuse.
#include "quant/placement/apply_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quant/placement/placement_testing.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// conv_1, relu_1, dw (depthwise), add = dw + conv_1's relu, pool, bias_add, swish's Sigmoid and Mul.
ir::Graph network() {
  return parse_typed(graph_of(
      conv("conv_1", "x", 4, 4) + "%relu_1 = Relu \"relu_1\" (%conv_1)\n" + conv("dw", "relu_1", 4, 4, 3, 4) +
      "%add = Add \"add\" (%dw, %relu_1)\n%pool = MaxPool \"pool\" (%add) {kernel_shape = [2,2]}\n" +
      "const %b: f32[4,1,1] = rand(3)\n%bias_add = Add \"bias_add\" (%pool, %b)\n" +
      "%gate = Sigmoid \"gate\" (%bias_add)\n%swish = Mul \"swish\" (%bias_add, %gate)\noutput %swish\n"));
}

constexpr double kSmallError = 0.1;  // of the largest output

Placed place_spec(const ir::Graph& graph, std::vector<SpecEntry> layers, PlaceMode mode = PlaceMode::Partial,
                  std::vector<std::string> cases = {}, double error = kSmallError) {
  const Sites sites = place(graph, {.mode = mode, .spec = {std::move(layers)}, .cases = std::move(cases)});
  EXPECT_LT(relative_error(sites), error);
  return insert_all(sites);
}

// The quantized inputs alone: "add:1 conv_1:0 conv_1:w".
std::string sites_of(const Placed& placed) {
  std::string text;
  for (const LayerReport& layer : placed.report.layers) {
    for (const int input : layer.inputs) text += fmt::format("{}:{} ", layer.name, input);
    if (layer.weight) text += layer.name + ":w ";
  }
  return text.empty() ? text : text.substr(0, text.size() - 1);
}

std::string partial(std::vector<SpecEntry> layers) {
  const ir::Graph graph = network();
  return sites_of(place_spec(graph, std::move(layers)));
}

std::string refused(std::vector<SpecEntry> layers) {
  const ir::Graph graph = network();
  return message_of([&] { place(graph, {.spec = {std::move(layers)}}); });
}

TEST(Spec, ByNameGlobAndExpression) {
  EXPECT_EQ(partial({{.name = "conv_1"}}), "conv_1:0 conv_1:w");
  EXPECT_EQ(partial({{.name = "conv_?"}}), "conv_1:0 conv_1:w");
  EXPECT_EQ(partial({{.name = "[cd]*"}}), "conv_1:0 conv_1:w dw:0 dw:w");
  EXPECT_EQ(partial({{.name = "re:^(pool|dw)$"}}), "dw:0 dw:w pool:0");
  EXPECT_EQ(partial({{.name = "re:add"}}), "add:0 add:1");  // the bias is no layer of the cases
  EXPECT_EQ(partial({{.name = "bias_add"}}), "bias_add:0");
}

TEST(Spec, ANameMayLookLikeAPattern) {
  const ir::Graph graph =
      parse_typed(graph_of("const %w: f32[4,4,1,1] = rand(7)\n%c = Conv \"conv[0]\" (%x, %w)\n" +
                           std::string("%d = Conv \"conv0\" (%c, %w)\noutput %d\n")));
  EXPECT_EQ(sites_of(place_spec(graph, {{.name = "conv[0]"}})), "conv[0]:0 conv[0]:w");
}

TEST(Spec, ByClass) {
  EXPECT_EQ(partial({{.layer_class = "Conv"}}), "conv_1:0 conv_1:w dw:0 dw:w");
  EXPECT_EQ(partial({{.layer_class = "DepthwiseConv"}}), "dw:0 dw:w");
  EXPECT_EQ(partial({{.layer_class = "MaxPool"}}), "pool:0");
  EXPECT_EQ(partial({{.layer_class = "Add"}}), "add:0 add:1");
  EXPECT_EQ(partial({{.layer_class = "Swish"}}), "gate:0 swish:0");
  EXPECT_EQ(partial({{.layer_class = "Relu"}}), "relu_1:0");  // asked for, so it is done
}

TEST(Spec, LinearAndGlobalAverage) {
  const ir::Graph graph = parse_typed(graph_of(
      "const %axes: i64[2] = {2, 3}\nconst %w: f32[4,5] = rand(1)\nconst %v: f32[5,5] = rand(2)\n"
      "%g = ReduceMean \"g\" (%x, %axes) {keepdims = 0}\n%a = MatMul \"a\" (%g, %w)\n"
      "%b = Gemm \"b\" (%a, %v)\n%t = Transpose \"t\" (%b)\n%c = MatMul \"c\" (%b, %t)\noutput %c\n"));
  EXPECT_EQ(sites_of(place_spec(graph, {{.layer_class = "Linear"}})), "a:0 a:w b:0 b:w");
  EXPECT_EQ(sites_of(place_spec(graph, {{.layer_class = "MatMul"}})), "a:0 a:w c:0 c:1");
  EXPECT_EQ(sites_of(place_spec(graph, {{.layer_class = "GlobalAveragePool"}})), "g:0");
}

TEST(Spec, InputsAndWeights) {
  EXPECT_EQ(partial({{.name = "conv_1", .quantize_input = false}}), "conv_1:w");
  EXPECT_EQ(partial({{.name = "conv_1", .quantize_weight = false}}), "conv_1:0");
  EXPECT_EQ(partial({{.name = "add", .inputs = {1}}}), "add:1");
  EXPECT_EQ(partial({{.name = "add", .quantize_weight = false, .inputs = {0}}}), "add:0");
  EXPECT_EQ(partial({{.name = "conv_1", .inputs = {7}}}),
            "conv_1:0 conv_1:w");  // only Add, Mul, Concat heed it
}

TEST(Spec, FullModeAddsAndTakesAway) {
  const ir::Graph graph = network();
  const auto full = [&](std::vector<SpecEntry> layers, std::vector<std::string> cases = {"none"}) {
    return sites_of(place_spec(graph, std::move(layers), PlaceMode::Full, std::move(cases)));
  };
  EXPECT_EQ(full({}), "conv_1:0 conv_1:w dw:0 dw:w");
  EXPECT_EQ(full({{.layer_class = "MaxPool"}}), "conv_1:0 conv_1:w dw:0 dw:w pool:0");
  EXPECT_EQ(full({{.name = "dw", .quantize_input = false, .quantize_weight = false}}), "conv_1:0 conv_1:w");
  EXPECT_EQ(full({{.layer_class = "DepthwiseConv", .quantize_weight = false}}), "conv_1:0 conv_1:w dw:0");
  // A spec beats a case.
  EXPECT_EQ(full({}, {"residual"}), "conv_1:0 conv_1:w dw:0 dw:w add:1");
  EXPECT_EQ(full({{.name = "add", .inputs = {0}}}, {"residual"}), "conv_1:0 conv_1:w dw:0 dw:w add:0");
  EXPECT_EQ(full({{.name = "add", .quantize_input = false}}, {"residual"}), "conv_1:0 conv_1:w dw:0 dw:w");
  const Placed placed = place_spec(
      graph, {{.name = "add", .quantize_input = false, .quantize_weight = false}}, PlaceMode::Full);
  EXPECT_EQ(placed.layer("add").reason, "float: kept in float by spec entry 1");
}

TEST(Spec, NameBeatsClassAndTheLastOfANameWins) {
  const SpecEntry all{.layer_class = "Conv", .bits = 4, .calibrator = "percentile"};
  const ir::Graph graph = network();
  const std::vector<SpecEntry> both = {{.name = "dw", .quantize_weight = false}, all};
  EXPECT_EQ(sites_of(place_spec(graph, both, PlaceMode::Partial, {}, 0.4)),
            "conv_1:0 conv_1:w dw:0");  // 4 bits
  EXPECT_EQ(partial({{.name = "dw", .quantize_weight = false}, {.name = "d*"}}), "dw:0 dw:w");
  EXPECT_EQ(partial({{.name = "d*"}, {.name = "dw", .quantize_weight = false}}), "dw:0");
  // What the entry by name leaves open comes from that by class.
  const Sites sites = place(graph, {.mode = PlaceMode::Partial, .spec = {{all, {.name = "dw", .bits = 6}}}});
  EXPECT_THAT(calibrators_of(sites),
              ElementsAre(testing::Pair("relu_1", "percentile"), testing::Pair("x", "percentile")));
  EXPECT_THAT(bits_of(sites, 8), ElementsAre(testing::Pair("relu_1", 6), testing::Pair("x", 4)));
  const Placed placed = insert_all(sites);
  EXPECT_EQ(placed.layer("conv_1").weight_bits, 4);
  EXPECT_EQ(placed.layer("dw").weight_bits, 6);
}

TEST(Spec, WhatFitsNothingIsRefused) {
  EXPECT_EQ(refused({{.name = "conv_1"}, {.name = "conv_2"}}),
            "spec entry 2, name 'conv_2' fits no layer of the model (nearest: conv_1, pool, relu_1)");
  EXPECT_THAT(refused({{.name = "conw*"}}),
              HasSubstr("spec entry 1, name 'conw*' fits no layer of the model (nearest: conv_1"));
  EXPECT_THAT(refused({{.name = "re:conw_[0-9]"}}), HasSubstr("fits no layer of the model (nearest: "));
  EXPECT_EQ(refused({{.layer_class = "AveragePool"}}),
            "spec entry 1, class 'AveragePool' fits no layer of the model (nearest: MaxPool, Relu, Sigmoid)");
  EXPECT_THAT(
      refused({{.layer_class = "MaxPol"}}),
      HasSubstr("spec entry 1, class 'MaxPol': there is no such class: an ONNX operator, DepthwiseConv, "
                "Linear or Swish is meant (nearest: MaxPool"));
  EXPECT_EQ(
      refused({{.name = "relu*"}}),
      "spec entry 1, name 'relu*' fits only layers that are not quantized unless named one by one, such as "
      "Relu 'relu_1'");
  EXPECT_EQ(refused({{.name = "nothing", .quantize_input = false, .quantize_weight = false}}),
            "spec entry 1, name 'nothing' fits no layer of the model (nearest: conv_1, gate, pool)");
}

TEST(Spec, WhatCannotBeIsRefused) {
  EXPECT_EQ(refused({{.name = "add", .inputs = {2}}}),
            "spec entry 1, name 'add': Add 'add' has no input 2: it has 2, counted from 0");
  EXPECT_EQ(
      refused({{.name = "bias_add", .inputs = {1}}}),
      "spec entry 1, name 'bias_add': input 1 of Add 'bias_add' is a constant, or not f32: it gets no pair");
  EXPECT_EQ(refused({{.name = "add", .bits = 9}}),
            "spec entry 1, name 'add': 9 bits: quantization takes 2 to 8");
  EXPECT_EQ(refused({{.name = "add", .layer_class = "Add"}}),
            "spec entry 1 needs either \"name\" or \"class\", not both");
  const ir::Graph graph =
      parse_typed("graph \"g\" {\ninput %i: i64[4]\ninput %x: f32[N,4,8,8]\n%n = Neg \"n\" (%i)\n" +
                  conv("c", "x", 4, 4) + "output %n\noutput %c\n}\n");
  EXPECT_EQ(message_of([&] { place(graph, {.spec = {{{.name = "n"}}}}); }),
            "spec entry 1, name 'n': Neg 'n' cannot be quantized: it reads no f32 tensor that is computed");
  const ir::Graph dynamic = parse_typed(
      "graph \"g\" {\ninput %x: f32[1,4,8,8]\ninput %w: f32[4,4,1,1]\n%c = Conv \"c\" (%x, %w)\noutput "
      "%c\n}\n");
  EXPECT_EQ(message_of([&] { place(dynamic, {.spec = {{{.name = "c", .quantize_weight = false}}}}); }),
            "spec entry 1, name 'c': Conv 'c' cannot be quantized: its weight is computed at run time");
}

TEST(Spec, ModelsThatHoldPairsAreExtended) {
  const ir::Graph graph = parse_typed(
      graph_of("const %s: f32[] = {0.05}\nconst %z: i8[] = {0}\n%q = QuantizeLinear \"q\" (%x, %s, %z)\n"
               "%dq = DequantizeLinear \"dq\" (%q, %s, %z)\nconst %wq: i8[4,4,1,1] = rand(2)\n"
               "%w = DequantizeLinear \"w\" (%wq, %s, %z)\n%c1 = Conv \"c1\" (%dq, %w)\n" +
               conv("c2", "x", 4, 4) + "%y = Add \"y\" (%c2, %c1)\noutput %y\n"));
  // New sites share the pair that the model came with; what it has stays, whatever the spec says.
  const Placed placed = place_spec(graph, {{.name = "c2"},
                                           {.name = "c1", .quantize_input = false, .quantize_weight = false},
                                           {.name = "y", .inputs = {0}}});
  EXPECT_EQ(golden(placed.graph),
            "c1 = Conv(x*, wq*)\n"
            "c2 = Conv(x*, c2.w*0)\n"
            "y = Add(c2*, c1)\n");
  EXPECT_EQ(ir::quantized_forms(placed.graph, placed.graph.find_value("x")).size(), 1u);
  EXPECT_EQ(placed.layer("c1").reason, "int8: the model came with this pair");
  EXPECT_EQ(placed.graph.node(placed.graph.find_node("dq")).reason, "the model came with this pair");
  EXPECT_THAT(refused({{.name = "dq"}}), HasSubstr("fits no layer of the model"));
  // A second time changes nothing.
  const Placed again = place_spec(placed.graph, {{.name = "c2"}});
  EXPECT_EQ(again.report.activation_pairs, placed.report.activation_pairs);
  EXPECT_EQ(again.report.weight_pairs, placed.report.weight_pairs);
}

TEST(Spec, NodesMayGoByTheirResult) {
  const ir::Graph graph =
      parse_typed(graph_of("const %w: f32[4,4,1,1] = rand(7)\n%c = Conv \"\" (%x, %w)\noutput %c\n"));
  const Sites sites = place(graph, {.mode = PlaceMode::Partial, .spec = {{{.name = "c"}}}});
  EXPECT_THAT(tensors_to_calibrate(sites), ElementsAre("x"));
}

}  // namespace
}  // namespace kvant::quant
