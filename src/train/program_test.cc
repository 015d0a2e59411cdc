// SPDX-License-Identifier: Apache-2.0
#include "train/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "ir/text.h"
#include "train/roles.h"

namespace kvant::train {
namespace {

using testing::HasSubstr;

// Stands for the plug-in: knows every operator but one.
const kvant_train_api& anything() {
  static const kvant_train_api api = [] {
    kvant_train_api a{};
    a.supports = [](const char* op) { return std::strcmp(op, "NonMaxSuppression") == 0 ? 0 : 1; };
    return a;
  }();
  return api;
}

std::vector<std::string> operators(const Program& program) {
  std::vector<std::string> names;
  for (int32_t i = 0; i < program.border().node_count; ++i) names.push_back(program.border().nodes[i].op);
  return names;
}

std::string refusal(const std::string& text, ProgramOptions options = {}) {
  try {
    const ir::Graph graph = ir::parse(text);
    const Program program(graph, options, anything());
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

constexpr const char* kQuantized = R"(graph "q" {
  input %x: f32[2,3]
  const %w: f32[4,3] = rand(1)
  const %b: f32[4] = rand(2)
  const %xs: f32[] = {0.1}
  const %xz: i8[] = {0}
  const %ws: f32[4] = {0.01, 0.02, 0.03, 0.04}
  const %wz: i8[4] = {0, 0, 0, 0}
  %xq = QuantizeLinear "xq" (%x, %xs, %xz)
  %xd = DequantizeLinear "xd" (%xq, %xs, %xz)
  %wq = QuantizeLinear "wq" (%w, %ws, %wz) {axis = 0}
  %wd = DequantizeLinear "wd" (%wq, %ws, %wz) {axis = 0}
  %y = Gemm "fc" (%xd, %wd, %b) {transB = 1}
  %p = Softmax "sm" (%y) {axis = -1}
  output %p
})";

TEST(Program, PairsBecomeFakeQuantizeAndTheLastSoftmaxIsLeftOutInTraining) {
  const ir::Graph graph = ir::parse(kQuantized);
  const Program as_it_is(graph, {}, anything());
  EXPECT_THAT(operators(as_it_is), testing::ElementsAre("FakeQuantize", "FakeQuantize", "Gemm", "Softmax"));
  EXPECT_TRUE(as_it_is.slots().empty() || as_it_is.slots()[0].role == KVANT_TRAIN_FIXED);
  const Program trained(graph, {.training = true, .ranges = Ranges::Fixed, .extra_outputs = {}}, anything());
  EXPECT_THAT(operators(trained), testing::ElementsAre("FakeQuantize", "FakeQuantize", "Gemm"));
  std::vector<int> roles;
  for (const Slot& slot : trained.slots()) roles.push_back(slot.role);
  EXPECT_THAT(roles,
              testing::UnorderedElementsAre(KVANT_TRAIN_WEIGHT, KVANT_TRAIN_SCALE, KVANT_TRAIN_PARAMETER));
}

TEST(Program, LearnedRangesTrainEveryScale) {
  const ir::Graph graph = ir::parse(kQuantized);
  const Program program(graph, {.training = true, .ranges = Ranges::Learned, .extra_outputs = {}},
                        anything());
  int learned = 0;
  for (const Slot& slot : program.slots()) learned += slot.role == KVANT_TRAIN_LEARNED;
  EXPECT_EQ(learned, 2);
}

// Attribute `name` of each FakeQuantize, by the node's name; 0 where it has none.
std::map<std::string, int64_t> attribute_of(const Program& program, const std::string& name) {
  std::map<std::string, int64_t> result;
  for (int32_t i = 0; i < program.border().node_count; ++i) {
    const kvant_train_node& node = program.border().nodes[i];
    if (std::string(node.op) != "FakeQuantize") continue;
    int64_t& value = result[node.name];
    for (int32_t a = 0; a < node.attribute_count; ++a) {
      if (name == node.attributes[a].name) value = node.attributes[a].integer;
    }
  }
  return result;
}

TEST(Program, EachRangeModeSaysHowScalesChange) {
  using Modes = std::map<std::string, int64_t>;
  struct Expected {
    Ranges ranges;
    int64_t follow, track;
  };
  const ir::Graph graph = ir::parse(kQuantized);
  for (const Expected& e : {Expected{Ranges::Fixed, 1, 0}, Expected{Ranges::Last, 2, 1},
                            Expected{Ranges::Average, 1, 2}, Expected{Ranges::Learned, 0, 0}}) {
    const Program program(graph, {.training = true, .ranges = e.ranges, .extra_outputs = {}}, anything());
    EXPECT_EQ(attribute_of(program, "follow"), (Modes{{"xq", 0}, {"wq", e.follow}}));
    EXPECT_EQ(attribute_of(program, "track"), (Modes{{"xq", e.track}, {"wq", 0}}));
    EXPECT_EQ(attribute_of(program, "activation"), (Modes{{"xq", 1}, {"wq", 0}}));
    int scales = 0;
    for (const Slot& slot : program.slots()) scales += slot.constant == ir::kNone;
    EXPECT_EQ(scales, e.ranges == Ranges::Fixed ? 1 : 2) << "what changes is part of the state";
  }
}

TEST(Program, RangeModesHaveNames) {
  for (size_t i = 0; i < ranges_names().size(); ++i)
    EXPECT_EQ(ranges_named(ranges_names()[i]), static_cast<Ranges>(i));
  EXPECT_EQ(ranges_named("learned"), Ranges::Learned);
  try {
    ranges_named("lerned");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("there is no range mode 'lerned' (nearest: learned"));
  }
}

TEST(Program, ASoftmaxBeforeAFlattenIsLeftOutToo) {
  const ir::Graph graph = ir::parse(R"(graph "g" { input %x: f32[2,3,1,1]
    %s = Softmax "sm" (%x) {axis = 1}  %y = Flatten "flat" (%s)  output %y })");
  EXPECT_THAT(operators(Program(graph, {}, anything())), testing::ElementsAre("Softmax", "Flatten"));
  EXPECT_THAT(operators(Program(graph, {.logits = true, .extra_outputs = {}}, anything())),
              testing::ElementsAre("Identity", "Flatten"));
  // One that others read is part of the model.
  const ir::Graph read = ir::parse(R"(graph "g" { input %x: f32[2,3,1,1]
    %s = Softmax "sm" (%x) {axis = 1}  %y = Flatten "flat" (%s)  output %y output %s })");
  EXPECT_THAT(operators(Program(read, {.logits = true, .extra_outputs = {}}, anything())),
              testing::ElementsAre("Softmax", "Flatten"));
}

TEST(Program, ATensorAttributeBecomesAnInput) {
  const ir::Graph graph = ir::parse(R"(graph "g" { input %s: i64[2]
    %y = ConstantOfShape "c" (%s) {value = f32[1] {2.5}}  output %y })");
  const Program program(graph, {}, anything());
  ASSERT_EQ(program.border().nodes[0].input_count, 2);
  ASSERT_EQ(program.border().constant_count, 1);
  EXPECT_EQ(program.border().constants[0].value, program.border().nodes[0].inputs[1]);
  EXPECT_EQ(*static_cast<const float*>(program.border().constants[0].tensor.data), 2.5f);
}

TEST(Program, WritesTrainedValuesBack) {
  ir::Graph graph = ir::parse(kQuantized);
  const Program program(graph, {.training = true, .ranges = Ranges::Learned, .extra_outputs = {}},
                        anything());
  std::vector<std::vector<float>> values;
  for (const Slot& slot : program.slots()) {
    values.emplace_back(static_cast<size_t>(element_count(slot.shape)),
                        slot.constant == ir::kNone ? 0.25f : 100.0f);
  }
  program.write_back(graph, values);
  const auto weight = ir::quantized_behind(graph, graph.find_value("wd"));
  ASSERT_TRUE(weight.has_value());
  EXPECT_EQ(weight->params.scale, (std::vector<float>(4, 0.25f)));
  // 100 would be code 400: it moves to the edge of the codes.
  EXPECT_EQ(graph.constant(weight->source)->data<float>()[0], 127 * 0.25f);
  EXPECT_EQ(graph.constant(graph.find_value("b"))->data<float>()[0], 100.0f);
  EXPECT_EQ(ir::quantized_behind(graph, graph.find_value("xd"))->params.scale[0], 0.25f);
}

// A scale that follows less than the maximum, or that was frozen: int8 would give the code -128, with which
// nobody trained.
TEST(Program, WeightsOutsideTheirCodesMoveToTheEdgeInEveryMode) {
  for (const Ranges ranges : {Ranges::Fixed, Ranges::Average}) {
    ir::Graph graph = ir::parse(kQuantized);
    const Program program(graph, {.training = true, .ranges = ranges, .extra_outputs = {}}, anything());
    std::vector<std::vector<float>> values;
    for (const Slot& slot : program.slots()) {
      values.emplace_back(static_cast<size_t>(element_count(slot.shape)),
                          slot.constant == ir::kNone ? 0.25f : -50.0f);
      if (slot.constant == graph.find_value("w")) values.back()[1] = 31.8f;  // code 127.2: rounds to 127
    }
    program.write_back(graph, values);
    const auto weight = ir::quantized_behind(graph, graph.find_value("wd"));
    const std::span<const float> w = graph.constant(weight->source)->data<float>();
    EXPECT_EQ(w[0], -127 * 0.25f);
    EXPECT_EQ(w[1], 31.8f);
  }
}

TEST(Program, NarrowCodesKeepTheirRangeAndTheirClipFollowsTheScale) {
  ir::Graph graph = ir::parse(R"(graph "q4" {
    input %x: f32[2,3]
    const %w: f32[3,4] = rand(1)
    %y = MatMul "fc" (%x, %w)
    output %y
  })");
  const ir::ValueId x = graph.find_value("x");
  const ir::Quantized pair =
      ir::add_pair(graph, x, {.dtype = DType::Int8, .scale = {0.5f}, .zero_point = {}}, 4);
  graph.set_input(graph.find_node("fc"), 0, pair.result);
  const Program program(graph, {.training = true, .ranges = Ranges::Learned, .extra_outputs = {}},
                        anything());
  EXPECT_THAT(operators(program), testing::ElementsAre("FakeQuantize", "MatMul"));
  const kvant_train_node& node = program.border().nodes[0];
  for (int32_t i = 0; i < node.attribute_count; ++i) {
    const std::string name = node.attributes[i].name;
    if (name == "low" || name == "high") {
      EXPECT_EQ(node.attributes[i].integers[0], name == "low" ? -7 : 7);
    }
  }
  std::vector<std::vector<float>> values;
  for (const Slot& slot : program.slots()) {
    values.emplace_back(static_cast<size_t>(element_count(slot.shape)), 0.125f);
  }
  program.write_back(graph, values);
  const auto after = ir::quantized_behind(graph, pair.result);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->range, (IntRange{-7, 7}));
  EXPECT_EQ(after->params.scale[0], 0.125f);
}

TEST(Program, RefusesWithTheNode) {
  EXPECT_THAT(refusal(R"(graph "g" { input %x: f32[2]  %y = NonMaxSuppression "nms" (%x)  output %y })"),
              HasSubstr("node 'nms' (NonMaxSuppression): the training plug-in does not know this operator"));
  EXPECT_THAT(refusal(R"(graph "g" { input %x: f32[2]
    const %s: f32[] = {0.1}  const %z: i8[] = {0}
    %q = QuantizeLinear "q" (%x, %s, %z)  output %q })"),
              HasSubstr("node 'q' (QuantizeLinear): training cannot run on integer codes"));
  EXPECT_THAT(refusal(R"(graph "g" { input %x: i8[2]
    const %s: f32[] = {0.1}  const %z: i8[] = {0}
    %y = DequantizeLinear "d" (%x, %s, %z)  output %y })"),
              HasSubstr("node 'd' (DequantizeLinear): training needs its scale constant"));
  EXPECT_THAT(refusal(R"(graph "g" { input %x: f32[2]  const %c: f16[2] = {1, 2}
    %y = Add "a" (%x, %c)  output %y })"),
              HasSubstr("the constant 'c' is f16; convert the model to float32 first"));
}

TEST(Program, IntegerConstantsUnfoldToTheSameCodes) {
  ir::Graph graph = ir::parse(R"(graph "g" {
    input %x: f32[2,3]
    const %wc: i8[3,2] = {1, -2, 3, -128, 127, 6}
    const %bc: i32[2] = {1000, -2000}
    const %s: f32[] = {0.03}
    const %z: i8[] = {0}
    const %bs: f32[] = {0.001}
    %w = DequantizeLinear "wd" (%wc, %s, %z)
    %b = DequantizeLinear "bd" (%bc, %bs, _)
    %m = MatMul "mm" (%x, %w)
    %y = Add "add" (%m, %b)
    output %y
  })");
  const Tensor codes = *graph.constant(graph.find_value("wc"));
  EXPECT_EQ(unfold_integer_constants(graph), 2u);
  const auto pair = ir::quantized_behind(graph, graph.find_value("w"));
  ASSERT_TRUE(pair.has_value());
  EXPECT_EQ(quantize(*graph.constant(pair->source), pair->params), codes);
  EXPECT_EQ(graph.find_node("bd"), ir::kNone);
  const auto roles = trained_constants(graph, {graph.outputs().begin(), graph.outputs().end()});
  EXPECT_EQ(roles.size(), 2u);
}

TEST(Roles, PreprocessingAndScalarsStayFixed) {
  const ir::Graph graph = ir::parse(R"(graph "g" {
    input %x: f32[1,3,4,4]
    const %mean: f32[1,3,1,1] = {1, 2, 3}
    const %w: f32[2,3,1,1] = rand(1)
    const %k: f32[] = {3}
    const %g: f32[2,1,1] = {1, 1}
    const %one: f32[2] = {1, 1}
    %c = Sub "center" (%x, %mean)
    %m0 = Mul "before" (%c, %mean)
    %y = Conv "conv" (%m0, %w)
    %n = BatchNormalization "bn" (%y, %one, %one, %one, %one)
    %a = Add "hswish" (%n, %k)
    %z = Mul "gain" (%a, %g)
    output %z
  })");
  const auto roles = trained_constants(graph, {graph.outputs().begin(), graph.outputs().end()});
  EXPECT_FALSE(roles.contains(graph.find_value("mean")));
  EXPECT_FALSE(roles.contains(graph.find_value("k")));
  EXPECT_EQ(roles.at(graph.find_value("w")), KVANT_TRAIN_WEIGHT);
  EXPECT_EQ(roles.at(graph.find_value("g")), KVANT_TRAIN_PARAMETER);
}

TEST(Roles, TokensAndPositionsOfATransformerAreTrained) {
  const ir::Graph graph = ir::parse(R"(graph "g" {
    input %x: f32[2,5,8]
    const %w: f32[8,8] = rand(1)
    const %token: f32[1,1,8] = rand(2)
    const %shape: i64[3] = {2, 1, 8}
    const %positions: f32[1,6,8] = rand(3)
    %m = MatMul "embed" (%x, %w)
    %t = Expand "all" (%token, %shape)
    %c = Concat "with_token" (%t, %m) {axis = 1}
    %y = Add "position" (%c, %positions)
    output %y
  })");
  const auto roles = trained_constants(graph, {graph.outputs().begin(), graph.outputs().end()});
  EXPECT_EQ(roles.size(), 3u);
  EXPECT_EQ(roles.at(graph.find_value("token")), KVANT_TRAIN_PARAMETER);
  EXPECT_EQ(roles.at(graph.find_value("positions")), KVANT_TRAIN_PARAMETER);
}

}  // namespace
}  // namespace kvant::train
