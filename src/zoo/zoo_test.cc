// SPDX-License-Identifier: Apache-2.0
#include "zoo/zoo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/statistics.h"
#include "ir/verify.h"
#include "ops/ops.h"

namespace kvant::zoo {
namespace {

using testing::HasSubstr;

struct Published {
  const char* name;
  int64_t parameters;
  int64_t macs;
};

// parameters: ResNet-50 and MobileNetV2 as torchvision's model table; ResNet-20 0.27 M in He et al. table 6
// (269,722 and 272,474 in the usual implementations); ResNet-8 as MLPerf Tiny's 78,666 less its 480 running
// means and variances. MACs: torchvision 4.09 G and 0.30 G, He et al. 3.8 G, MLPerf Tiny 12.5 M,
// ResNet-20 40.6 M.
constexpr Published kPublished[] = {
    {"resnet8", 78'186, 12'501'632},
    {"resnet20", 269'722, 40'551'040},
    {"resnet20-b", 272'474, 40'813'184},
    {"resnet50-v1", 25'557'032, 3'857'973'248},
    {"resnet50-v1.5", 25'557'032, 4'089'184'256},
    {"mobilenet-v2", 3'504'872, 300'774'272},
};

TEST(Zoo, ParametersAndMacsEqualThePublishedOnes) {
  ASSERT_EQ(networks().size(), std::size(kPublished));
  for (const Published& expected : kPublished) {
    SCOPED_TRACE(expected.name);
    const ir::Graph graph = create(expected.name);
    EXPECT_EQ(ir::count_parameters(graph), expected.parameters);
    EXPECT_EQ(ir::count_macs(graph), expected.macs);
  }
}

TEST(Zoo, GraphsAreValidWithASymbolicBatch) {
  for (const Network& network : networks()) {
    SCOPED_TRACE(network.name);
    const ir::Graph graph = create(network.name, {.classes = 7, .input = {3, 64, 64}});
    ir::verify(graph, ops::standard());
    ASSERT_EQ(graph.inputs().size(), 1u);
    const ir::Value& input = graph.value(graph.inputs()[0]);
    EXPECT_EQ(input.name, "input");
    EXPECT_EQ(input.type.shape, (Shape{kUnknownDim, 3, 64, 64}));
    EXPECT_EQ(input.dim_names.at(0), "N");
    ASSERT_EQ(graph.outputs().size(), 1u);
    const ir::Value& output = graph.value(graph.outputs()[0]);
    EXPECT_EQ(output.name, "logits");
    EXPECT_EQ(output.type.shape, (Shape{kUnknownDim, 7}));
    EXPECT_EQ(output.dim_names.at(0), "N");
  }
}

TEST(Zoo, EveryNodeHasANameOfItsPlace) {
  const ir::Graph graph = create("resnet20");
  EXPECT_NE(graph.find_node("layer2/0/conv1"), ir::kNone);
  EXPECT_NE(graph.find_value("layer2/0/conv1/weight"), ir::kNone);
  for (const ir::NodeId id : graph.topological_order()) EXPECT_NE(graph.node(id).name, "");
}

TEST(Zoo, SeedDecidesTheWeights) {
  const auto weight = [](uint64_t seed) {
    const ir::Graph graph = create("resnet8", {.seed = seed});
    return *graph.constant(graph.find_value("layer1/0/conv1/weight"));
  };
  EXPECT_EQ(weight(1), weight(1));
  EXPECT_FALSE(weight(1) == weight(2));
}

TEST(Zoo, HeInitialization) {
  const ir::Graph graph = create("resnet50-v1");
  const Tensor& weight = *graph.constant(graph.find_value("layer1/0/conv2/weight"));
  double sum = 0, squares = 0;
  for (const float w : weight.data<float>()) {
    sum += w;
    squares += static_cast<double>(w) * w;
  }
  const double n = static_cast<double>(weight.size());
  EXPECT_NEAR(sum / n, 0.0, 1e-3);
  EXPECT_NEAR(std::sqrt(squares / n), std::sqrt(2.0 / (64 * 9)), 1e-3);
}

TEST(Zoo, RunsOnGreyImagesOfFashionMnist) {
  const ir::Graph graph = create("resnet8", {.input = {1, 28, 28}});
  const std::vector<Tensor> inputs{Tensor::full({2, 1, 28, 28}, 0.5f)};
  const std::vector<Tensor> outputs = ir::evaluate(graph, ops::standard(), inputs);
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs[0].shape(), (Shape{2, 10}));
  for (const float y : outputs[0].data<float>()) EXPECT_TRUE(std::isfinite(y));
  EXPECT_NE(outputs[0].data<float>()[0], outputs[0].data<float>()[1]);
}

TEST(Zoo, ResNetV1AndV15DifferInTheStrideOnly) {
  const auto strides = [](const char* network, const char* node) {
    const ir::Graph graph = create(network);
    return graph.node(graph.find_node(node)).attributes.integers("strides");
  };
  EXPECT_EQ(strides("resnet50-v1", "layer2/0/conv1"), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(strides("resnet50-v1", "layer2/0/conv2"), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(strides("resnet50-v1.5", "layer2/0/conv1"), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(strides("resnet50-v1.5", "layer2/0/conv2"), (std::vector<int64_t>{2, 2}));
}

std::string error_of(std::string_view name, const Options& options) {
  try {
    create(name, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Zoo, RefusesWhatItCannotBuild) {
  EXPECT_THAT(error_of("resnet21", {}), HasSubstr("the zoo has no network 'resnet21' (nearest: resnet20"));
  EXPECT_THAT(error_of("resnet8", {.classes = -1}),
              HasSubstr("-1 classes: the number must be between 1 and 1000000"));
  EXPECT_THAT(error_of("resnet8", {.input = {28, 28}}), HasSubstr("input 28x28 is not CxHxW"));
  EXPECT_THAT(error_of("resnet8", {.input = {3, 0, 28}}),
              HasSubstr("input 3x0x28: each dimension must be between"));
}

}  // namespace
}  // namespace kvant::zoo
