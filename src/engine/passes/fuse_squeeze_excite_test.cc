// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/fuse_squeeze_excite.h"

#include <gtest/gtest.h>

#include "engine/passes/graph_text_test.h"
#include "ops/ops.h"

namespace kvant::engine {
namespace {

// %MORE: what else reads the gate.
constexpr std::string_view kBefore = R"(graph "g" {
input %x: u8[1,3,2,4]
const %w1: i8[2,1,1,4] = {10, -20, 30, 40, 5, 6, -70, 8}
const %m1: f32[2] = {0.01, 0.02}
const %b1: f32[2] = {1, -1}
const %w2: i8[4,1,1,2] = {10, 20, -30, 40, 50, -60, 70, 80}
const %m2: f32[4] = {0.01, 0.02, 0.01, 0.03}
const %b2: f32[4] = {3, 1, 2, 4}
%p = QGlobalAveragePool "pool" (%x) {high = 255, low = 0, multiplier = 0.9, output = "u8", x_zero_point = 3, y_zero_point = 5}
%h = QConv "reduce" (%p, %w1, %m1, %b1) {activation = "", dilations = [1, 1], group = 1, high = 255, low = 0, output = "u8", pads = [0, 0, 0, 0], strides = [1, 1], x_zero_point = 5, y_zero_point = 9}
%g = QConv "expand" (%h, %w2, %m2, %b2) {activation = "Sigmoid", dilations = [1, 1], group = 1, high = 255, inverse_scale = 255.0, low = 0, output = "u8", pads = [0, 0, 0, 0], strides = [1, 1], x_zero_point = 9, y_zero_point = 0}
%y = QMul "scale" (%x, %g) {a_zero_point = 3, b_zero_point = 0, high = 255, low = 0, multiplier = 0.004, output = "u8", y_zero_point = 2}
output %y
%MORE}
)";

ir::Graph before(const std::string& more = "") {
  std::string text(kBefore);
  text.replace(text.find("%MORE"), 5, more);
  return typed(text);
}

size_t fused(ir::Graph& graph, HasKernel has) {
  const std::vector<ir::Pass> passes = {fuse_squeeze_excite(std::move(has))};
  return ir::run_passes(graph, ops::standard(), passes)[0].changes;
}

TEST(FuseSqueezeExcite, FourNodesAreOne) {
  ir::Graph graph = before();
  bool asked = false;
  const auto has = [&](const NodeView& view) {
    asked = view.node.op == "QSqueezeExcite" && view.inputs.size() == 7 && view.constants[4] != nullptr &&
            view.outputs.at(0).shape == Shape{1, 3, 2, 4};
    return true;
  };
  EXPECT_EQ(fused(graph, has), 1u);
  EXPECT_TRUE(asked);
  const std::string text = ir::print(graph, {.max_elements = 4, .types = false});
  EXPECT_NE(text.find("%y = QSqueezeExcite \"scale\" (%x, %w1, %m1, %b1, %w2, %m2, %b2) {"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("expand_activation = \"Sigmoid\""), std::string::npos) << text;
  EXPECT_EQ(text.find("QConv"), std::string::npos) << text;
  const std::vector<Tensor> inputs = random_inputs(before());
  EXPECT_EQ(ir::evaluate(before(), ops::standard(), inputs), ir::evaluate(graph, ops::standard(), inputs));
}

TEST(FuseSqueezeExcite, OnlyWhereTheDeviceHasAKernelAndNothingElseReadsTheGate) {
  ir::Graph graph = before();
  EXPECT_EQ(fused(graph, [](const NodeView&) { return false; }), 0u);
  EXPECT_EQ(ir::print(graph), ir::print(before()));
  for (const char* watched : {"output %p\n", "output %h\n", "output %g\n"}) {
    graph = before(watched);
    EXPECT_EQ(fused(graph, [](const NodeView&) { return true; }), 0u) << watched;
  }
}

}  // namespace
}  // namespace kvant::engine
