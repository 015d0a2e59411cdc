// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/fuse_add_real.h"

#include <gtest/gtest.h>

#include "engine/passes/graph_text_test.h"
#include "ops/ops.h"

namespace kvant::engine {
namespace {

// %b: the other summand, made by a Sigmoid of f32 `shape`; `add`: the operands of the Add.
ir::Graph sum_graph(const std::string& add, const std::string& more = "",
                    const std::string& shape = "[1,3,2,4]") {
  return typed(
      "graph \"g\" {\ninput %x: i8[1,3,2,4]\ninput %c: f32" + shape +
      "\nconst %s: f32[] = {0.07}\nconst %z: i8[] = {-9}\nconst %t: f32[] = {0.05}\nconst %zt: u8[] = {31}\n"
      "%d = DequantizeLinear \"dq\" (%x, %s, %z)\n%b = Sigmoid \"act\" (%c)\n%v = Add \"add\" (" +
      add + ")\n%y = QuantizeLinear \"q\" (%v, %t, %zt)\noutput %y\n" + more + "}\n");
}

size_t fuse_sums(ir::Graph& graph, bool has) {
  const std::vector<ir::Pass> passes = {fuse_add_real([has](const NodeView& view) {
    return has && view.node.op == "QAddReal" && view.inputs[0].dtype == DType::Int8 &&
           view.inputs[1].dtype == DType::Float32 && view.outputs[0].dtype == DType::UInt8;
  })};
  return ir::run_passes(graph, ops::standard(), passes)[0].changes;
}

TEST(FuseAddReal, ThreeNodesAreOne) {
  for (const char* add : {"%d, %b", "%b, %d"}) {
    const ir::Graph before = sum_graph(add);
    ir::Graph graph = before;
    EXPECT_EQ(fuse_sums(graph, true), 1u) << add;
    const std::string text = ir::print(graph, {.max_elements = 4, .types = false});
    EXPECT_NE(text.find("%y = QAddReal \"q\" (%x, %b)"), std::string::npos) << text;
    EXPECT_EQ(text.find("DequantizeLinear"), std::string::npos) << text;
    const std::vector<Tensor> inputs = random_inputs(before);
    EXPECT_EQ(ir::evaluate(before, ops::standard(), inputs), ir::evaluate(graph, ops::standard(), inputs));
  }
}

TEST(FuseAddReal, OnlyOfOneShapeAndWhereNothingElseReads) {
  ir::Graph graph = sum_graph("%d, %b");
  EXPECT_EQ(fuse_sums(graph, false), 0u);
  for (const char* watched : {"output %d\n", "output %v\n"}) {
    graph = sum_graph("%d, %b", watched);
    EXPECT_EQ(fuse_sums(graph, true), 0u) << watched;
  }
  graph = sum_graph("%d, %b", "output %b\n");
  EXPECT_EQ(fuse_sums(graph, true), 1u) << "the float summand may have other readers";
  graph = sum_graph("%d, %b", "", "[3,2,4]");
  EXPECT_EQ(fuse_sums(graph, true), 0u) << "broadcast";
  graph = sum_graph("%d, %s");
  EXPECT_EQ(fuse_sums(graph, true), 0u) << "a constant";
  graph = sum_graph("%b, %b", "output %d\n");
  EXPECT_EQ(fuse_sums(graph, true), 0u) << "no codes";
}

}  // namespace
}  // namespace kvant::engine
