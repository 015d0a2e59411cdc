// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/fuse_channel_affine.h"

#include <gtest/gtest.h>

#include "engine/passes/graph_text_test.h"
#include "ops/ops.h"

namespace kvant::engine {
namespace {

ir::Graph affine_graph(const std::string& relu, const std::string& more = "", const std::string& m = "[4]") {
  return typed(
      "graph \"g\" {\ninput %x: i8[1,3,2,4]\nconst %s: f32[] = {0.07}\nconst %z: i8[] = {-9}\n"
      "const %t: f32[] = {0.05}\nconst %zt: i8[] = {-128}\nconst %m: f32" +
      m +
      " = rand(1)\nconst %b: f32[1,1,1,4] = {0.5, -0.25, 0.1, 2}\n"
      "%d = DequantizeLinear \"dq\" (%x, %s, %z)\n%u = Mul \"mul\" (%d, %m)\n%v = Add \"add\" (%b, %u)\n" +
      (relu.empty() ? "" : "%r = " + relu + " \"act\" (%v)\n") + "%y = QuantizeLinear \"q\" (" +
      (relu.empty() ? "%v" : "%r") + ", %t, %zt)\noutput %y\n" + more + "}\n");
}

size_t fuse_affine(ir::Graph& graph, bool has) {
  const std::vector<ir::Pass> passes = {fuse_channel_affine([has](const NodeView& view) {
    return has && view.node.op == "QChannelAffine" && view.constants[1]->shape() == Shape{4};
  })};
  return ir::run_passes(graph, ops::standard(), passes)[0].changes;
}

TEST(FuseChannelAffine, FiveNodesAreOne) {
  for (const char* relu : {"Relu", ""}) {
    const ir::Graph before = affine_graph(relu);
    ir::Graph graph = before;
    EXPECT_EQ(fuse_affine(graph, true), 1u);
    const std::string text = ir::print(graph, {.max_elements = 4, .types = false});
    EXPECT_NE(text.find("%y = QChannelAffine \"q\" (%x, "), std::string::npos) << text;
    EXPECT_EQ(text.find("Mul"), std::string::npos) << text;
    const std::vector<Tensor> inputs = random_inputs(before);
    EXPECT_EQ(ir::evaluate(before, ops::standard(), inputs), ir::evaluate(graph, ops::standard(), inputs));
  }
}

TEST(FuseChannelAffine, OnlyByChannelAndWhereNothingElseReads) {
  ir::Graph graph = affine_graph("Relu");
  EXPECT_EQ(fuse_affine(graph, false), 0u);
  for (const char* watched : {"output %d\n", "output %u\n", "output %v\n", "output %r\n"}) {
    graph = affine_graph("Relu", watched);
    EXPECT_EQ(fuse_affine(graph, true), 0u) << watched;
  }
  graph = affine_graph("Sigmoid");
  EXPECT_EQ(fuse_affine(graph, true), 0u);
  graph = affine_graph("Relu", "", "[3,2,1]");
  EXPECT_EQ(fuse_affine(graph, true), 0u);
}

}  // namespace
}  // namespace kvant::engine
