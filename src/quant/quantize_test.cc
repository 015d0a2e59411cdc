// SPDX-License-Identifier: Apache-2.0
#include "quant/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/random.h"
#include "ir/qdq.h"
#include "ir/statistics.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/ops.h"
#include "quant/placement/placement.h"
#include "zoo/zoo.h"

namespace kvant::quant {
namespace {

using testing::HasSubstr;

std::unique_ptr<ir::Runner> interpret(const ir::Graph& graph) {
  return std::make_unique<ir::Interpreter>(graph, ops::standard());
}

Tensor noise(Shape shape, uint64_t seed) {
  Tensor x(DType::Float32, std::move(shape));
  Random random(seed);
  for (float& value : x.mutable_data<float>()) value = random.normal();
  return x;
}

BatchSource random_batches(const Shape& sample, std::vector<int64_t> sizes) {
  std::vector<std::vector<Tensor>> batches;
  for (const int64_t size : sizes) {
    Shape shape{size};
    shape.insert(shape.end(), sample.begin(), sample.end());
    batches.push_back({noise(shape, batches.size() + 1)});
  }
  return batches_of(std::move(batches));
}

// Signal to noise of b against a, in dB.
double sqnr(const Tensor& a, const Tensor& b) {
  double signal = 0, error = 0;
  for (size_t i = 0; i < static_cast<size_t>(a.size()); ++i) {
    const double x = a.data<float>()[i], y = b.data<float>()[i];
    signal += x * x;
    error += (x - y) * (x - y);
  }
  return 10 * std::log10(signal / std::max(error, 1e-30));
}

Tensor run(const ir::Graph& graph, const Tensor& input) {
  const std::vector<Tensor> inputs{input};
  return ir::evaluate(graph, ops::standard(), inputs)[0];
}

TEST(Quantize, ResNet8StaysCloseToFloat) {
  const ir::Graph model = zoo::create("resnet8", {.input = {3, 16, 16}});
  const QuantizeResult result =
      quantize(model, ops::standard(), random_batches({3, 16, 16}, {4, 4, 2}), interpret);
  ir::verify(result.graph, ops::standard());
  EXPECT_EQ(result.table.samples, 10);
  EXPECT_EQ(result.graph.value(result.graph.inputs()[0]).dim_names.at(0), "N");
  EXPECT_EQ(result.graph.value(result.graph.inputs()[0]).type.shape, (Shape{kUnknownDim, 3, 16, 16}));
  EXPECT_EQ(result.graph.value(result.graph.outputs()[0]).name, "logits");
  EXPECT_EQ(ir::count_operators(result.graph).count("BatchNormalization"), 0u);
  EXPECT_EQ(result.report.weight_pairs, 10);      // 9 convolutions, 1 linear layer
  EXPECT_EQ(result.report.activation_pairs, 11);  // input, 7 relus, 2 projections, the flattened features
  const Tensor input = noise({3, 3, 16, 16}, 99);
  const double close = sqnr(run(model, input), run(result.graph, input));
  EXPECT_GT(close, 25.0);

  QuantizeOptions four;
  four.bits = 4;
  const QuantizeResult coarse =
      quantize(model, ops::standard(), random_batches({3, 16, 16}, {4, 4, 2}), interpret, four);
  EXPECT_EQ(coarse.graph.metadata.at(std::string(ir::kBitsKey)), "4");
  const double far = sqnr(run(model, input), run(coarse.graph, input));
  EXPECT_LT(far, close - 10);
  EXPECT_GT(far, 0);
}

TEST(Quantize, OptionAShortcutStaysOnTheBlocksScale) {
  const ir::Graph model = zoo::create("resnet20", {.input = {3, 8, 8}});
  const QuantizeResult result = quantize(model, ops::standard(), random_batches({3, 8, 8}, {2}), interpret);
  const ir::Graph& graph = result.graph;
  const auto scale_at = [&](const char* node, size_t input) {
    const auto pair = ir::quantized_behind(graph, graph.node(graph.find_node(node)).inputs[input]);
    return pair ? pair->params.scale.at(0) : 0.0f;
  };
  EXPECT_GT(scale_at("layer2/0/add", 1), 0.0f);
  EXPECT_EQ(scale_at("layer2/0/add", 1), scale_at("layer2/0/conv1", 0));
  EXPECT_EQ(scale_at("layer2/0/shortcut/slice", 0), scale_at("layer2/0/conv1", 0));
}

TEST(Quantize, MobileNetV2HasOnePairForEachTensor) {
  const ir::Graph model = zoo::create("mobilenet-v2", {.classes = 5, .input = {3, 32, 32}});
  const QuantizeResult result = quantize(model, ops::standard(), random_batches({3, 32, 32}, {1}), interpret);
  EXPECT_EQ(result.report.weight_pairs, 53);
  EXPECT_EQ(result.report.activation_pairs, 54);  // the toolkit's count for this network
  const auto adds =
      std::count_if(result.report.layers.begin(), result.report.layers.end(), [](const LayerReport& layer) {
        return layer.op == "Add" && layer.quantized && layer.inputs.size() == 1;
      });
  EXPECT_EQ(adds, 10);
}

TEST(Quantize, ResNet50HasThePairsOfTheToolkit) {
  ir::Graph model = zoo::create("resnet50-v1");
  prepare(model, ops::standard());
  const Sites sites = place(model);
  CalibrationTable table;
  for (const std::string& name : tensors_to_calibrate(sites)) table.ranges[name] = {-1, 1};
  ir::Graph graph = model;
  const PlacementReport report = insert_pairs(graph, sites, table);
  EXPECT_EQ(report.weight_pairs, 54);
  EXPECT_EQ(report.activation_pairs, 55);
}

TEST(Quantize, GivenRangesNeedNoData) {
  const ir::Graph model = zoo::create("resnet8", {.input = {1, 8, 8}});
  const QuantizeResult first = quantize(model, ops::standard(), random_batches({1, 8, 8}, {2}), interpret);
  QuantizeOptions options;
  options.ranges = table_from_json(to_json(first.table));
  const QuantizeResult second = quantize(model, ops::standard(), {}, interpret, options);
  EXPECT_EQ(ir::print(first.graph), ir::print(second.graph));
  options.ranges.ranges.erase("input");
  try {
    quantize(model, ops::standard(), {}, interpret, options);
    FAIL() << "a missing range went unnoticed";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "tensor 'input' has no range in the given ranges: give calibration data too");
  }
}

TEST(Quantize, IsDeterministic) {
  const auto once = [] {
    const ir::Graph model = zoo::create("resnet8", {.input = {1, 8, 8}});
    QuantizeOptions options;
    options.calibration.calibrator = "percentile";
    return ir::print(
        quantize(model, ops::standard(), random_batches({1, 8, 8}, {2, 1}), interpret, options).graph);
  };
  EXPECT_EQ(once(), once());
}

TEST(Quantize, RefusesModelsWithNothingToQuantize) {
  ir::Graph model = ir::parse("graph \"g\" { input %x: f32[N,4] %y = Relu \"y\" (%x) output %y }");
  try {
    quantize(model, ops::standard(), random_batches({4}, {1}), interpret);
    FAIL() << "nothing was quantized and nobody said so";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nothing to quantize: the model has no Conv"));
  }
}

// conv, norm, relu, dropout, conv.
std::string small_network() {
  std::string text = "graph \"g\" { input %x: f32[N,2,4,4]\nconst %w1: f32[2,2,1,1] = rand(1)\n";
  for (const char* name : {"gamma", "beta", "mean"})
    text += fmt::format("const %{}: f32[2] = rand(2)\n", name);
  return text + R"(const %var: f32[2] = fill(1)
    %c1 = Conv "c1" (%x, %w1)
    %n = BatchNormalization "n" (%c1, %gamma, %beta, %mean, %var)
    %r = Relu "r" (%n)
    %d = Dropout "d" (%r)
    const %w2: f32[2,2,1,1] = rand(3)
    %c2 = Conv "c2" (%d, %w2)
    output %c2 })";
}

QuantizeResult quantize_small(std::vector<SpecEntry> layers, int bits = 8) {
  QuantizeOptions options;
  options.bits = bits;
  options.placement.spec.layers = std::move(layers);
  return quantize(ir::parse(small_network()), ops::standard(), random_batches({2, 4, 4}, {4, 4}), interpret,
                  options);
}

TEST(QuantizeWithSpec, ANormThatIsAskedForIsNotFolded) {
  EXPECT_EQ(ir::count_operators(quantize_small({}).graph).count("BatchNormalization"), 0u);
  const QuantizeResult kept = quantize_small({{.name = "n"}});
  const ir::Graph& graph = kept.graph;
  const ir::NodeId norm = graph.find_node("n");
  ASSERT_NE(norm, ir::kNone);
  EXPECT_TRUE(ir::quantized_behind(graph, graph.node(norm).inputs[0]).has_value());
  // To keep it in float is no reason to keep it.
  const QuantizeResult folded = quantize_small(
      {{.name = "n", .quantize_input = false, .quantize_weight = false}, {.name = "c2", .bits = 4}});
  EXPECT_EQ(folded.graph.find_node("n"), ir::kNone);
  EXPECT_EQ(folded.graph.metadata.at("kvant.bits:w2"), "4");
}

TEST(QuantizeWithSpec, BitsAndCalibratorsOfSingleLayers) {
  const QuantizeResult all = quantize_small({});
  const QuantizeResult one = quantize_small({{.name = "c2", .bits = 4, .calibrator = "percentile"}});
  EXPECT_EQ(one.table.ranges.count("r"), 1u);
  EXPECT_EQ(one.table.calibrator_of.at("r"), "percentile");
  EXPECT_EQ(all.table.ranges.at("x"), one.table.ranges.at("x"));
  const auto pair = ir::quantized_behind(one.graph, one.graph.node(one.graph.find_node("c2")).inputs[0]);
  EXPECT_EQ(pair->range, (IntRange{-7, 7}));
}

std::string refused(std::vector<SpecEntry> layers, PlaceMode mode = PlaceMode::Full) {
  QuantizeOptions options;
  options.placement.mode = mode;
  options.placement.spec.layers = std::move(layers);
  try {
    quantize(ir::parse(small_network()), ops::standard(), random_batches({2, 4, 4}, {4}), interpret, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(QuantizeWithSpec, Refusals) {
  EXPECT_THAT(refused({{.name = "c3"}}), HasSubstr("spec entry 1, name 'c3' fits no layer of the model"));
  EXPECT_THAT(refused({{.name = "c1"}, {.name = "d"}}),
              HasSubstr("spec entry 2, name 'd': what it names is gone before pairs are placed"));
  EXPECT_EQ(refused({{.name = "*", .quantize_input = false, .quantize_weight = false}}),
            "nothing to quantize: the spec and the cases leave every layer of the model in float");
  EXPECT_THAT(refused({}, PlaceMode::Partial), HasSubstr("mode partial quantizes only what a spec"));
  // Entries keep their number when one before them fits only what is removed.
  EXPECT_THAT(refused({{.name = "d", .quantize_input = false, .quantize_weight = false},
                       {.name = "c1", .quantize_input = false, .quantize_weight = false}}),
              HasSubstr("no error"));
}

TEST(Prepare, RemovesIdentitiesAndKeepsOutputNames) {
  ir::Graph graph = ir::parse(R"(graph "g" { input %x: f32[N,4]
    %a = Identity "i1" (%x)
    %b = Relu "r" (%a)
    %c = Dropout "d" (%b)
    %out = Identity "i2" (%c)
    %same = Identity "i3" (%x)
    output %out
    output %same })");
  prepare(graph, ops::standard());
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "out");
  EXPECT_EQ(graph.producer(graph.outputs()[0])->op, "Relu");
  EXPECT_EQ(graph.producer(graph.outputs()[1])->op, "Identity");  // an output cannot be an input
  EXPECT_EQ(graph.node_count(), 2u);
}

}  // namespace
}  // namespace kvant::quant
