// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/graph.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/pass.h"
#include "ir/pattern.h"
#include "ir/text.h"
#include "ir/verify.h"

namespace kvant::ir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Two operators are enough to test the machinery without ops/.
OpTable toy_ops() {
  const auto same = [](const InferArgs& a) { return std::vector<Type>{a.inputs[0]}; };
  OpDef relu{.name = "Relu", .infer = same, .evaluate = [](const EvalArgs& a) {
               Tensor y = a.in(0);
               for (float& x : y.mutable_data<float>()) x = std::max(x, 0.0f);
               return std::vector{y};
             }};
  OpDef add{
      .name = "Add", .min_inputs = 2, .max_inputs = 2, .infer = same, .evaluate = [](const EvalArgs& a) {
        Tensor y = a.in(0);
        for (size_t i = 0; i < y.data<float>().size(); ++i)
          y.mutable_data<float>()[i] += a.in(1).data<float>()[i];
        return std::vector{y};
      }};
  OpDef neg{.name = "Neg",
            .attributes = {{"alpha", AttributeKind::Real}},
            .infer = same,
            .evaluate = [](const EvalArgs& a) {
              Tensor y = a.in(0);
              for (float& x : y.mutable_data<float>()) x = -x;
              return std::vector{y};
            }};
  return OpTable({relu, add, neg});
}

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

constexpr const char* kText = R"(graph "g" {
  meta "kvant.preprocess" = "scale \"quoted\""
  input %x: f32[N,2]
  const %c: f32[2] = {1.5, -2.0}
  %y: f32[?,2] = Add "add" (%x, %c)
  %"odd name": f32[?,2] = Relu "relu" (%y) from ["a", "b"] because "float: a test"
  output %"odd name"
}
)";

TEST(Text, PrintsWhatItParses) {
  const Graph graph = parse(kText);
  EXPECT_EQ(print(graph), kText);
  EXPECT_EQ(graph.value(graph.inputs()[0]).dim_names, (std::vector<std::string>{"N", ""}));
}

TEST(Text, KeepsAttributeKinds) {
  const Graph graph = parse(R"(graph "g" { input %x: f32[1]
    %y = Neg "n" (%x) {a = 1, b = 1.0, c = "s", d = [1, 2], e = [1.5, -inf], f = ["p", "q"], g = i8[2] {1, -2}, h = -3}
    output %y })");
  const Attributes& a = graph.node(0).attributes;
  EXPECT_EQ(a.integer("a", 0), 1);
  EXPECT_EQ(a.real("b", 0), 1.0f);
  EXPECT_EQ(a.text("c", ""), "s");
  EXPECT_THAT(a.integers("d"), ElementsAre(1, 2));
  EXPECT_EQ(a.reals("e")[1], -INFINITY);
  EXPECT_THAT(a.texts("f"), ElementsAre("p", "q"));
  EXPECT_EQ(a.tensor("g")->data<int8_t>()[1], -2);
  EXPECT_EQ(a.integer("h", 0), -3);
  EXPECT_EQ(print(parse(print(graph))), print(graph));
  EXPECT_THAT(message_of([&] { a.real("a", 0); }), HasSubstr("attribute 'a' is not of kind float"));
}

TEST(Text, ErrorsGiveTheirPlace) {
  EXPECT_THAT(message_of([] { parse("graph \"g\" {\n  output %x }"); }), HasSubstr("line 2"));
  EXPECT_THAT(message_of([] { parse("graph \"g\" { input %x: f33[1] }"); }),
              HasSubstr("'f33' is not an element type"));
  EXPECT_THAT(message_of([] { parse("graph \"g\" { const %c: f32[99999999999] = fill(0) output %c }"); }),
              HasSubstr("too large"));
  EXPECT_THAT(message_of([] { parse("graph \"g\" { input %x: f32[1] input %x: f32[1] }"); }),
              HasSubstr("defined twice"));
  EXPECT_THAT(message_of([] { parse("graph \"g\" { const %c: f32[1] = @0 output %c }"); }),
              HasSubstr("no blob"));
  EXPECT_THAT(message_of([] { parse("graph \"g\" { %y = Relu (%x) output %y }"); }),
              HasSubstr("used before it is defined"));
}

TEST(Text, TruncationNeverCrashes) {
  const std::string text = kText;
  for (size_t n = 0; n + 2 < text.size(); ++n) EXPECT_THROW(parse(text.substr(0, n)), Error) << n;
}

TEST(GraphTest, OrderFollowsDataNotIds) {
  Graph graph;
  const ValueId x = graph.add_input("x", {});
  const ValueId a = graph.add("Relu", "a", {x});
  const ValueId b = graph.add("Neg", "b", {x});
  graph.set_input(0, 0, b);  // a now reads b
  graph.add_output(a);
  EXPECT_THAT(graph.topological_order(), ElementsAre(1, 0));
  graph.set_input(1, 0, a);
  EXPECT_THAT(message_of([&] { graph.topological_order(); }), HasSubstr("cycle"));
}

TEST(GraphTest, DeadNodesAndConstantsGo) {
  Graph graph;
  const ValueId x = graph.add_input("x", {});
  const ValueId c = graph.add_constant("c", Tensor::vector<float>({1}));
  const ValueId kept = graph.add("Relu", "kept", {x});
  graph.add("Neg", "dead2", {graph.add("Add", "dead1", {x, c})});
  graph.add_output(kept);
  EXPECT_EQ(graph.erase_dead(), 2u);
  EXPECT_EQ(graph.find_value("c"), kNone);
  EXPECT_EQ(graph.find_node("dead1"), kNone);
  EXPECT_EQ(graph.node_count(), 1u);
}

TEST(Verify, NamesTheNodeAtFault) {
  const OpTable ops = toy_ops();
  const auto verify_text = [&](const char* text) { return message_of([&] { verify(parse(text), ops); }); };
  EXPECT_EQ(verify_text("graph \"g\" { input %x: f32[1] %y = Relux \"r\" (%x) output %y }"),
            "node 'r': operator Relux is not supported (nearest: Relu, Neg, Add)");
  EXPECT_EQ(verify_text("graph \"g\" { input %x: f32[1] %y = Add \"r\" (%x) output %y }"),
            "Add 'r' has 1 inputs, the operator takes 2");
  EXPECT_EQ(verify_text("graph \"g\" { input %x: f32[1] %y = Neg \"r\" (%x) {beta = 1.0} output %y }"),
            "Neg 'r' has an unknown attribute 'beta' (nearest: alpha)");
  EXPECT_EQ(verify_text("graph \"g\" { input %x: f32[1] %y = Neg \"r\" (%x) {alpha = 1} output %y }"),
            "Neg 'r': attribute 'alpha' is of the wrong kind");
}

TEST(VerifyQdq, RefusesWhatCannotBeAQuantization) {
  const auto check = [](const std::string& scale, const std::string& zero_point) {
    const std::string text = "graph \"g\" { input %x: f32[1,3] const %s: f32" + scale + " const %z: i8" +
                             zero_point + " %y = QuantizeLinear \"q\" (%x, %s, %z) {axis = 1} output %y }";
    return message_of([&] { verify_qdq(parse(text)); });
  };
  EXPECT_EQ(check("[] = {0.5}", "[] = {0}"), "no error");
  EXPECT_THAT(check("[] = {0.0}", "[] = {0}"), HasSubstr("positive and finite"));
  EXPECT_THAT(check("[] = {inf}", "[] = {0}"), HasSubstr("positive and finite"));
  EXPECT_THAT(check("[2] = {1.0, 1.0}", "[2] = {0, 0}"), HasSubstr("2 scales for 3 channels"));
  EXPECT_THAT(check("[3] = {1.0, 1.0, 1.0}", "[2] = {0, 0}"), HasSubstr("the zero point has shape 2"));
}

TEST(Interpreter, RunsShowsAndChecks) {
  const OpTable ops = toy_ops();
  const Graph graph = parse(kText);
  Interpreter interpreter(graph, ops);
  interpreter.watch({"y"});
  std::vector<std::string> seen;
  const Tensor x = Tensor::of<float>({1, 2}, {1, 1});
  const Graph flat = parse(
      "graph \"g\" { input %x: f32[2] const %c: f32[2] = {1.5, -2.0} %y = Add (%x, %c) %z = Relu (%y) output "
      "%z }");
  Interpreter run(flat, ops);
  run.watch({"y"});
  const std::vector<Tensor> out =
      run.run(std::vector{Tensor::vector<float>({1, 1})}, [&](const std::string& name, const Tensor& t) {
        seen.push_back(name);
        EXPECT_THAT(t.data<float>(), ElementsAre(2.5f, -1.0f));
      });
  EXPECT_THAT(out[0].data<float>(), ElementsAre(2.5f, 0.0f));
  EXPECT_THAT(seen, ElementsAre("y"));
  EXPECT_THAT(message_of([&] { run.watch({"yy"}); }), HasSubstr("no tensor 'yy' (nearest: y"));
  EXPECT_EQ(message_of([&] {
              interpreter.run(std::vector{Tensor::of<float>({1, 3}, {1, 2, 3})});
            }),
            "input 'x' takes shape ?x2, got 1x3");
  EXPECT_EQ(message_of([&] { interpreter.run({}); }), "the model takes 1 inputs, got 0");
}

TEST(Patterns, MatchOptionalPartsAndEitherOrder) {
  const Graph graph = parse(R"(graph "g" { input %x: f32[1] const %c: f32[1] = {1.0}
    %a = Add "a" (%c, %x) %r = Relu "r" (%a) %n = Neg "n" (%r) output %n })");
  const Pattern sum = op("Add", {any("x"), constant("c")});
  const auto m = match(graph, graph.find_node("n"), op("Neg", {maybe("Relu|Clip", sum.as("sum"))}));
  ASSERT_TRUE(m);
  EXPECT_EQ(graph.value((*m)["x"]).name, "x");
  EXPECT_EQ(m->nodes.size(), 3u);
  EXPECT_FALSE(match(graph, graph.find_node("a"), op("Add", {constant("p"), constant("q")})));
}

TEST(Patterns, AValueWithOtherUsersIsNotFused) {
  const Graph graph = parse(R"(graph "g" { input %x: f32[1]
    %r = Relu "r" (%x) %n = Neg "n" (%r) %m = Neg "m" (%r) output %n output %m })");
  EXPECT_FALSE(match(graph, graph.find_node("n"), op("Neg", {op("Relu")})));
  EXPECT_TRUE(match(graph, graph.find_node("n"), op("Neg", {op("Relu").shared()})));
}

Rule drop_double_neg() {
  return {.name = "drop-double-neg",
          .pattern = op("Neg", {op("Neg", {any("x")})}),
          .rewrite = [](const Match& m, Patch& patch) {
            patch.replace_root(m["x"]);
            return true;
          }};
}

TEST(Rules, RewriteToAFixpointAndKeepSources) {
  const OpTable ops = toy_ops();
  Graph graph = parse(R"(graph "g" { input %x: f32[1]
    %a = Neg "a" (%x) %b = Neg "b" (%a) %c = Neg "c" (%b) %d = Neg "d" (%c) %e = Relu "e" (%d) output %e })");
  const Pass pass = pass_of(drop_double_neg(), "neg(neg(x)) => x");
  int checked = 0;
  PassOptions options{.skip = {}, .check = [&](const Pass&, const Graph& before, const Graph& after) {
                        ++checked;
                        const std::vector<Tensor> in = {Tensor::vector<float>({-3})};
                        EXPECT_EQ(evaluate(before, ops, in), evaluate(after, ops, in));
                      }};
  const auto records = run_passes(graph, ops, std::span(&pass, 1), options);
  EXPECT_EQ(records[0].changes, 2u);
  EXPECT_EQ(checked, 1);
  EXPECT_EQ(graph.node_count(), 1u);
}

TEST(Rules, ADeclinedRewriteLeavesNoTrace) {
  Graph graph = parse("graph \"g\" { input %x: f32[1] %a = Neg \"a\" (%x) output %a }");
  const std::string before = print(graph);
  const Rule rule{
      .name = "never", .pattern = op("Neg", {any("x")}), .rewrite = [](const Match& m, Patch& patch) {
        patch.replace_root(patch.add("Relu", {m["x"]}));
        return false;
      }};
  EXPECT_EQ(apply(graph, rule), 0u);
  EXPECT_EQ(print(graph), before);
}

TEST(Rules, AReplacementTakesTheNamesOfWhatItReplaces) {
  Graph graph = parse("graph \"g\" { input %x: f32[1] %a = Neg \"a\" (%x) output %a }");
  const Rule rule{
      .name = "neg-to-relu", .pattern = op("Neg", {any("x")}), .rewrite = [](const Match& m, Patch& patch) {
        patch.replace_root(patch.add("Relu", {m["x"]}));
        return true;
      }};
  EXPECT_EQ(apply(graph, rule), 1u);
  const Node& node = graph.node(graph.find_node("a"));
  EXPECT_EQ(node.op, "Relu");
  EXPECT_THAT(node.sources, ElementsAre("a"));
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "a");
}

TEST(Passes, SkippingAnUnknownPassIsRefused) {
  Graph graph = parse("graph \"g\" { input %x: f32[1] output %x }");
  const Pass pass = pass_of(drop_double_neg(), "");
  EXPECT_THAT(message_of([&] {
                run_passes(graph, toy_ops(), std::span(&pass, 1), {.skip = {"drop-neg"}, .check = {}});
              }),
              HasSubstr("no pass 'drop-neg' (nearest: drop-double-neg)"));
}

TEST(Passes, ABrokenGraphAfterAPassIsOurBug) {
  Graph graph = parse("graph \"g\" { input %x: f32[1] %a = Neg \"a\" (%x) output %a }");
  const Pass pass{.name = "break", .summary = "", .run = [](Graph& g, const OpTable&) {
                    g.set_op(0, "Nonsense");
                    return size_t{1};
                  }};
  EXPECT_THROW(run_passes(graph, toy_ops(), std::span(&pass, 1)), Bug);
}

TEST(Infer, BindsShapesAndRefusesOthers) {
  const OpTable ops = toy_ops();
  Graph graph = parse(kText);
  EXPECT_EQ(batched_shape(graph, 0, 8), (Shape{8, 2}));
  bind_shapes(graph, ops, {{"x", {8, 2}}});
  EXPECT_EQ(*graph.value(graph.outputs()[0]).type.shape, (Shape{8, 2}));
  EXPECT_EQ(message_of([&] {
              bind_shapes(graph, ops, {{"x", {8, 3}}});
            }),
            "input 'x' takes shape 8x2, not 8x3");
  EXPECT_EQ(message_of([&] { bind_shapes(graph, ops, {{"z", {8}}}); }), "the model has no input 'z'");
}

TEST(Fold, ConstantsCollapseAndKeepTheirName) {
  const OpTable ops = toy_ops();
  Graph graph = parse(R"(graph "g" { input %x: f32[2] const %c: f32[2] = {1.0, -2.0}
    %n = Neg "n" (%c) %m = Relu "m" (%n) %y = Add "y" (%x, %m) output %y })");
  EXPECT_EQ(fold_constants(graph, ops), 2u);
  EXPECT_EQ(graph.node_count(), 1u);
  EXPECT_THAT(graph.constant(graph.find_value("m"))->data<float>(), ElementsAre(0, 2));
}

// A graph output stays a node's result; folding must not find it new work for ever.
TEST(Fold, EndsAtConstantOutputs) {
  const OpTable ops = toy_ops();
  Graph graph = parse(R"(graph "g" { input %x: f32[2] const %c: f32[2] = {1.0, -2.0}
    %n = Neg "n" (%c) %y = Add "y" (%x, %n) output %n output %y })");
  EXPECT_EQ(fold_constants(graph, ops), 1u);
  EXPECT_EQ(fold_constants(graph, ops), 0u);
  EXPECT_EQ(graph.node_count(), 2u);
  EXPECT_NE(graph.constant(graph.node(graph.find_node("y")).inputs[1]), nullptr);
}

}  // namespace
}  // namespace kvant::ir
