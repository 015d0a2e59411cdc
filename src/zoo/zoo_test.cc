// SPDX-License-Identifier: Apache-2.0
#include "zoo/zoo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/statistics.h"
#include "ir/verify.h"
#include "ops/ops.h"

namespace kvant::zoo {
namespace {

using testing::HasSubstr;

const Options kShapesOnly{.random_weights = false};

// How a source counts, beside weights, biases and what normalizations learn.
enum Counting : unsigned {
  kLearned = 0,
  kStatistics = 1,  // running means and variances too (Keras's "total params")
  kNoScales = 2,    // its batch norms have no scale
  kOneStep = 4,     // the counter of Keras's Normalization layer
  kNoScaling = 8,   // the constants that scale the input are no variables there
};

struct Published {
  const char* name;
  int64_t parameters;
  unsigned counting;
  int64_t macs;
  double published_gmacs;  // rounded as the source rounds it; 0: the source gives none
};

// Sources. Parameters: `summary()` of keras.applications; torchvision's table of models; timm's results
// (5.72 M and 4.65 M there); He et al. table 6 has 0.27 M for ResNet-20 (269,722 and 272,474 in the usual
// implementations); MLPerf Tiny's ResNet-8 with its 480 running means and variances. TensorFlow's official
// EfficientNets: as Keras's without the seven numbers of its Normalization layer. GMACs: torchvision's
// "GFLOPS" (also Inception v3's), He et al. (3.8 and 7.6 in v1), Howard et al. (0.569), Sandler et al.
// (0.300), Tan and Le (0.39 and 1.8), timm for DeiT-tiny and EfficientNet-Lite0 (its 0.40 counts batch norms
// too), MLPerf Tiny, Idelbayev for ResNet-20, Ultralytics' documentation (3.2 M, 8.7 GFLOPs of two
// operations a multiply-add; its model summary has 3,157,200). Networks without a source are pinned.
constexpr Published kPublished[] = {
    {"resnet8", 78'666, kStatistics, 12'501'632, 0.0125},
    {"resnet20", 269'722, kLearned, 40'551'040, 0.041},
    {"resnet20-b", 272'474, kLearned, 40'813'184, 0.041},
    {"resnet50-v1", 25'557'032, kLearned, 3'857'973'248, 3.86},
    {"resnet50-v1.5", 25'557'032, kLearned, 4'089'184'256, 4.09},
    {"resnet101-v1.5", 44'549'160, kLearned, 7'801'405'440, 7.80},
    {"mobilenet-v2", 3'504'872, kLearned, 300'774'272, 0.30},
    {"mobilenet-v2-cifar", 369'034, kLearned, 30'173'696, 0},
    {"squeezenet1.1", 1'235'496, kLearned, 349'151'936, 0.35},
    {"efficientnet-lite0", 4'652'008, kLearned, 385'187'552, 0.40},
    {"efficientnet-cifar", 305'818, kLearned, 19'685'632, 0},
    {"tf-efficientnet-b0", 5'330'564, kStatistics | kNoScaling, 385'814'752, 0.39},
    {"tf-efficientnet-b3", 12'320'528, kStatistics | kNoScaling, 1'827'141'392, 1.8},
    {"keras-efficientnet-b0", 5'330'571, kStatistics | kOneStep, 385'814'752, 0.39},
    {"keras-efficientnet-b3", 12'320'535, kStatistics | kOneStep, 1'827'141'392, 1.8},
    {"keras-resnet50-v1", 25'636'712, kStatistics, 3'857'973'248, 3.9},
    {"keras-resnet50-v2", 25'613'800, kStatistics, 3'482'255'360, 0},
    {"keras-resnet101-v1", 44'707'176, kStatistics, 7'570'194'432, 7.6},
    {"keras-resnet101-v2", 44'675'560, kStatistics, 7'194'476'544, 0},
    {"keras-mobilenet-v1", 4'253'864, kStatistics, 568'740'352, 0.569},
    {"keras-mobilenet-v2", 3'538'984, kStatistics, 300'774'272, 0.300},
    {"keras-inception-v3", 23'851'784, kStatistics | kNoScales, 5'713'216'096, 5.71},
    {"deit-tiny", 5'717'416, kLearned, 1'253'683'200, 1.26},
    {"vit-cifar", 810'890, kLearned, 57'017'600, 0},
    {"yolov8n", 3'157'200, kLearned, 4'371'993'600, 4.35},
};

int64_t statistics(const ir::Graph& graph) {
  int64_t total = 0;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op == "BatchNormalization") total += 2 * graph.constant(node.inputs[3])->size();
  }
  return total;
}

int64_t count_as(const ir::Graph& graph, unsigned counting) {
  int64_t total = ir::count_parameters(graph);
  if (counting & kStatistics) total += statistics(graph);
  if (counting & kNoScales) total -= statistics(graph) / 2;
  if (counting & kOneStep) total += 1;
  if (counting & kNoScaling) total -= 6;
  return total;
}

TEST(Zoo, ParametersAndMacsEqualThePublishedOnes) {
  std::set<std::string_view> listed;
  for (const Published& expected : kPublished) {
    SCOPED_TRACE(expected.name);
    listed.insert(expected.name);
    const ir::Graph graph = create(expected.name, kShapesOnly);
    EXPECT_EQ(count_as(graph, expected.counting), expected.parameters);
    EXPECT_EQ(ir::count_macs(graph), expected.macs);
    if (expected.published_gmacs != 0) {
      EXPECT_NEAR(static_cast<double>(expected.macs) * 1e-9 / expected.published_gmacs, 1.0, 0.04);
    }
  }
  for (const Network& network : networks()) EXPECT_TRUE(listed.contains(network.name)) << network.name;
}

// Smaller than the default where the network allows it: sizes decide padding, not topology.
Shape small_input(const Network& network) {
  if (network.height <= 32) return {network.channels, 32, 32};
  return network.name == "keras-inception-v3" ? Shape{3, 96, 96} : Shape{3, 64, 64};
}

TEST(Zoo, GraphsAreValidWithASymbolicBatch) {
  for (const Network& network : networks()) {
    SCOPED_TRACE(network.name);
    const Shape size = small_input(network);
    ir::Graph graph = create(network.name, {.classes = 7, .input = size, .random_weights = false});
    ir::verify(graph, ops::standard());
    ir::infer_types(graph, ops::standard());
    ASSERT_EQ(graph.inputs().size(), 1u);
    const ir::Value& input = graph.value(graph.inputs()[0]);
    EXPECT_EQ(input.name, "input");
    EXPECT_EQ(input.type.shape, (Shape{kUnknownDim, size[0], size[1], size[2]}));
    EXPECT_EQ(input.dim_names.at(0), "N");
    ASSERT_EQ(graph.outputs().size(), 1u);
    const ir::Value& output = graph.value(graph.outputs()[0]);
    const bool detects = network.name == "yolov8n";
    EXPECT_EQ(output.name, detects ? "predictions" : "logits");
    const Shape cells = {kUnknownDim, 4 + 7, 8 * 8 + 4 * 4 + 2 * 2};
    EXPECT_EQ(output.type.shape, detects ? cells : (Shape{kUnknownDim, 7}));
    EXPECT_EQ(output.dim_names.at(0), "N");
    for (const ir::NodeId id : graph.topological_order()) EXPECT_NE(graph.node(id).name, "");
  }
}

TEST(Zoo, NodesAndConstantsAreNamedByTheirPlace) {
  const ir::Graph graph = create("resnet20");
  EXPECT_NE(graph.find_node("layer2/0/conv1"), ir::kNone);
  EXPECT_NE(graph.find_value("layer2/0/conv1/weight"), ir::kNone);
}

TEST(Zoo, SeedDecidesTheWeights) {
  for (const char* name : {"resnet8", "mobilenet-v2-cifar", "efficientnet-cifar", "vit-cifar"}) {
    SCOPED_TRACE(name);
    const auto weights = [&](uint64_t seed) {
      const ir::Graph graph = create(name, {.seed = seed});
      std::vector<Tensor> all;
      for (const ir::NodeId id : graph.topological_order()) {
        for (const ir::ValueId input : graph.node(id).inputs) {
          if (graph.is_constant(input)) all.push_back(*graph.constant(input));
        }
      }
      return all;
    };
    const std::vector<Tensor> first = weights(1);
    EXPECT_EQ(first, weights(1));
    EXPECT_FALSE(first == weights(2));
  }
}

TEST(Zoo, HeInitialization) {
  const ir::Graph graph = create("resnet20");
  const Tensor& weight = *graph.constant(graph.find_value("layer3/1/conv2/weight"));
  double sum = 0, squares = 0;
  for (const float w : weight.data<float>()) {
    sum += w;
    squares += static_cast<double>(w) * w;
  }
  const double n = static_cast<double>(weight.size());
  EXPECT_NEAR(sum / n, 0.0, 2e-3);
  EXPECT_NEAR(std::sqrt(squares / n), std::sqrt(2.0 / (64 * 9)), 1e-3);
}

void expect_finite_logits(const char* name, const Shape& input, int64_t classes) {
  SCOPED_TRACE(name);
  const ir::Graph graph = create(name, {.classes = classes, .input = input});
  Tensor x(DType::Float32, {2, input[0], input[1], input[2]});
  const std::span<float> pixels = x.mutable_data<float>();
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i * 7 % 19) / 19.0f;
  const std::vector<Tensor> inputs{x};
  const std::vector<Tensor> outputs = ir::evaluate(graph, ops::standard(), inputs);
  ASSERT_EQ(outputs.size(), 1u);
  ASSERT_EQ(outputs[0].shape(), (Shape{2, classes}));
  const std::span<const float> y = outputs[0].data<float>();
  for (const float logit : y) EXPECT_TRUE(std::isfinite(logit));
  EXPECT_NE(y[0], y[1]);
  EXPECT_NE(y[0], y[static_cast<size_t>(classes)]) << "the two samples differ";
}

TEST(Zoo, EveryFamilyRuns) {
  expect_finite_logits("resnet8", {1, 28, 28}, 10);
  expect_finite_logits("mobilenet-v2-cifar", {3, 32, 32}, 10);
  expect_finite_logits("efficientnet-cifar", {3, 32, 32}, 10);
  expect_finite_logits("vit-cifar", {3, 32, 32}, 10);
  expect_finite_logits("squeezenet1.1", {3, 35, 35}, 5);
  expect_finite_logits("efficientnet-lite0", {3, 32, 32}, 5);
  expect_finite_logits("tf-efficientnet-b0", {3, 33, 33}, 5);
  expect_finite_logits("keras-efficientnet-b0", {3, 33, 33}, 5);
  expect_finite_logits("keras-resnet50-v1", {3, 32, 32}, 5);
  expect_finite_logits("keras-resnet50-v2", {3, 32, 32}, 5);
  expect_finite_logits("keras-mobilenet-v1", {3, 32, 32}, 5);
  expect_finite_logits("keras-mobilenet-v2", {3, 33, 33}, 5);
  expect_finite_logits("keras-inception-v3", {3, 75, 75}, 5);
  expect_finite_logits("deit-tiny", {3, 32, 32}, 5);
}

// A box whose four distances are sure to be 3 cells has that size around the centre of its cell.
TEST(Zoo, DetectorDecodesItsBoxes) {
  ir::Graph graph = create("yolov8n", {.classes = 2, .input = {3, 32, 64}});
  const ir::Node& softmax = graph.node(graph.find_node("model/22/dfl/softmax"));
  Tensor sure = Tensor::full({1, 16, 4, 32 + 8 + 2}, 0.0f);
  for (int64_t i = 0; i < 4 * 42; ++i) sure.mutable_data<float>()[static_cast<size_t>(3 * 4 * 42 + i)] = 1.0f;
  graph.replace_uses(softmax.outputs[0], graph.add_constant("sure", sure));
  graph.erase_dead();
  const std::vector<Tensor> inputs{Tensor::full({1, 3, 32, 64}, 0.5f)};
  const Tensor y = ir::evaluate(graph, ops::standard(), inputs)[0];
  ASSERT_EQ(y.shape(), (Shape{1, 6, 42}));
  const auto at = [&](int64_t row, int64_t cell) {
    return y.data<float>()[static_cast<size_t>(row * 42 + cell)];
  };
  EXPECT_EQ(at(0, 9), (1 + 0.5f) * 8);  // second row of the finest map, second column
  EXPECT_EQ(at(1, 9), (1 + 0.5f) * 8);
  EXPECT_EQ(at(2, 9), 6 * 8);
  EXPECT_EQ(at(3, 41), 6 * 32);  // last cell of the coarsest
  EXPECT_EQ(at(0, 41), (1 + 0.5f) * 32);
  EXPECT_GT(at(4, 0), 0);
  EXPECT_LT(at(4, 0), 1) << "scores are probabilities";
}

std::vector<int64_t> ints_of(const ir::Graph& graph, const char* node, const char* attribute) {
  return graph.node(graph.find_node(node)).attributes.integers(attribute);
}

using Ints = std::vector<int64_t>;

TEST(Zoo, ResNetV1AndV15DifferInTheStrideOnly) {
  const ir::Graph v1 = create("resnet50-v1", kShapesOnly);
  EXPECT_EQ(ints_of(v1, "layer2/0/conv1", "strides"), (Ints{2, 2}));
  EXPECT_EQ(ints_of(v1, "layer2/0/conv2", "strides"), (Ints{1, 1}));
  const ir::Graph v15 = create("resnet50-v1.5", kShapesOnly);
  EXPECT_EQ(ints_of(v15, "layer2/0/conv1", "strides"), (Ints{1, 1}));
  EXPECT_EQ(ints_of(v15, "layer2/0/conv2", "strides"), (Ints{2, 2}));
}

TEST(Zoo, KerasStrides) {
  const ir::Graph v1 = create("keras-resnet50-v1", kShapesOnly);
  EXPECT_EQ(ints_of(v1, "conv3_block1_1_conv", "strides"), (Ints{2, 2}));
  EXPECT_EQ(ints_of(v1, "conv3_block4_1_conv", "strides"), (Ints{1, 1}));
  const ir::Graph v2 = create("keras-resnet50-v2", kShapesOnly);
  EXPECT_EQ(ints_of(v2, "conv3_block1_2_conv", "strides"), (Ints{1, 1}));
  EXPECT_EQ(ints_of(v2, "conv3_block4_2_conv", "strides"), (Ints{2, 2}));
  EXPECT_EQ(ints_of(v2, "conv5_block3_2_conv", "strides"), (Ints{1, 1}));
  EXPECT_EQ(ints_of(v2, "max_pooling2d_1", "strides"), (Ints{2, 2}));
}

TEST(Zoo, Epsilons) {
  const auto epsilon = [](const char* network, const char* node) {
    const ir::Graph graph = create(network, kShapesOnly);
    return graph.node(graph.find_node(node)).attributes.real("epsilon", 0.0f);
  };
  EXPECT_EQ(epsilon("keras-resnet50-v1", "conv2_block1_1_bn"), 1.001e-5f);
  EXPECT_EQ(epsilon("keras-resnet101-v2", "post_bn"), 1.001e-5f);
  EXPECT_EQ(epsilon("keras-mobilenet-v2", "block_1_expand_BN"), 1e-3f);
  EXPECT_EQ(epsilon("keras-inception-v3", "batch_normalization_93"), 1e-3f);
  EXPECT_EQ(epsilon("keras-efficientnet-b0", "block7a_project_bn"), 1e-3f);
  EXPECT_EQ(epsilon("tf-efficientnet-b0", "stack_6/block_0/project_bn"), 1e-3f);
  EXPECT_EQ(epsilon("resnet50-v1.5", "bn1"), 1e-5f);
  EXPECT_EQ(epsilon("deit-tiny", "norm"), 1e-6f);
}

// Keras's correct_pad: one row less above than below for even sizes, as much for odd ones.
TEST(Zoo, PaddingBeforeAStride) {
  const auto pads = [](const char* network, const char* node, int64_t size) {
    const ir::Graph graph = create(network, {.input = {3, size, size}, .random_weights = false});
    const ir::Node& pad = graph.node(graph.find_node(node));
    EXPECT_EQ(pad.op, "Pad");
    return graph.constant(pad.inputs[1])->to_ints();
  };
  EXPECT_EQ(pads("keras-efficientnet-b0", "stem_conv_pad", 64), (Ints{0, 0, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(pads("keras-efficientnet-b0", "stem_conv_pad", 65), (Ints{0, 0, 1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(pads("keras-efficientnet-b0", "block3a_dwconv_pad", 64), (Ints{0, 0, 1, 1, 0, 0, 2, 2}));
  EXPECT_EQ(pads("keras-mobilenet-v2", "block_1_pad", 64), (Ints{0, 0, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(pads("keras-mobilenet-v1", "conv_pad_2", 65), (Ints{0, 0, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(pads("keras-resnet50-v1", "conv1_pad", 64), (Ints{0, 0, 3, 3, 0, 0, 3, 3}));
  const ir::Graph same = create("tf-efficientnet-b0", {.input = {3, 64, 65}, .random_weights = false});
  EXPECT_EQ(ints_of(same, "stem_conv2d", "pads"), (Ints{0, 1, 1, 1}));
}

// The token comes first, and every row gets its own position.
TEST(Zoo, ClassTokenStandsBeforeThePatches) {
  ir::Graph graph = create("deit-tiny", {.classes = 2, .input = {3, 32, 32}});
  const Tensor token = *graph.constant(graph.find_value("cls_token"));
  const Tensor position = *graph.constant(graph.find_value("pos_embed"));
  ASSERT_EQ(position.shape(), (Shape{1, 5, 192}));
  graph.set_outputs({graph.node(graph.find_node("pos_embed/add")).outputs[0],
                     graph.node(graph.find_node("patch_embed/tokens")).outputs[0]});
  const std::vector<Tensor> inputs{Tensor::full({1, 3, 32, 32}, 0.25f)};
  const std::vector<Tensor> outputs = ir::evaluate(graph, ops::standard(), inputs);
  ASSERT_EQ(outputs[0].shape(), (Shape{1, 5, 192}));
  const std::span<const float> y = outputs[0].data<float>(), patches = outputs[1].data<float>();
  for (size_t i = 0; i < 192; ++i) {
    EXPECT_FLOAT_EQ(y[i], token.data<float>()[i] + position.data<float>()[i]);
    EXPECT_FLOAT_EQ(y[192 + i], patches[i] + position.data<float>()[192 + i]);
  }
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
  EXPECT_THAT(error_of("vit-cifar", {.input = {3, 30, 32}}),
              HasSubstr("the image is 30x32, but its sides must be multiples of the patch of 4"));
  EXPECT_THAT(error_of("yolov8n", {.input = {3, 48, 64}}), HasSubstr("its sides must be multiples of 32"));
  EXPECT_THAT(error_of("keras-inception-v3", {.input = {3, 32, 32}}), HasSubstr("does not fit"));
}

}  // namespace
}  // namespace kvant::zoo
