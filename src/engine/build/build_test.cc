// SPDX-License-Identifier: Apache-2.0
// Why layers stay in float, and what build() refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/passes/networks_test.h"
#include "engine/run/evaluating_backend_test.h"
#include "engine/run/executor.h"

namespace kvant::engine {
namespace {

using testing::HasSubstr;

// The reason of the node that `name` became.
std::string reason(const std::string& text, const std::string& name) {
  const ir::Graph lowered = lower(typed(text), ops::standard(), {});
  const ir::NodeId id = lowered.find_node(name);
  return id == ir::kNone ? "there is no node " + name + " in\n" + ir::print(lowered)
                         : lowered.node(id).reason;
}

TEST(Reasons, OfFloatConvolutionsAndProducts) {
  EXPECT_EQ(reason(graph_text(pair("x", 0.02f) + conv("c", "x_dq", {.quantized = false}), "c"), "c"),
            "float: its weight is not quantized");
  EXPECT_EQ(reason(graph_text(conv("c", "x", {}), "c"), "c"), "float: its input is not quantized");
  EXPECT_EQ(reason(graph_text(conv("c", "x", {.quantized = false}), "c"), "c"), "float: it is not quantized");
  const std::string volume =
      "const %w: i8[8,8,1] = rand(1) const %s: f32[] = {0.01}\n%wd = DequantizeLinear \"wDQ\" (%w, %s)\n"
      "%c = Conv \"c\" (%x_dq, %wd)\n";
  EXPECT_EQ(reason(graph_text(pair("x", 0.02f) + volume, "c", "f32[1,8,5]"), "c"),
            "float: only 2-D convolutions have an integer kernel");
  const auto gemm = [](const std::string& type, const std::string& zero, const std::string& attributes) {
    return graph_text(
        pair("x", 0.02f) + "const %w: " + type +
            "[8,8] = rand(1) const %s: f32[8] = fill(0.01) const %z: " + type + "[8] = " + zero +
            "\n%wd = DequantizeLinear \"wDQ\" (%w, %s, %z) {axis = 1}\n%y = Gemm \"g\" (%x_dq, %wd) {" +
            attributes + "}\n",
        "y", "f32[8,8]");
  };
  EXPECT_EQ(reason(gemm("i8", "fill(0)", "transA = 1"), "g"),
            "float: transA and alpha have no integer kernel");
  EXPECT_EQ(reason(gemm("i8", "fill(0)", "transB = 1"), "g"),
            "float: its weight is scaled along axis 1, which is summed over");
  EXPECT_THAT(reason(gemm("i8", "fill(100)", ""), "g"), HasSubstr("do not fit i8"));
  EXPECT_EQ(reason(gemm("i8", "fill(0)", ""), "g"), "") << "this one is integer";
}

TEST(Reasons, OfQuantizersThatStayed) {
  const std::string text =
      graph_text(pair("x", 0.02f) + unary("s", "LogSoftmax", "x_dq") + pair("s", 0.01f), "s_dq");
  EXPECT_EQ(reason(text, "x_Q"), "quantizes a float input of the network");
  EXPECT_EQ(reason(text, "x_DQ"), "separate: LogSoftmax after it runs in float");
  EXPECT_EQ(reason(text, "s_Q"), "separate: LogSoftmax before it has no kernel that writes codes");
  EXPECT_EQ(reason(text, "s_DQ"), "makes a float output of the network");
  const std::string twice =
      graph_text(unary("r", "LogSoftmax", "x") + pair("r", 0.02f) + binary("m", "Mul", "r", "r_dq"), "m");
  EXPECT_EQ(reason(twice, "r_Q"), "separate: what it quantizes is read in float too");
}

// Every node outside the integer region of every network says why.
TEST(Reasons, AreThereForEveryQuantizerLeft) {
  for (const Network& network : networks()) {
    const ir::Graph lowered = lower(typed(network.text), ops::standard(), {});
    for (const ir::NodeId id : lowered.topological_order()) {
      const ir::Node& node = lowered.node(id);
      if (node.op != "QuantizeLinear" && node.op != "DequantizeLinear") continue;
      EXPECT_NE(node.reason, "") << network.name << ": " << node.name;
    }
  }
}

class RefusingBackend final : public Backend {
 public:
  std::string_view name() const override { return "refusing"; }
  std::vector<std::string> tactics(const NodeView&, std::string& why) const override {
    why = "refusing: never";
    return {};
  }
  std::vector<Tensor> pack(const NodeView&, std::string_view) const override { return {}; }
  std::unique_ptr<Step> load(const NodeView&, std::string_view, std::vector<Tensor>) const override {
    fail("never");
  }
};

std::string refusal(const std::string& text, const std::vector<const Backend*>& backends,
                    const BuildOptions& options = {}) {
  try {
    build(ir::parse(text), ops::standard(), backends, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Building, FallsBackNodeByNodeAndSaysWhy) {
  const RefusingBackend refusing;
  const EvaluatingBackend evaluating;
  const std::string text = graph_text(unary("r", "Relu", "x"), "r");
  const Plan plan = build(typed(text), ops::standard(), std::vector<const Backend*>{&refusing, &evaluating});
  ASSERT_EQ(plan.steps.size(), 1u);
  EXPECT_EQ(plan.steps[0].backend, "evaluating");
  EXPECT_EQ(plan.steps[0].fallback, "refusing: never");
  EXPECT_EQ(refusal(text, {&refusing}), "no backend can run Relu 'r' (refusing: never)");
}

TEST(Building, RefusesShapesThatAreNotFixed) {
  const EvaluatingBackend backend;
  const std::string text = graph_text(unary("r", "Relu", "x"), "r", "f32[N,3,H,W]");
  EXPECT_THAT(refusal(text, {&backend}), HasSubstr("'x'"));
  EXPECT_EQ(refusal(text, {&backend}, {.shapes = {{"x", {2, 3, 4, 4}}}}), "");
  EXPECT_THAT(refusal(text, {&backend}, {.shapes = {{"x", {2, 4, 4, 4}}}}), HasSubstr("'x'"));
  EXPECT_THAT(refusal(text, {&backend}, {.shapes = {{"x", {2, 3, 4, 4}}, {"z", {2, 3, 4, 4}}}}),
              HasSubstr("'z'"));
  EXPECT_THAT(refusal(graph_text(unary("n", "NonZero", "x"), "n"), {&backend}),
              HasSubstr("the shape of 'n' depends on the data; an engine needs fixed shapes"));
}

TEST(Building, RefusesBatchesThatMakeNoSense) {
  const EvaluatingBackend backend;
  const std::vector<const Backend*> backends{&backend};
  const std::string text = graph_text(unary("r", "Relu", "x") + unary("y", "Neg", "r"), "y", "f32[N,3,4,4]");
  EXPECT_THAT(refusal(text, backends, {.batch = 0}), HasSubstr("a batch of 0: give 1 or more"));
  EXPECT_THAT(refusal(text, backends, {.batch = -7}), HasSubstr("a batch of -7"));
  EXPECT_THAT(refusal(text, backends, {.batch = int64_t{1} << 44}), HasSubstr("is too large"));
  EXPECT_THAT(refusal(text, backends, {.batch = int64_t{1} << 61}), HasSubstr("is too large"));
}

TEST(Building, RefusesInputsThatAreNotThePlans) {
  const EvaluatingBackend backend;
  const std::vector<const Backend*> backends{&backend};
  Engine engine(
      build(ir::parse(graph_text(unary("r", "Relu", "x"), "r", "f32[N,3]")), ops::standard(), backends),
      backends);
  const auto said = [&](std::vector<Tensor> inputs) -> std::string {
    try {
      engine.run(inputs);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(said({Tensor(DType::Float32, {1, 3})}), "");
  EXPECT_EQ(said({}), "the plan takes 1 inputs, not 0");
  EXPECT_EQ(said({Tensor(DType::Float32, {2, 3})}),
            "input 'x' of the plan takes f32 1x3, not f32 2x3: build a plan for that shape");
  EXPECT_EQ(said({Tensor(DType::Float32, {0, 3})}),
            "input 'x' of the plan takes f32 1x3, not f32 0x3: build a plan for that shape");
  EXPECT_EQ(said({Tensor(DType::UInt8, {1, 3})}),
            "input 'x' of the plan takes f32 1x3, not u8 1x3: build a plan for that shape");
}

// Two equal nodes may become one: both names are still found.
TEST(Building, KeepsTheNamesOfEqualNodesThatAreWatched) {
  const EvaluatingBackend backend;
  const std::vector<const Backend*> backends{&backend};
  const std::string nodes = unary("a", "Relu", "x") + unary("b", "Relu", "x") + binary("s", "Add", "a", "b");
  Plan plan = build(typed(graph_text(nodes, "s")), ops::standard(), backends, {.watch = {"a", "b"}});
  Engine engine(std::move(plan), backends);
  engine.watch({"a", "b"});
  EXPECT_THAT(engine.watchable(), testing::IsSupersetOf({"a", "b"}));
}

// Chains of blocks with shortcuts: the arena is hardly more than what must be there at once.
TEST(Building, TakesLittleMoreMemoryThanIsAliveAtOnce) {
  std::string text = unary("a0", "Relu", "x");
  for (int i = 0; i < 6; ++i) {
    const std::string a = "a" + std::to_string(i), b = "b" + std::to_string(i),
                      c = "a" + std::to_string(i + 1);
    text += unary(b, "Relu", a) + binary(c, "Add", a, b);
  }
  const EvaluatingBackend backend;
  const Plan plan = build(typed(graph_text(text + unary("y", "Softmax", "a6"), "y")), ops::standard(),
                          std::vector<const Backend*>{&backend});
  std::vector<size_t> alive(plan.steps.size(), 0);
  for (const auto& [id, range] : live_ranges(plan)) {
    for (size_t i = range.first; i <= range.last; ++i) alive[i] += value_bytes(plan.graph, id);
  }
  EXPECT_GT(plan.arena_bytes, 0u);
  EXPECT_LE(static_cast<double>(plan.arena_bytes), 1.2 * static_cast<double>(std::ranges::max(alive)));
}

TEST(Building, RefusesUnknownNames) {
  const EvaluatingBackend backend;
  const std::string text = graph_text(unary("r", "Relu", "x"), "r");
  EXPECT_THAT(refusal(text, {&backend}, {.watch = {"rr"}}), HasSubstr("the model holds no tensor 'rr'"));
  EXPECT_THAT(refusal(text, {&backend}, {.skip = {"fuse-weigthed"}}),
              HasSubstr("there is no pass 'fuse-weigthed'"));
}

}  // namespace
}  // namespace kvant::engine
