// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/fold_batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/random.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ops/ops.h"

namespace kvant::quant {
namespace {

ir::Graph graph_of(const std::string& layer, int channels, const std::string& extra = "") {
  const std::string c = "f32[" + std::to_string(channels) + "]";
  ir::Graph graph = ir::parse(
      "graph \"g\" {\ninput %x: f32[N,4,6,6]\n" + layer + "\nconst %g: " + c + " = rand(21)\nconst %b: " + c +
      " = rand(22)\nconst %m: " + c + " = rand(23)\nconst %v: " + c +
      " = fill(0.3)\n%out = BatchNormalization \"bn\" (%y, %g, %b, %m, %v) {epsilon = 0.001}\n" + extra +
      "output %out\n}\n");
  ir::infer_types(graph, ops::standard());
  return graph;
}

std::vector<Tensor> run(const ir::Graph& graph) {
  Tensor x(DType::Float32, {2, 4, 6, 6});
  Random random(3);
  for (float& value : x.mutable_data<float>()) value = random.normal();
  const std::vector<Tensor> inputs{x};
  return ir::evaluate(graph, ops::standard(), inputs);
}

void expect_folds(ir::Graph graph, double tolerance = 1e-5) {
  const std::vector<Tensor> before = run(graph);
  EXPECT_EQ(fold_batch_norm(graph), 1u);
  EXPECT_EQ(graph.find_node("bn"), ir::kNone);
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "out");
  EXPECT_LE(max_abs_difference(before[0], run(graph)[0]), tolerance);
  EXPECT_EQ(fold_batch_norm(graph), 0u);
}

TEST(FoldBatchNorm, IntoConv) {
  expect_folds(graph_of("const %w: f32[5,4,3,3] = rand(1)\n%y = Conv \"c\" (%x, %w)", 5));
  expect_folds(graph_of(
      "const %w: f32[5,4,3,3] = rand(1)\nconst %k: f32[5] = rand(2)\n%y = Conv \"c\" (%x, %w, %k)", 5));
  expect_folds(graph_of("const %w: f32[4,1,3,3] = rand(1)\n%y = Conv \"c\" (%x, %w) {group = 4}", 4));
}

TEST(FoldBatchNorm, IntoConvTranspose) {
  expect_folds(
      graph_of("const %w: f32[4,3,2,2] = rand(1)\n%y = ConvTranspose \"c\" (%x, %w) {strides = [2,2]}", 3));
  expect_folds(graph_of(
      "const %w: f32[4,3,2,2] = rand(1)\n%y = ConvTranspose \"c\" (%x, %w) {strides = [2,2], group = 2}", 6));
}

TEST(FoldBatchNorm, IntoGemm) {
  for (const char* gemm : {"const %w: f32[144,7] = rand(1)\n%y = Gemm \"c\" (%f, %w)",
                           "const %w: f32[7,144] = rand(1)\nconst %k: f32[7] = rand(2)\n"
                           "%y = Gemm \"c\" (%f, %w, %k) {transB = 1, alpha = 0.5, beta = 3.0}",
                           "const %w: f32[7,144] = rand(1)\nconst %k: f32[1,1] = rand(2)\n"
                           "%y = Gemm \"c\" (%f, %w, %k) {transB = 1}"}) {
    expect_folds(graph_of(std::string("%f = Flatten \"f\" (%x)\n") + gemm, 7), 1e-4);
  }
}

TEST(FoldBatchNorm, KeepsTheCodesOfAQuantizedWeight) {
  ir::Graph graph = graph_of("const %w: f32[5,4,3,3] = rand(1)\n%y = Conv \"c\" (%x, %w)", 5);
  const ir::NodeId conv = graph.find_node("c");
  const QuantParams params{
      .dtype = DType::Int8, .scale = {0.01f, 0.008f, 0.009f, 0.01f, 0.02f}, .zero_point = {}, .axis = 0};
  const ir::ValueId weight = graph.find_value("w");
  graph.set_input(conv, 1, ir::add_pair(graph, weight, params).result);
  const Tensor before = kvant::quantize(*graph.constant(weight), params);
  const std::vector<float> gain = graph.constant(graph.find_value("g"))->to_floats();
  expect_folds(graph, 1e-4);
  fold_batch_norm(graph);
  const auto pair = ir::quantized_behind(graph, graph.node(conv).inputs[1]);
  ASSERT_TRUE(pair.has_value());
  const Tensor after = kvant::quantize(*graph.constant(pair->source), pair->params);
  int64_t different = 0;
  for (int64_t i = 0; i < before.size(); ++i) {
    const int sign = gain[static_cast<size_t>(i / 36)] < 0 ? -1 : 1;
    const auto at = static_cast<size_t>(i);
    different += before.data<int8_t>()[at] != sign * after.data<int8_t>()[at] ? 1 : 0;
  }
  EXPECT_LE(different, 1);  // a weight half way between two codes may go either way
}

TEST(FoldBatchNorm, LeavesWhatItCannotFold) {
  const std::string conv = "const %w: f32[5,4,3,3] = rand(1)\n%y = Conv \"c\" (%x, %w)";
  ir::Graph shared = graph_of(conv, 5, "output %y\n");
  EXPECT_EQ(fold_batch_norm(shared), 0u);
  ir::Graph alone = graph_of("%y = Relu \"r\" (%x)", 4);
  EXPECT_EQ(fold_batch_norm(alone), 0u);
  ir::Graph training = graph_of(conv, 5);
  training.attributes(training.find_node("bn")).set("training_mode", int64_t{1});
  EXPECT_EQ(fold_batch_norm(training), 0u);
}

TEST(FoldBatchNorm, SharedWeightsGetTheirOwnCopy) {
  ir::Graph graph =
      graph_of("const %w: f32[5,4,3,3] = rand(1)\n%y = Conv \"c\" (%x, %w)\n%y2 = Conv \"c2\" (%x, %w)", 5,
               "output %y2\n");
  const std::vector<Tensor> before = run(graph);
  EXPECT_EQ(fold_batch_norm(graph), 1u);
  const std::vector<Tensor> after = run(graph);
  EXPECT_EQ(before[0], after[0]);
  EXPECT_LE(max_abs_difference(before[1], after[1]), 1e-5);
}

}  // namespace
}  // namespace kvant::quant
