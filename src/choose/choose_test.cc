// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "backends/backends.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "choose/layers.h"
#include "choose/score_file.h"
#include "choose/sensitivity.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/qdq.h"
#include "ir/statistics.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/ops.h"
#include "quant/quantize.h"
#include "zoo/zoo.h"

namespace kvant::choose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Noise images whose label is what `model` says, but for every fifth.
class NoiseReader final : public data::DatasetReader {
 public:
  NoiseReader(int64_t count, Shape shape) : count_(count), shape_(std::move(shape)) {}
  int64_t size() const override { return count_; }
  int64_t label(int64_t i) const override { return i % 10; }
  std::string describe(int64_t i) const override { return fmt::format("noise {}", i); }
  bool holds_images() const override { return false; }
  Tensor tensor(int64_t i) const override {
    Tensor x(DType::Float32, shape_);
    Random random(static_cast<uint64_t>(i) + 1);
    for (float& value : x.mutable_data<float>()) value = random.normal();
    return x;
  }

 private:
  int64_t count_;
  Shape shape_;
};

std::unique_ptr<data::Loader> noise_loader(int64_t count, int64_t batch) {
  data::LoaderOptions options;
  options.batch = batch;
  options.threads = 1;
  options.sample_shape = {3, 8, 8};
  return std::make_unique<data::Loader>(
      data::Dataset(std::make_shared<NoiseReader>(count, Shape{3, 8, 8}), "noise"), options);
}

const quant::RunnerFactory kInterpret = [](const ir::Graph& graph) {
  return std::make_unique<ir::Interpreter>(graph, ops::standard());
};

ir::Graph quantized_resnet8() {
  const ir::Graph model = zoo::create("resnet8", {.input = {3, 8, 8}});
  std::vector<std::vector<Tensor>> batches;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    Tensor x(DType::Float32, {4, 3, 8, 8});
    Random random(seed);
    for (float& value : x.mutable_data<float>()) value = random.normal();
    batches.push_back({x});
  }
  return quant::quantize(model, ops::standard(), quant::batches_of(std::move(batches)), kInterpret).graph;
}

std::vector<const engine::Backend*> all_backends() {
  static const auto owned = backends::all();
  std::vector<const engine::Backend*> all;
  for (const auto& backend : owned) all.push_back(backend.get());
  return all;
}

ir::Graph keeping(const ir::Graph& qdq, const std::set<std::string>& names) {
  ir::Graph graph = qdq;
  keep_layers(graph, names);
  ir::infer_types(graph, ops::standard());
  ir::verify(graph, ops::standard());
  return graph;
}

Tensor run(const ir::Graph& graph) {
  Tensor x(DType::Float32, {2, 3, 8, 8});
  Random random(77);
  for (float& value : x.mutable_data<float>()) value = random.normal();
  return ir::evaluate(graph, ops::standard(), std::vector<Tensor>{x})[0];
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(KeepLayers, AllNoneAndOne) {
  const ir::Graph qdq = quantized_resnet8();
  const std::vector<std::string> names = quantized_layers(qdq);
  EXPECT_THAT(names, testing::IsSupersetOf({"conv1", "layer1/0/conv1", "layer1/0/add", "avgpool", "fc"}));
  EXPECT_EQ(std::count(names.begin(), names.end(), "flatten"), 0);
  EXPECT_EQ(run(keeping(qdq, {names.begin(), names.end()})), run(qdq));

  const ir::Graph none = keeping(qdq, {});
  EXPECT_EQ(ir::count_operators(none).count("QuantizeLinear"), 0u);
  ir::Graph floats = zoo::create("resnet8", {.input = {3, 8, 8}});
  quant::prepare(floats, ops::standard());
  EXPECT_LE(max_abs_difference(run(none), run(floats)), 1e-4);

  const ir::Graph one = keeping(qdq, {"layer2/0/conv2"});
  EXPECT_EQ(ir::count_operators(one).at("QuantizeLinear"), 2);  // its input and its weight
  const ir::NodeId conv = one.find_node("layer2/0/conv2");
  const auto pair = ir::quantized_behind(one, one.node(conv).inputs[0]);
  ASSERT_TRUE(pair.has_value());
  const auto before = ir::quantized_behind(qdq, qdq.node(qdq.find_node("layer2/0/conv2")).inputs[0]);
  EXPECT_EQ(pair->params, before->params);
  EXPECT_GT(max_abs_difference(run(one), run(none)), 0);
}

TEST(KeepLayers, CodesWithoutAFloatBecomeTheirValues) {
  ir::Graph graph = ir::parse(R"(graph "g" {
input %x: f32[2,4]
const %s: f32[] = {0.02} const %z: i8[] = {0} const %w: i8[4,3] = rand(1)
%q = QuantizeLinear "q" (%x, %s, %z)
%d = DequantizeLinear "d" (%q, %s, %z)
%wd = DequantizeLinear "wd" (%w, %s, %z)
%y = MatMul "mm" (%d, %wd)
output %y
})");
  ir::infer_types(graph, ops::standard());
  EXPECT_THAT(quantized_layers(graph), ElementsAre("mm"));
  const ir::Graph none = keeping(graph, {});
  EXPECT_EQ(none.node_count(), 1u);
  const Tensor x = Tensor::of<float>({2, 4}, {0.02f, 0.04f, -0.5f, 1, 0, 0.6f, -1.2f, 2});  // on the grid
  EXPECT_LE(max_abs_difference(ir::evaluate(none, ops::standard(), std::vector<Tensor>{x})[0],
                               ir::evaluate(graph, ops::standard(), std::vector<Tensor>{x})[0]),
            1e-5);
}

TEST(Sensitivity, ScoresEveryLayerAlone) {
  const ir::Graph qdq = quantized_resnet8();
  const auto loader = noise_loader(10, 4);  // the last batch is not full
  Samples samples(*loader, 4);
  const Sensitivity found = sensitivity(qdq, ops::standard(), samples, kInterpret, all_backends(),
                                        {.timing = {.batch = 1, .threads = 1, .iterations = 3}});
  EXPECT_EQ(found.of_float.samples, 10);
  EXPECT_EQ(found.of_float.relative_error, 0);
  EXPECT_EQ(*found.of_float.agreement, 1);
  EXPECT_EQ(found.layers.size(), quantized_layers(qdq).size());
  EXPECT_EQ(found.left, 0u);
  EXPECT_GT(found.float_ms, 0);
  EXPECT_GT(found.int8_ms, 0);
  double largest = INFINITY;
  for (const LayerCost& layer : found.layers) {
    EXPECT_LE(layer.score.relative_error, largest) << layer.name;
    largest = layer.score.relative_error;
    EXPECT_GT(layer.score.relative_error, 0) << layer.name;
    EXPECT_GT(layer.score.sqnr_db(), 15) << layer.name;
    EXPECT_TRUE(layer.score.top1.has_value());
    if (layer.op == "Conv") {
      EXPECT_GT(layer.float_ms.value_or(0), 0) << layer.name;
      EXPECT_GT(layer.int8_ms.value_or(0), 0) << layer.name;
    }
  }
  // Errors of the layers add up to about that of all.
  EXPECT_GT(found.of_quantized.relative_error, found.layers.front().score.relative_error);
  const auto add = std::find_if(found.layers.begin(), found.layers.end(),
                                [](const LayerCost& layer) { return layer.name == "layer1/0/add"; });
  EXPECT_EQ(add->fused_into, "layer1/0/conv2");
  EXPECT_FALSE(add->int8_ms.has_value());
}

TEST(Sensitivity, GoesOnFromItsStateAndKeepsToItsBudget) {
  const ir::Graph qdq = quantized_resnet8();
  const std::filesystem::path state =
      std::filesystem::path(testing::TempDir()) / ("kvant_scores_" + std::to_string(::getpid()) + ".json");
  const auto loader = noise_loader(4, 4);
  int runs = 0;
  const quant::RunnerFactory counting = [&](const ir::Graph& graph) {
    ++runs;
    return kInterpret(graph);
  };
  SensitivityOptions options{.timing = {.batch = 1, .threads = 1, .iterations = 2}};
  options.budget_seconds = 1e-9;
  options.state = state;
  Samples first(*loader, 4);
  const Sensitivity cut = sensitivity(qdq, ops::standard(), first, counting, all_backends(), options);
  EXPECT_GE(cut.left, quantized_layers(qdq).size() - 1);
  EXPECT_EQ(runs, 2 + static_cast<int>(cut.layers.size()));  // all float, all quantized, and what it reached
  options.budget_seconds = 0;
  options.resume = true;
  loader->seek(0);
  Samples second(*loader, 4);
  const Sensitivity whole = sensitivity(qdq, ops::standard(), second, counting, all_backends(), options);
  EXPECT_EQ(whole.left, 0u);
  runs = 0;
  loader->seek(0);
  Samples third(*loader, 4);
  const Sensitivity again = sensitivity(qdq, ops::standard(), third, counting, all_backends(), options);
  EXPECT_EQ(runs, 1);  // the float model alone
  ASSERT_EQ(again.layers.size(), whole.layers.size());
  for (size_t i = 0; i < again.layers.size(); ++i) {
    EXPECT_EQ(again.layers[i].name, whole.layers[i].name);
    EXPECT_EQ(again.layers[i].score.relative_error, whole.layers[i].score.relative_error);
  }
  options.data = "other images";
  loader->seek(0);
  Samples fourth(*loader, 4);
  EXPECT_THAT(
      refusal([&] { sensitivity(qdq, ops::standard(), fourth, kInterpret, all_backends(), options); }),
      HasSubstr("was measured on another model or other samples"));
  write_text(state, "{\"format\": \"something\"}");
  EXPECT_THAT(refusal([&] { ScoreFile(state, "x", true); }), HasSubstr("holds no scores to go on from"));
  write_text(state, "{\"format\": \"kvant-scores\", \"fingerprint\": \"x\", \"scores\": {\"a\": 3}}");
  EXPECT_THAT(refusal([&] { ScoreFile(state, "x", true); }), HasSubstr("is damaged"));
  std::filesystem::remove(state);
}

TEST(Sensitivity, RefusesAModelWithoutQuantizedLayers) {
  ir::Graph model = zoo::create("resnet8", {.input = {3, 8, 8}});
  ir::infer_types(model, ops::standard());
  const auto loader = noise_loader(4, 4);
  Samples samples(*loader, 4);
  EXPECT_THAT(refusal([&] { sensitivity(model, ops::standard(), samples, kInterpret, all_backends()); }),
              HasSubstr("no quantized layer whose cost could be measured"));
}

TEST(Fingerprint, ChangesWithWeightsAndWords) {
  const ir::Graph a = ir::parse(
      "graph \"g\" {\ninput %x: f32[40]\nconst %w: f32[40] = rand(1)\n%y = Add \"a\" (%x, %w)\noutput %y\n}");
  const ir::Graph b = ir::parse(
      "graph \"g\" {\ninput %x: f32[40]\nconst %w: f32[40] = rand(2)\n%y = Add \"a\" (%x, %w)\noutput %y\n}");
  EXPECT_NE(fingerprint(a, ""), fingerprint(b, ""));
  EXPECT_NE(fingerprint(a, ""), fingerprint(a, "x"));
  EXPECT_EQ(fingerprint(a, "x"), fingerprint(a, "x"));
}

}  // namespace
}  // namespace kvant::choose
