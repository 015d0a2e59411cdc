// SPDX-License-Identifier: Apache-2.0
// What each case quantizes: golden texts, with both sides evaluated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "quant/placement/placement_testing.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kSmallError = 0.15;  // of the largest output, for int8 on networks of a few layers

// The golden text of `body` with the pairs of these cases.
std::string placed_by(const std::vector<std::string>& cases, const std::string& body,
                      const std::string& input = "f32[N,4,8,8]") {
  const ir::Graph graph = parse_typed(graph_of(body, input));
  const Sites sites = place(graph, {.cases = cases});
  EXPECT_LT(relative_error(sites), kSmallError);
  return golden(insert_all(sites).graph);
}

std::string pool(const char* op, const std::string& name, const std::string& x) {
  return fmt::format("%{0} = {1} \"{0}\" (%{2}) {{kernel_shape = [2,2], strides = [2,2]}}\n", name, op, x);
}

// x0 = Relu(c0(x)), a block of two convolutions with norms on x0 whose shortcut is `side`, and Add.
std::string block(const std::string& side, bool side_first) {
  const std::string inputs = side_first ? "%" + side + ", %n2" : "%n2, %" + side;
  return conv("c1", "x0", 4, 4, 3) + norm("n1", "c1", 4, 1) + "%r1 = Relu \"r1\" (%n1)\n" +
         conv("c2", "r1", 4, 4, 3) + norm("n2", "c2", 4, 5) + "%a = Add \"a\" (" + inputs + ")\n";
}

std::string stem() { return conv("c0", "x", 4, 4) + "%x0 = Relu \"x0\" (%c0)\n"; }

TEST(Cases, NoneIsTheToolkitsDefault) {
  EXPECT_EQ(
      placed_by({"none"}, stem() + pool("MaxPool", "m", "x0") + pool("AveragePool", "v", "m") +
                              "%s = Add \"s\" (%v, %v)\n%g = GlobalAveragePool \"g\" (%s)\noutput %g\n"),
      "c0 = Conv(x*, c0.w*0)\n"
      "x0 = Relu(c0)\n"
      "m = MaxPool(x0)\n"
      "v = AveragePool(m*)\n"
      "s = Add(v, v)\n"
      "g = GlobalAveragePool(s*)\n");
}

// Two layers with `activation` (of c0, called act) between.
std::string curved(const std::string& activation, const std::string& more = "output %c1\n") {
  return conv("c0", "x", 4, 4) + activation + conv("c1", "act", 4, 4) + more;
}

TEST(Cases, ActivationTablesReadPairsOnRequest) {
  const std::string silu = "%g = Sigmoid \"g\" (%c0)\n%act = Mul \"act\" (%c0, %g)\n";
  const ir::Graph graph = parse_typed(graph_of(curved(silu), "f32[N,4,8,8]"));
  EXPECT_THAT(golden(insert_all(place(graph)).graph), HasSubstr("g = Sigmoid(c0)\nact = Mul(c0, g)\n"));
  const Sites sites = place(graph, {.activation_tables = true});
  EXPECT_LT(relative_error(sites), kSmallError);
  const Placed placed = insert_all(sites);
  EXPECT_THAT(golden(placed.graph),
              HasSubstr("g = Sigmoid(c0*)\nact = Mul(c0*, g)\nc1 = Conv(act*, c1.w*0)\n"));
  EXPECT_THAT(placed.layer("g").reason, HasSubstr("Silu between codes is a table"));
  EXPECT_TRUE(placed.graph.metadata.contains(std::string(kActivationTablesKey)));
  for (const char* op : {"HardSwish", "Gelu", "Mish"}) {
    const ir::Graph one =
        parse_typed(graph_of(curved(fmt::format("%act = {} \"act\" (%c0)\n", op)), "f32[N,4,8,8]"));
    EXPECT_THAT(golden(insert_all(place(one, {.activation_tables = true})).graph), HasSubstr("(c0*)")) << op;
  }
}

TEST(Cases, ActivationTablesOnlyBetweenQuantizedTensors) {
  const std::string silu = "%g = Sigmoid \"g\" (%c0)\n%act = Mul \"act\" (%c0, %g)\n";
  const auto golden_of = [&](const std::string& body) {
    const ir::Graph graph = parse_typed(graph_of(body, "f32[N,4,8,8]"));
    return golden(insert_all(place(graph, {.activation_tables = true})).graph);
  };
  // Someone reads the result in float; someone else reads the input; a Relu is cheap as it is.
  EXPECT_THAT(golden_of(curved(silu, "%e = Exp \"e\" (%act)\noutput %c1\noutput %e\n")),
              HasSubstr("act = Mul(c0, g)"));
  EXPECT_THAT(golden_of(curved(silu, "%e = Exp \"e\" (%c0)\noutput %c1\noutput %e\n")),
              HasSubstr("act = Mul(c0, g)"));
  EXPECT_THAT(golden_of(curved("%act = Relu \"act\" (%c0)\n")), HasSubstr("act = Relu(c0)"));
}

TEST(Cases, ActivationTablesReachThroughWhatMovesAndJoins) {
  const std::string silu = "%g = Sigmoid \"g\" (%c0)\n%act = Mul \"act\" (%c0, %g)\n";
  const auto golden_of = [&](const std::string& more) {
    const ir::Graph graph = parse_typed(graph_of(conv("c0", "x", 4, 4) + silu + more, "f32[N,4,8,8]"));
    return golden(insert_all(place(graph, {.activation_tables = true})).graph);
  };
  const std::string split = "%a, %b = Split \"s\" (%act) {axis = 1}\n";
  EXPECT_THAT(
      golden_of(split + "%j = Concat \"j\" (%a, %b) {axis = 1}\n" + conv("c1", "j", 4, 4) + "output %c1\n"),
      HasSubstr("act = Mul(c0*, g)"));
  // One of the parts is read in float.
  EXPECT_THAT(golden_of(split + conv("c1", "a", 2, 4) + "%e = Exp \"e\" (%b)\noutput %c1\noutput %e\n"),
              HasSubstr("act = Mul(c0, g)"));
}

// SiLU is within half a step of 0 below about -5: a range of -100 to 8 gets the codes of -5 to 8.
TEST(Cases, ActivationTablesSpendNoCodesWhereTheResultIsZero) {
  const ir::Graph graph = parse_typed(
      graph_of(curved("%g = Sigmoid \"g\" (%c0)\n%act = Mul \"act\" (%c0, %g)\n"), "f32[N,4,8,8]"));
  const Sites sites = place(graph, {.activation_tables = true});
  CalibrationTable table;
  for (const std::string& name : tensors_to_calibrate(sites)) table.ranges[name] = {-1.0f, 2.0f};
  table.ranges["c0"] = {-100.0f, 8.0f};
  table.ranges["act"] = {-0.28f, 8.0f};
  ir::Graph quantized = graph;
  insert_pairs(quantized, sites, table, 8, WeightCalibrator::Max, Codes::Affine);
  const auto forms = ir::quantized_forms(quantized, quantized.find_value("c0"));
  ASSERT_EQ(forms.size(), 1u);
  EXPECT_NEAR(forms[0].params.scale[0], (8.0f + 5.8f) / 255.0f, 0.1f / 255.0f * 8.0f);
  // The same where the result has no range of its own: SiLU(8) is 8.
  const std::string split =
      "%g = Sigmoid \"g\" (%c0)\n%act = Mul \"act\" (%c0, %g)\n"
      "%a, %b = Split \"s\" (%act) {axis = 1}\n%j = Concat \"j\" (%b, %a) {axis = 1}\n";
  ir::Graph moved = parse_typed(
      graph_of(conv("c0", "x", 4, 4) + split + conv("c1", "j", 4, 4) + "output %c1\n", "f32[N,4,8,8]"));
  const ir::Graph unquantized = moved;
  const Sites moved_sites = place(unquantized, {.activation_tables = true});
  CalibrationTable ranges;
  for (const std::string& name : tensors_to_calibrate(moved_sites)) ranges.ranges[name] = {-1.0f, 8.0f};
  ranges.ranges["c0"] = {-100.0f, 8.0f};
  EXPECT_FALSE(ranges.ranges.contains("act"));
  insert_pairs(moved, moved_sites, ranges, 8, WeightCalibrator::Max, Codes::Affine);
  const auto moved_forms = ir::quantized_forms(moved, moved.find_value("c0"));
  ASSERT_EQ(moved_forms.size(), 1u);
  EXPECT_NEAR(moved_forms[0].params.scale[0], (8.0f + 5.8f) / 255.0f, 0.1f / 255.0f * 8.0f);
}

TEST(Cases, ResidualWithIdentityShortcut) {
  for (const char* name : {"residual", "resnet-v1", "mobilenet", "efficientnet"}) {
    const std::string text = placed_by({name}, stem() + block("x0", false) + "output %a\n");
    EXPECT_THAT(text, HasSubstr("a = Add(n2, x0*)")) << name;
    EXPECT_THAT(text, HasSubstr("c1 = Conv(x0*, c1.w*0)")) << name;
  }
}

TEST(Cases, OfTwoConvolutionBranchesTheFirstStaysFloat) {
  const std::string side = conv("d", "x0", 4, 4) + norm("nd", "d", 4, 9);
  EXPECT_THAT(placed_by({"residual"}, stem() + side + block("nd", true) + "output %a\n"),
              HasSubstr("a = Add(nd, n2*)"));
  EXPECT_THAT(placed_by({"residual"}, stem() + side + block("nd", false) + "output %a\n"),
              HasSubstr("a = Add(n2, nd*)"));
  // auto: the shortcut, wherever it stands
  EXPECT_THAT(placed_by({"auto"}, stem() + side + block("nd", true) + "output %a\n"),
              HasSubstr("a = Add(nd*, n2)"));
}

TEST(Cases, BranchesOfAnyDepth) {
  const std::string start = conv("c", "x", 4, 4);
  const std::string after_norm = start + norm("n", "c", 4, 1);
  const std::string swish = after_norm + "%g = Sigmoid \"g\" (%n)\n%w = Mul \"w\" (%n, %g)\n";
  const std::string dropout = after_norm + "%r = Relu \"r\" (%n)\n%d = Dropout \"d\" (%r)\n";
  const std::pair<std::string, std::string> branches[] = {
      {start, "c"}, {after_norm, "n"}, {swish, "w"}, {dropout, "d"}};
  for (const auto& [text, end] : branches) {
    const std::string add = "%a = Add \"a\" (%x, %" + end + ")\noutput %a\n";
    EXPECT_THAT(placed_by({"residual"}, text + add), HasSubstr("a = Add(x*, " + end + ")"));
  }
  // A branch that others read too is no branch: the convolution's result exists outside of the addition.
  EXPECT_THAT(placed_by({"residual"}, after_norm + "%a = Add \"a\" (%x, %n)\noutput %a\noutput %n\n"),
              HasSubstr("a = Add(x*, n*)"));
}

TEST(Cases, ResidualWithoutLayersQuantizesBothInputs) {
  const std::string body = stem() + pool("MaxPool", "m", "x0") + pool("AveragePool", "v", "x0") +
                           "%a = Add \"a\" (%m, %v)\noutput %a\n";
  EXPECT_THAT(placed_by({"residual"}, body), HasSubstr("a = Add(m*, v*)"));
  EXPECT_THAT(placed_by({"auto"}, body), HasSubstr("a = Add(m, v)"));
}

TEST(Cases, ResidualBehindLinearLayers) {
  const std::string body =
      "const %w1: f32[8,8] = rand(1)\nconst %w2: f32[8,8] = rand(2)\nconst %b: f32[8] = rand(3)\n"
      "%l1 = MatMul \"l1\" (%x, %w1)\n%bias = Add \"bias\" (%l1, %b)\n%a = Add \"a\" (%bias, %x)\n";
  const std::string next = "%l2 = MatMul \"l2\" (%a, %w2)\noutput %l2\n";
  EXPECT_THAT(placed_by({"residual"}, body + next, "f32[N,8]"), HasSubstr("a = Add(bias, x*)"));
  EXPECT_THAT(placed_by({"auto"}, body + next, "f32[N,8]"), HasSubstr("a = Add(bias, x*)"));
  // The sum goes to a norm: its float result is what is wanted.
  EXPECT_THAT(placed_by({"auto"},
                        body + "const %s: f32[8] = fill(1)\n%n = LayerNormalization \"n\" (%a, %s)\n" +
                            "%l2 = MatMul \"l2\" (%n, %w2)\noutput %l2\n",
                        "f32[N,8]"),
              HasSubstr("a = Add(bias, x)"));
}

TEST(Cases, ResNetV2) {
  const std::string body = conv("c0", "x", 4, 4) + pool("MaxPool", "x0", "c0") + norm("n0", "x0", 4, 9) +
                           "%p = Relu \"p\" (%n0)\n" + conv("c1", "p", 4, 4, 3, 1, 2) +
                           norm("n1", "c1", 4, 1) + "%r1 = Relu \"r1\" (%n1)\n" + conv("c2", "r1", 4, 4) +
                           "%s = MaxPool \"s\" (%x0) {kernel_shape = [1,1], strides = [2,2]}\n" +
                           "%a = Add \"a\" (%s, %c2)\noutput %a\n";
  EXPECT_EQ(placed_by({"resnet-v2"}, body),
            "c0 = Conv(x*, c0.w*0)\n"
            "x0 = MaxPool(c0*)\n"
            "n0 = BatchNormalization(x0*, n0.g, n0.b, n0.m, n0.v)\n"
            "p = Relu(n0)\n"
            "c1 = Conv(p*, c1.w*0)\n"
            "n1 = BatchNormalization(c1, n1.g, n1.b, n1.m, n1.v)\n"
            "r1 = Relu(n1)\n"
            "c2 = Conv(r1*, c2.w*0)\n"
            "s = MaxPool(x0*)\n"
            "a = Add(s*, c2)\n");
  EXPECT_EQ(placed_by({"residual", "batchnorm", "maxpool"}, body), placed_by({"resnet-v2"}, body));
}

TEST(Cases, EfficientNetQuantizesBothFactorsOfTheGate) {
  const std::string body = conv("d", "x", 4, 4) + "%sg = Sigmoid \"sg\" (%d)\n%u = Mul \"u\" (%d, %sg)\n" +
                           "%g = GlobalAveragePool \"g\" (%u)\n" + conv("s1", "g", 4, 4) +
                           "%s2 = Sigmoid \"s2\" (%s1)\n%m = Mul \"m\" (%u, %s2)\n" +
                           "const %k: f32[1] = {2}\n%y = Mul \"y\" (%m, %k)\noutput %y\n";
  const std::string text = placed_by({"efficientnet"}, body);
  EXPECT_THAT(text, HasSubstr("u = Mul(d, sg)\n"));  // swish
  EXPECT_THAT(text, HasSubstr("m = Mul(u*, s2*)\n"));
  EXPECT_THAT(text, HasSubstr("y = Mul(m, k)\n"));  // scaling
  EXPECT_THAT(placed_by({"mobilenet"}, body), HasSubstr("m = Mul(u, s2)\n"));
}

TEST(Cases, InceptionHasOneScaleAroundItsPool) {
  const ir::Graph graph = parse_typed(graph_of(conv("a", "x", 4, 4) + pool("MaxPool", "m", "x") +
                                               conv("c", "m", 4, 4) + "output %a\noutput %c\n"));
  const Sites sites = place(graph, {.cases = {"inception"}});
  EXPECT_LT(relative_error(sites), kSmallError);
  ir::Graph quantized = graph;
  insert_pairs(quantized, sites, {.ranges = {{"x", {-4, 3}}, {"m", {0, 3}}}});
  EXPECT_THAT(golden(quantized), HasSubstr("m = MaxPool(x*)\nc = Conv(m*, c.w*0)\n"));
  EXPECT_EQ(ir::quantized_forms(quantized, graph.find_value("m")).at(0).params.scale.at(0), 4.0f / 127);
}

std::string attention(const std::string& mask) {
  const std::string masked = mask.empty() ? "" : "%masked = Add \"masked\" (%scaled, %" + mask + ")\n";
  return "const %wq: f32[8,8] = rand(1)\nconst %wk: f32[8,8] = rand(2)\nconst %wv: f32[8,8] = rand(3)\n"
         "const %root: f32[] = {0.35}\n%q = MatMul \"q\" (%x, %wq)\n%k = MatMul \"k\" (%x, %wk)\n"
         "%v = MatMul \"v\" (%x, %wv)\n%kt = Transpose \"kt\" (%k) {perm = [0,2,1]}\n"
         "%qk = MatMul \"qk\" (%q, %kt)\n%scaled = Mul \"scaled\" (%qk, %root)\n" +
         masked + "%p = Softmax \"p\" (%" + (mask.empty() ? "scaled" : "masked") +
         ") {axis = -1}\n%o = MatMul \"o\" (%p, %v)\noutput %o\n";
}

TEST(Cases, AttentionIsASwitch) {
  const ir::Graph graph = parse_typed(graph_of(attention(""), "f32[2,6,8]"));
  for (const char* name : {"auto", "transformer"}) {
    const Sites off = place(graph, {.cases = {name}});
    EXPECT_THAT(golden(insert_all(off).graph), HasSubstr("qk = MatMul(q, kt)\n")) << name;
    const Sites on = place(graph, {.cases = {name}, .attention = true});
    EXPECT_LT(relative_error(on), kSmallError);
    const std::string text = golden(insert_all(on).graph);
    EXPECT_THAT(text, HasSubstr("q = MatMul(x*, wq*1)\n")) << name;
    EXPECT_THAT(text, HasSubstr("qk = MatMul(q*, kt*)\n")) << name;
    EXPECT_THAT(text, HasSubstr("p = Softmax(scaled)\no = MatMul(p*, v*)\n")) << name;
  }
}

TEST(Cases, MaskedAttentionStaysFloat) {
  const ir::Graph graph = parse_typed("graph \"g\" {\ninput %x: f32[2,6,8]\ninput %mask: f32[2,6,6]\n" +
                                      attention("mask") + "}\n");
  const Placed placed = insert_all(place(graph, {.attention = true}));
  EXPECT_THAT(golden(placed.graph), HasSubstr("qk = MatMul(q, kt)\n"));
  EXPECT_EQ(placed.layer("qk").reason, "float: product of a masked attention");
}

TEST(Cases, AUsersOwnCase) {
  const ir::Graph graph = parse_typed(graph_of(stem() + "%e = Exp \"e\" (%x0)\n" + conv("c1", "e", 4, 4) +
                                               conv("c2", "c1", 4, 4) + "output %c2\n"));
  PlaceOptions options;
  options.own_cases.push_back({"exponentials", [](Sites& sites) {
                                 for (const ir::NodeId id : sites.graph().topological_order()) {
                                   if (sites.graph().node(id).op == "Exp")
                                     sites.want_activation(id, 0, "our accelerator has a table of exp");
                                 }
                                 const ir::NodeId last = sites.graph().find_node("c2");
                                 sites.set_rule(last,
                                                {.input = false, .weight = false, .origin = "our case"});
                               }});
  const Sites sites = place(graph, options);
  const Placed placed = insert_all(sites);
  EXPECT_THAT(golden(placed.graph), HasSubstr("e = Exp(x0*)\nc1 = Conv(e*, c1.w*0)\nc2 = Conv(c1, c2.w)\n"));
  EXPECT_EQ(placed.layer("e").reason, "int8: our accelerator has a table of exp");
  EXPECT_EQ(placed.layer("c2").reason, "float: kept in float by our case");
  EXPECT_LT(relative_error(sites), kSmallError);

  // A spec is stronger, and mode partial leaves only the user's own.
  options.spec.layers = {{.name = "e", .quantize_input = false, .quantize_weight = false}};
  EXPECT_THAT(golden(insert_all(place(graph, options)).graph), HasSubstr("e = Exp(x0)\n"));
  options.spec.layers.clear();
  options.mode = PlaceMode::Partial;
  EXPECT_THAT(tensors_to_calibrate(place(graph, options)), ElementsAre("x0"));
}

TEST(Cases, PartialLeavesOutTheDefaultLayers) {
  const ir::Graph graph = parse_typed(graph_of(stem() + block("x0", false) + "output %a\n"));
  const Sites sites = place(graph, {.mode = PlaceMode::Partial, .cases = {"resnet-v1"}});
  const Placed placed = insert_all(sites);
  EXPECT_THAT(golden(placed.graph), HasSubstr("a = Add(n2, x0*)\n"));
  EXPECT_THAT(golden(placed.graph), HasSubstr("c1 = Conv(x0, c1.w)\n"));
  EXPECT_EQ(placed.layer("c1").reason, "float: neither a case nor the spec asks for it");
}

TEST(Cases, AutoGivesWhatTheNetworksCaseGives) {
  const std::string body =
      stem() + block("x0", false) + "%y = Relu \"y\" (%a)\n%g = GlobalAveragePool \"g\" (%y)\n" +
      "%f = Flatten \"f\" (%g)\nconst %w: f32[4,5] = rand(3)\n%l = MatMul \"l\" (%f, %w)\n" + "output %l\n";
  EXPECT_EQ(placed_by({"auto"}, body), placed_by({"resnet-v1"}, body));
}

TEST(Cases, Contradictions) {
  const auto said = [](const PlaceOptions& options) { return message_of([&] { check_options(options); }); };
  EXPECT_EQ(said({.cases = {"resnet-v3"}}),
            "there is no case 'resnet-v3' (nearest: resnet-v1, resnet-v2, residual)");
  EXPECT_EQ(said({.cases = {"none", "maxpool"}}),
            "case 'none' is the default layers alone: it goes with no other case");
  EXPECT_EQ(said({.mode = PlaceMode::Partial}),
            "mode partial quantizes only what a spec or a case names: give one");
  EXPECT_EQ(said({.mode = PlaceMode::Partial, .cases = {"auto"}}),
            "case 'auto' places by default what mode partial leaves out: use mode full, or other cases");
  EXPECT_EQ(said({.cases = {"resnet-v1"}, .attention = true}),
            "attention is placed by the cases auto and transformer: name one of them");
  EXPECT_EQ(said({.cases = {"auto", "resnet-v2"}}), "no error");
}

TEST(Cases, FamiliesOfTheCasesExist) {
  for (const Case& entry : cases()) {
    std::istringstream names{std::string(entry.families)};
    for (std::string name; names >> name;) {
      EXPECT_TRUE(std::any_of(families().begin(), families().end(),
                              [&](const Family& family) { return family.name == name; }))
          << entry.name << ": " << name;
    }
  }
}

}  // namespace
}  // namespace kvant::quant
