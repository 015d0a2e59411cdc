// SPDX-License-Identifier: Apache-2.0
// Each finding on a graph that has it, and each fix as text before and after with both sides evaluated.
#include "quant/lint/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "quant/placement/insert.h"
#include "quant/placement/placement.h"
#include "quant/quantize.h"
#include "zoo/zoo.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr const char* kScales =
    "const %s: f32[] = {0.03} const %t: f32[] = {0.05} const %z: i8[] = {0}\n"
    "const %w: f32[16,16,1,1] = rand(1) const %ws: f32[] = {0.01}\n"
    "%wq = QuantizeLinear \"wq\" (%w, %ws, %z)\n%wd = DequantizeLinear \"wd\" (%wq, %ws, %z)\n";

std::string pair(const std::string& name, const std::string& x, const std::string& scale = "s") {
  return fmt::format(
      "%{0}q = QuantizeLinear \"{0}q\" (%{1}, %{2}, %z)\n%{0} = DequantizeLinear \"{0}\" (%{0}q, %{2}, %z)\n",
      name, x, scale);
}

// The network's input is the result of a Neg, so that its pair is no finding (L14).
ir::Graph graph_of(const std::string& body, const std::string& input = "f32[N,16,4,4]") {
  ir::Graph graph =
      ir::parse("graph \"g\" {\ninput %in: " + input + "\n%x = Neg \"neg\" (%in)\n" + kScales + body + "}\n");
  ir::infer_types(graph, ops::standard());
  graph.erase_dead();
  return graph;
}

std::vector<std::string> codes(const ir::Graph& graph) {
  std::vector<std::string> found;
  for (const Finding& finding : lint(graph)) found.push_back(finding.code + " " + finding.node);
  return found;
}

std::string outline(const ir::Graph& graph) {
  std::string text;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    text += graph.value(node.outputs[0]).name + " = " + node.op + "(" + graph.value(node.inputs[0]).name;
    const bool qdq = ir::is_quantize(node) || ir::is_dequantize(node);
    for (size_t i = 1; !qdq && i < node.inputs.size(); ++i) text += ", " + graph.value(node.inputs[i]).name;
    text += ")\n";
  }
  return text;
}

Tensor evaluate(const ir::Graph& graph) {
  Tensor x(DType::Float32, ir::batched_shape(graph, 0, 2));
  Random random(5);
  for (float& value : x.mutable_data<float>()) value = random.normal();
  return ir::evaluate(graph, ops::standard(), std::vector<Tensor>{x}).at(0);
}

std::map<std::string, int64_t> repair(ir::Graph& graph) { return fix_findings(graph, ops::standard()); }

TEST(Lint, AQuantizedNetworkHasOneFinding) {
  ir::Graph model = zoo::create("resnet8", {.input = {3, 16, 16}});
  prepare(model, ops::standard());
  const Sites sites = place(model);
  CalibrationTable table;
  for (const std::string& name : tensors_to_calibrate(sites)) table.ranges[name] = {-1, 1};
  ir::Graph graph = model;
  insert_pairs(graph, sites, table);
  ir::infer_types(graph, ops::standard());
  EXPECT_THAT(codes(graph), ElementsAre("L14 input_QuantizeLinear"));
  EXPECT_TRUE(repair(graph).empty());
}

TEST(Lint, L1ALoneWeightPairBecomesTheConstantItIs) {
  const ir::Graph before = graph_of("%y = Conv \"conv\" (%x, %wd)\noutput %y\n");
  EXPECT_THAT(codes(before), ElementsAre("L1 conv"));
  ir::Graph after = before;
  EXPECT_THAT(repair(after), ElementsAre(Pair("L1", 1)));
  EXPECT_EQ(outline(after), "x = Neg(in)\ny = Conv(x, wd_folded)\n");
  EXPECT_EQ(evaluate(after), evaluate(before));
  EXPECT_THAT(codes(graph_of(pair("d", "x") + "%y = Conv \"conv\" (%d, %w)\noutput %y\n")),
              ElementsAre("L1 conv"));
}

TEST(Lint, L2AForkedResult) {
  const std::string body = pair("d", "x") + "%c = Conv \"conv\" (%d, %wd)\n%r = Relu \"relu\" (%c)\n" +
                           pair("e", "r") +
                           "%c2 = Conv \"next\" (%e, %wd)\n%f = Neg \"float\" (%r)\noutput %c2\noutput %f\n";
  const ir::Graph graph = graph_of(body);
  EXPECT_THAT(codes(graph), ElementsAre("L2 conv"));
  EXPECT_THAT(lint(graph)[0].message, HasSubstr("read quantized and, by float, in float"));
}

TEST(Lint, L3AFloatShortcut) {
  const std::string head = pair("d", "x") + "%c = Conv \"conv\" (%d, %wd)\n";
  const std::string tail = pair("y", "a", "t") + "%o = Conv \"next\" (%y, %wd)\noutput %o\n";
  EXPECT_THAT(codes(graph_of(head + "%a = Add \"add\" (%c, %x)\n" + tail)), ElementsAre("L3 add"));
  EXPECT_THAT(codes(graph_of(head + "%a = Add \"add\" (%c, %d)\n" + tail)), ElementsAre());
}

TEST(Lint, L4APairBeforeTheActivationGoes) {
  const ir::Graph before =
      graph_of(pair("d", "x") + "%c = Conv \"conv\" (%d, %wd)\n" + pair("e", "c") +
               "%r = Relu \"relu\" (%e)\n" + pair("y", "r") + "%o = Conv \"next\" (%y, %wd)\noutput %o\n");
  EXPECT_THAT(codes(before), ElementsAre("L4 conv"));
  ir::Graph after = before;
  EXPECT_THAT(repair(after), ElementsAre(Pair("L4", 1)));
  EXPECT_THAT(outline(after), HasSubstr("r = Relu(c)\n"));
  EXPECT_EQ(evaluate(after), evaluate(before));
  // In onnxruntime's form that pair is what makes the convolution an integer kernel.
  ir::Graph ort = before;
  ort.metadata["kvant.target"] = "onnxruntime";
  EXPECT_THAT(codes(ort), ElementsAre());
  EXPECT_TRUE(repair(ort).empty());
}

TEST(Lint, L5AndL13OperatorsInFloatBetweenPairs) {
  EXPECT_THAT(codes(graph_of(pair("d", "x") + "%y = GlobalAveragePool \"pool\" (%d)\noutput %y\n")),
              ElementsAre("L5 pool"));
  EXPECT_THAT(
      codes(graph_of(pair("d", "x") + "%p = GlobalAveragePool \"pool\" (%d)\n%f = Flatten \"flat\" (%p)\n" +
                     pair("y", "f") + "output %y\n")),
      ElementsAre());
  EXPECT_THAT(codes(graph_of(pair("d", "x") + "%p = Softmax \"soft\" (%d)\n" + pair("e", "p") +
                             "%y = Conv \"conv\" (%e, %wd)\noutput %y\n")),
              testing::Contains("L13 soft"));
}

TEST(Lint, L6BranchesWithDifferentScales) {
  const std::string head = pair("d", "x");
  const auto concat = [&](const std::string& scale) {
    return graph_of(head + "%n = Neg \"other\" (%x)\n" + pair("e", "n", scale) +
                    "%c = Concat \"cat\" (%d, %e) {axis = 0}\n" + pair("y", "c") + "output %y\n");
  };
  EXPECT_THAT(codes(concat("t")), ElementsAre("L6 cat"));
  EXPECT_THAT(codes(concat("s")), ElementsAre());
}

TEST(Lint, L7EqualQuantizersBecomeOne) {
  const ir::Graph before =
      graph_of(pair("d", "x") + pair("e", "x") + "%a = Conv \"a\" (%d, %wd)\n%b = Conv \"b\" (%e, %wd)\n" +
               "%y = Sub \"sub\" (%a, %b)\noutput %y\n");
  EXPECT_THAT(codes(before), ElementsAre("L7 dq"));
  ir::Graph after = before;
  EXPECT_THAT(repair(after), ElementsAre(Pair("L7", 1)));
  EXPECT_THAT(outline(after), HasSubstr("d = DequantizeLinear(dq)\ne = DequantizeLinear(dq)\n"));
  EXPECT_EQ(evaluate(after), evaluate(before));
  EXPECT_THAT(codes(after), ElementsAre());
  // Of different scales nobody but the user can tell which is right.
  ir::Graph two = graph_of(pair("d", "x") + pair("e", "x", "t") +
                           "%a = Conv \"a\" (%d, %wd)\n%b = Conv \"b\" (%e, %wd)\n" +
                           "%y = Sub \"sub\" (%a, %b)\noutput %y\n");
  EXPECT_THAT(codes(two), ElementsAre("L7 dq"));
  EXPECT_TRUE(repair(two).empty());
}

TEST(Lint, L8APairForNobodyGoes) {
  const ir::Graph before = graph_of(pair("d", "x") + "%y = Softmax \"soft\" (%d)\noutput %y\n");
  EXPECT_THAT(codes(before), ElementsAre("L8 dq"));
  ir::Graph after = before;
  EXPECT_THAT(repair(after), ElementsAre(Pair("L8", 1)));
  EXPECT_EQ(outline(after), "x = Neg(in)\ny = Softmax(x)\n");
  EXPECT_LE(max_abs_difference(evaluate(after), evaluate(before)), 0.5);
}

TEST(Lint, L9APairMovesBeforeThePad) {
  const ir::Graph before =
      graph_of("const %pads: i64[8] = {0,0,1,1,0,0,1,1}\n%p = Pad \"pad\" (%x, %pads)\n" + pair("d", "p") +
               "%y = Conv \"conv\" (%d, %wd)\noutput %y\n");
  EXPECT_THAT(codes(before), ElementsAre("L9 dq"));
  ir::Graph after = before;
  EXPECT_THAT(repair(after), ElementsAre(Pair("L9", 1)));
  EXPECT_THAT(
      outline(after),
      HasSubstr("dq = QuantizeLinear(x)\nd = DequantizeLinear(dq)\np = Pad(d, pads)\ny = Conv(p, wd)\n"));
  EXPECT_EQ(evaluate(after), evaluate(before));
}

TEST(Lint, L10ForeignForms) {
  const ir::Graph before = graph_of(
      "const %u: u8[] = {128} const %b: i32[16] = rand(4) const %bs: f32[] = {0.0003}\n"
      "%dq = QuantizeLinear \"dq\" (%x, %s, %u)\n%d = DequantizeLinear \"d\" (%dq, %s, %u)\n"
      "%bd = DequantizeLinear \"bd\" (%b, %bs)\n%y = Conv \"conv\" (%d, %wd, %bd)\noutput %y\n");
  EXPECT_THAT(codes(before), testing::UnorderedElementsAre("L10 d", "L10 bd"));
  ir::Graph after = before;
  EXPECT_THAT(repair(after), ElementsAre(Pair("L10", 2)));
  EXPECT_THAT(codes(after), ElementsAre());
  EXPECT_EQ(evaluate(after), evaluate(before));
  const ir::Graph odd = graph_of(
      "const %c: f32[16] = fill(0.2) const %cz: i8[16] = fill(0) const %u: u8[] = {3}\n"
      "%dq = QuantizeLinear \"dq\" (%x, %c, %cz) {axis = 1}\n%d = DequantizeLinear \"d\" (%dq, %c, %cz) "
      "{axis = 1}\n"
      "%n = Neg \"n\" (%x)\n%eq = QuantizeLinear \"eq\" (%n, %s, %u)\n%e = DequantizeLinear \"e\" (%eq, %s, "
      "%u)\n"
      "output %d\noutput %e\n");
  EXPECT_THAT(codes(odd), ElementsAre("L10 d", "L10 e"));
  EXPECT_THAT(lint(odd)[0].message, HasSubstr("an activation with 16 scales"));
}

TEST(Lint, L11ChannelsThatArePadded) {
  const ir::Graph graph =
      graph_of(pair("d", "x") +
               "const %v: f32[12,16,1,1] = rand(2)\n%vq = QuantizeLinear \"vq\" (%v, %s, %z)\n"
               "%vd = DequantizeLinear \"vd\" (%vq, %s, %z)\n%y = Conv \"conv\" (%d, %vd)\noutput %y\n");
  EXPECT_THAT(codes(graph), ElementsAre("L11 conv"));
  EXPECT_THAT(lint(graph)[0].message,
              HasSubstr("16 to 12 channels: integer kernels work on multiples of 16"));
}

TEST(Lint, L12OddScales) {
  const ir::Graph far =
      graph_of("const %huge: f32[] = {3000}\n%n = Neg \"n\" (%x)\n%m = Neg \"m\" (%n)\n" + pair("a", "x") +
               pair("b", "n") + pair("c", "m", "huge") + "output %a\noutput %b\noutput %c\n");
  EXPECT_THAT(codes(far), ElementsAre("L12 c"));
  Tensor weight(DType::Float32, {1, 100});
  Random random(3);
  for (float& value : weight.mutable_data<float>()) value = random.normal() * 0.01f;
  weight.mutable_data<float>()[17] = 5.0f;
  ir::Graph graph = graph_of(pair("d", "x") + "%y = Neg \"y\" (%d)\noutput %y\n");
  const ir::ValueId w = graph.add_constant("spiky", weight);
  const ir::Quantized quantized =
      ir::add_pair(graph, w, {.dtype = DType::Int8, .scale = {0.04f}, .zero_point = {}});
  graph.add_output(quantized.result);
  EXPECT_THAT(codes(graph), testing::Contains("L12 spiky_DequantizeLinear"));
}

TEST(Lint, L14AnInputThatIsQuantizedFirst) {
  const ir::Graph graph =
      graph_of(pair("d", "in") + "%y = Add \"y\" (%d, %d)\n" + pair("e", "y") + "output %e\n");
  EXPECT_THAT(codes(graph), ElementsAre("L14 dq"));
}

TEST(Lint, EveryCodeIsListedOnce) {
  std::vector<std::string_view> seen;
  for (const Lint& entry : lints()) seen.push_back(entry.code);
  EXPECT_THAT(seen, ElementsAre("L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "L11", "L12",
                                "L13", "L14"));
}

}  // namespace
}  // namespace kvant::quant
