// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/insert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "ir/interpreter.h"
#include "quant/placement/placement_testing.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Insert, NodesTypesAndNames) {
  const Placed placed = place_text(graph_of(conv("c", "x", 4, 4) + "output %c\n"));
  const ir::Graph& graph = placed.graph;
  const ir::NodeId q = graph.find_node("x_QuantizeLinear"), dq = graph.find_node("x_DequantizeLinear");
  ASSERT_NE(q, ir::kNone);
  ASSERT_NE(dq, ir::kNone);
  const auto params = ir::params_of(graph, q);
  ASSERT_TRUE(params.has_value());
  EXPECT_EQ(params->dtype, DType::Int8);
  EXPECT_EQ(params->scale, std::vector<float>{2.0f / 127});
  EXPECT_EQ(graph.constant(graph.node(q).inputs[2])->shape(), Shape{});
  const ir::NodeId wq = graph.find_node("c.w_QuantizeLinear");
  EXPECT_EQ(graph.constant(graph.node(wq).inputs[1])->shape(), Shape{4});
  EXPECT_EQ(graph.constant(graph.node(wq).inputs[2])->shape(), Shape{4});
  EXPECT_EQ(graph.node(wq).attributes.integer("axis", -7), 0);
  EXPECT_THAT(graph.node(q).reason, HasSubstr("data of a convolution 'c'"));
}

// The graph with pairs of affine codes for these ranges.
ir::Graph with_affine_codes(const std::string& body, const std::map<std::string, Range>& ranges) {
  const ir::Graph graph = parse_typed(graph_of(body));
  ir::Graph quantized = graph;
  insert_pairs(quantized, place(graph), {.calibrator = "max", .samples = 1, .ranges = ranges}, 8,
               WeightCalibrator::Max, Codes::Affine);
  ir::infer_types(quantized, ops::standard());
  ir::verify_qdq(quantized);
  return quantized;
}

QuantParams params_read_by(const ir::Graph& graph, const std::string& node, size_t input = 0) {
  return ir::quantized_behind(graph, graph.node(graph.find_node(node)).inputs[input])->params;
}

TEST(Insert, AffineCodesTakeTheWholeRange) {
  const std::string chain =
      conv("c", "x", 4, 4) + "%r = Relu \"r\" (%c)\n" + conv("d", "r", 4, 4) + "output %d\n";
  const ir::Graph graph = with_affine_codes(chain, {{"x", {-1, 4.1f}}, {"r", {0.5f, 5.1f}}});
  const QuantParams x = params_read_by(graph, "c"), r = params_read_by(graph, "d");
  EXPECT_EQ(x.dtype, DType::UInt8);
  EXPECT_FLOAT_EQ(x.scale[0], 0.02f);
  EXPECT_EQ(x.zero_point_at(0), 50);
  EXPECT_EQ(r.dtype, DType::UInt8);
  EXPECT_FLOAT_EQ(r.scale[0], 0.02f);  // zero is always in the range: its code is exact
  EXPECT_TRUE(r.zero_point.empty());
  const QuantParams weight = params_read_by(graph, "c", 1);
  EXPECT_EQ(weight.dtype, DType::Int8);
  EXPECT_TRUE(weight.zero_point.empty());
  EXPECT_EQ(params_read_by(with_affine_codes(chain, {{"x", {0, 0}}, {"r", {0, 1}}}), "c").scale[0], 1);
}

TEST(Insert, AffineCodesOfAGroupAreOfItsUnion) {
  const ir::Graph graph = with_affine_codes(
      conv("a", "x", 4, 4) + conv("b", "x", 4, 4) + "%j = Concat \"j\" (%a, %b) {axis = 1}\n" +
          conv("n", "j", 8, 4) + conv("m", "a", 4, 4) + "output %n\noutput %m\n",
      {{"x", {-1, 1}}, {"a", {-1, 0}}, {"j", {-1.1f, 3}}});
  const QuantParams of_group = params_read_by(graph, "n");
  EXPECT_FLOAT_EQ(of_group.scale[0], 4.1f / 255);  // of a and j: b has no pair
  EXPECT_EQ(of_group.zero_point_at(0), 68);
  EXPECT_EQ(params_read_by(graph, "m"), of_group);
}

TEST(Insert, FewerBitsKeepTheCodesInRange) {
  const Placed placed = place_text(graph_of(conv("c", "x", 4, 4) + "output %c\n"), 4);
  const ir::Node& layer = placed.graph.node(placed.graph.find_node("c"));
  const auto data = ir::quantized_behind(placed.graph, layer.inputs[0]);
  const auto weight = ir::quantized_behind(placed.graph, layer.inputs[1]);
  ASSERT_TRUE(data && weight);
  EXPECT_NE(data->clip, ir::kNone);
  EXPECT_EQ(data->source, placed.graph.find_value("x"));
  EXPECT_EQ(data->range, (IntRange{-7, 7}));
  EXPECT_EQ(weight->range, (IntRange{-7, 7}));
  EXPECT_EQ(data->params.scale[0], 2.0f / 7);
  const Tensor codes = kvant::quantize(*placed.graph.constant(weight->source), weight->params);
  for (const int8_t code : codes.data<int8_t>()) EXPECT_LE(std::abs(code), 7);

  ir::Graph probe = placed.graph;
  probe.set_outputs({data->codes});
  probe.erase_dead();
  const std::vector<Tensor> inputs{Tensor::full({1, 4, 8, 8}, 100.0f)};
  EXPECT_EQ(ir::evaluate(probe, ops::standard(), inputs)[0].data<int8_t>()[0], 7);
}

TEST(Insert, Refusals) {
  ir::Graph graph = ir::parse(
      graph_of("const %w: f32[2,4,1,1] = {1,2,3,4,5,nan,7,8}\n%c = Conv \"c\" (%x, %w)\noutput %c\n"));
  ir::infer_types(graph, ops::standard());
  const Sites sites = place(graph);
  ir::Graph copy = graph;
  CalibrationTable table;
  EXPECT_EQ(message_of([&] { insert_pairs(copy, sites, table); }),
            "tensor 'x' has no range: calibrate it, or give it in the ranges file");
  EXPECT_EQ(message_of([&] { check_weights(sites); }),
            "the weight of Conv 'c' holds NaN or infinity (channel 0)");
  EXPECT_EQ(message_of([&] { insert_pairs(copy, sites, table, 9); }), "9 bits: quantization takes 2 to 8");
}

TEST(Insert, DeadChannelsAndSilentTensorsHaveScaleOne) {
  ir::Graph graph = ir::parse(
      graph_of("const %w: f32[2,4,1,1] = {1,2,3,4,0,0,0,0}\n%c = Conv \"c\" (%x, %w)\noutput %c\n"));
  ir::infer_types(graph, ops::standard());
  const Sites sites = place(graph);
  ir::Graph copy = graph;
  insert_pairs(copy, sites, {.calibrator = "", .samples = 0, .ranges = {{"x", {0, 0}}}});
  EXPECT_THAT(ir::quantized_forms(copy, copy.find_value("w")).at(0).params.scale,
              ElementsAre(4.0f / 127, 1.0f));
  EXPECT_THAT(ir::quantized_forms(copy, copy.find_value("x")).at(0).params.scale, ElementsAre(1.0f));
}

TEST(Insert, BitsOfEachLayer) {
  const ir::Graph graph = parse_typed(graph_of(conv("a", "x", 4, 4) + conv("b", "a", 4, 4) +
                                               conv("c", "a", 4, 4) + "output %b\noutput %c\n"));
  Sites sites(graph);
  sites.set_rule(graph.find_node("a"), {.bits = 4, .origin = "the test"});
  sites.set_rule(graph.find_node("b"), {.bits = 3, .origin = "the test"});
  for (const char* name : {"a", "b", "c"}) sites.want_weighted(graph.find_node(name), 0, "convolution");
  const Placed placed = insert_all(sites);
  const auto range = [&](const char* name, size_t input) {
    const ir::Node& node = placed.graph.node(placed.graph.find_node(name));
    return ir::quantized_behind(placed.graph, node.inputs[input])->range;
  };
  EXPECT_EQ(range("a", 0), (IntRange{-7, 7}));
  EXPECT_EQ(range("a", 1), (IntRange{-7, 7}));
  EXPECT_EQ(range("b", 1), (IntRange{-3, 3}));
  EXPECT_EQ(range("b", 0), (IntRange{-128, 127}));  // shared with c, which wants 8 bits
  EXPECT_EQ(range("c", 1), (IntRange{-128, 127}));
  EXPECT_EQ(placed.layer("a").weight_bits, 4);
  EXPECT_EQ(placed.layer("c").weight_bits, 8);
  EXPECT_EQ(placed.graph.metadata.at("kvant.bits:a.w"), "4");
  EXPECT_EQ(placed.graph.metadata.count(std::string(ir::kBitsKey)), 0u);
  std::string pairs;
  for (const PairReport& pair : placed.report.pairs)
    pairs += fmt::format("{}:{}:{} ", pair.tensor, pair.bits, pair.readers);
  EXPECT_EQ(pairs, "x:4:1 a.w:4:1 a:8:2 b.w:3:1 c.w:8:1 ");
  EXPECT_THAT(placed.report.pairs[2].reason, HasSubstr("8 bits for its other readers ('b' asks for 3)"));
}

TEST(Insert, OneLayerAtEightBitsAmongFourBitOnes) {
  const ir::Graph graph = parse_typed(graph_of(conv("a", "x", 4, 4) + conv("b", "a", 4, 4) + "output %b\n"));
  Sites sites(graph);
  sites.set_rule(graph.find_node("b"), {.bits = 8, .origin = "the test"});
  for (const char* name : {"a", "b"}) sites.want_weighted(graph.find_node(name), 0, "convolution");
  const Placed placed = insert_all(sites, 4);
  const ir::Node& b = placed.graph.node(placed.graph.find_node("b"));
  EXPECT_EQ(ir::quantized_behind(placed.graph, b.inputs[0])->clip, ir::kNone);
  EXPECT_EQ(ir::quantized_behind(placed.graph, b.inputs[1])->range, (IntRange{-128, 127}));
  EXPECT_EQ(placed.graph.metadata.at("kvant.bits"), "4");
  EXPECT_EQ(placed.graph.metadata.at("kvant.bits:b.w"), "8");
}

TEST(Insert, OneWeightAtTwoWidths) {
  const ir::Graph graph = parse_typed(graph_of(
      "const %w: f32[4,4,1,1] = rand(7)\n%a = Conv \"a\" (%x, %w)\n%b = Conv \"b\" (%a, %w)\noutput %b\n"));
  Sites sites(graph);
  sites.set_rule(graph.find_node("a"), {.bits = 4, .origin = "the test"});
  for (const char* name : {"a", "b"}) sites.want_weighted(graph.find_node(name), 0, "convolution");
  const Placed placed = insert_all(sites);
  const auto range = [&](const char* name) {
    const ir::Node& node = placed.graph.node(placed.graph.find_node(name));
    return ir::quantized_behind(placed.graph, node.inputs[1])->range;
  };
  EXPECT_EQ(range("a"), (IntRange{-7, 7}));
  EXPECT_EQ(range("b"), (IntRange{-128, 127}));
}

TEST(Insert, OutputsGetAPairForAllTheirReaders) {
  const ir::Graph graph = parse_typed(graph_of(conv("c", "x", 4, 4) + "%r = Relu \"r\" (%c)\n" +
                                               "%e = Exp \"e\" (%r)\noutput %e\noutput %r\n"));
  Sites sites(graph);
  sites.want_weighted(graph.find_node("c"), 0, "convolution");
  sites.want_output(graph.find_value("r"), "result of a convolution");
  sites.want_output(graph.find_value("e"), "result of the network", true);
  sites.want_output(graph.find_value("c.w"), "a constant");
  EXPECT_THAT(tensors_to_calibrate(sites), ElementsAre("x", "r", "e"));
  const Placed placed = insert_all(sites);
  EXPECT_EQ(golden(placed.graph),
            "c = Conv(x*, c.w*0)\n"
            "r = Relu(c)\n"
            "e_float = Exp(r*)\n");
  EXPECT_EQ(placed.graph.value(placed.graph.outputs()[0]).name, "e");
  EXPECT_TRUE(ir::quantized_behind(placed.graph, placed.graph.outputs()[0]).has_value());
  EXPECT_EQ(placed.graph.producer(placed.graph.outputs()[1])->op, "Relu");
  EXPECT_EQ(placed.layer("e").reason, "int8: reads a tensor that is quantized for all readers");
  EXPECT_EQ(placed.report.activation_pairs, 3);
}

TEST(Insert, RulesAreStrongerThanClaims) {
  const ir::Graph graph = parse_typed(
      graph_of(conv("a", "x", 4, 4) + conv("b", "a", 4, 4) + conv("c", "b", 4, 4) + "output %c\n"));
  Sites sites(graph);
  sites.set_rule(graph.find_node("a"), {.input = false, .weight = false, .origin = "the test"});
  sites.set_rule(graph.find_node("a"), {.origin = "too late"});
  sites.set_rule(graph.find_node("b"), {.input = false, .origin = "the test"});
  sites.set_rule(graph.find_node("c"), {.weight = false, .calibrator = "percentile", .origin = "the test"});
  for (const char* name : {"a", "b", "c"}) sites.want_weighted(graph.find_node(name), 0, "convolution");
  EXPECT_THAT(calibrators_of(sites), ElementsAre(testing::Pair("b", "percentile")));
  const Placed placed = insert_all(sites);
  EXPECT_EQ(golden(placed.graph),
            "a = Conv(x, a.w)\n"
            "b = Conv(a, b.w*0)\n"
            "c = Conv(b*, c.w)\n");
  EXPECT_EQ(placed.layer("a").reason, "float: kept in float by the test");
  EXPECT_EQ(placed.layer("b").reason, "float: its weight alone is quantized (the test)");
  EXPECT_FALSE(placed.layer("b").quantized);
  EXPECT_EQ(placed.layer("c").reason, "int8: data of a convolution (the test)");
}

}  // namespace
}  // namespace kvant::quant
