// SPDX-License-Identifier: Apache-2.0
// The promised header alone, as a program of somebody else's uses it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kvant/kvant.h"

namespace kvant::api {
namespace {

using testing::HasSubstr;

const std::filesystem::path kModel =
    std::filesystem::path(KVANT_SOURCE_DIR) / "tests/models/fashion_resnet8.onnx";

Array picture(int seed) {
  Array image{.shape = {1, 1, 28, 28}, .values = std::vector<float>(28 * 28)};
  for (size_t i = 0; i < image.values.size(); ++i)
    image.values[i] =
        0.5f + 0.5f * std::sin(0.01f * static_cast<float>((i + 3) * static_cast<size_t>(seed + 5)));
  return image;
}

Samples pictures(int count) {
  std::vector<Batch> all;
  for (int i = 0; i < count; ++i) all.push_back({picture(i)});
  return batches(std::move(all));
}

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::path(KVANT_BINARY_DIR) / ("api_test_" + name);
}

TEST(Api, FromAFileToAnEngineAndBackThroughFiles) {
  const Model model = Model::read(kModel);
  const Quantized quantized = quantize(model, pictures(6), {.calibrator = "max"});
  EXPECT_EQ(model.inputs(), quantized.model.inputs());
  const auto layers = std::ranges::count_if(quantized.layers, &LayerPrecision::quantized);
  EXPECT_GT(layers, 8);

  quantized.model.write(scratch("q.onnx"));
  const Model again = Model::read(scratch("q.onnx"));
  Engine engine = Engine::build(again, {.threads = 1});
  engine.save(scratch("q.plan"));
  Engine loaded = Engine::load(scratch("q.plan"));
  ASSERT_EQ(engine.input_shapes(), (std::vector<std::vector<int64_t>>{{1, 1, 28, 28}}));

  const std::vector<Array> expected = interpret(again, {picture(40)});
  const std::vector<Array> built = engine.run({picture(40)}), read = loaded.run({picture(40)});
  ASSERT_EQ(expected.size(), 1u);
  ASSERT_EQ(built.at(0).shape, expected[0].shape);
  EXPECT_EQ(built[0].values, read.at(0).values);
  for (size_t i = 0; i < expected[0].values.size(); ++i)
    EXPECT_NEAR(built[0].values[i], expected[0].values[i], 1e-3 + 0.02 * std::fabs(expected[0].values[i]));
  std::filesystem::remove(scratch("q.onnx"));
  std::filesystem::remove(scratch("q.plan"));
}

TEST(Api, SpecsAndCasesOfOnesOwnDecideAboutSingleLayers) {
  const Model model = Model::read(kModel);
  QuantizeOptions options{.calibrator = "max",
                          .spec = R"({"layers": [{"class": "Gemm", "quantize_input": false,
      "quantize_weight": false}]})"};
  options.own_cases.push_back({"last-stage", [](Placement& placement) {
                                 for (const Node& node : placement.nodes()) {
                                   if (node.op == "Conv" && node.name.starts_with("layer3"))
                                     placement.keep_float(node.name, "the last stage was asked to stay");
                                 }
                               }});
  const Quantized quantized = quantize(model, pictures(3), options);
  int kept = 0;
  for (const LayerPrecision& layer : quantized.layers) {
    if (layer.op == "Gemm") {
      EXPECT_FALSE(layer.quantized);
      EXPECT_THAT(layer.reason, HasSubstr("spec entry 1"));
    }
    if (layer.op == "Conv" && layer.name.starts_with("layer3")) {
      EXPECT_FALSE(layer.quantized) << layer.name;
      EXPECT_THAT(layer.reason, HasSubstr("the last stage was asked to stay"));
      ++kept;
    }
  }
  EXPECT_EQ(kept, 3);
}

TEST(Api, ConvertedModelsComputeTheSame) {
  const Model qdq = quantize(Model::read(kModel), pictures(4), {.calibrator = "max"}).model;
  const Converted converted = convert(qdq, "openvino");
  EXPECT_EQ(interpret(qdq, {picture(9)})[0].values, interpret(converted.model, {picture(9)})[0].values);
  const Converted bare = convert(qdq, "onnxruntime", "uint8"),
                  measured = convert(qdq, "onnxruntime", "uint8", false, pictures(4));
  EXPECT_LT(measured.left_float.size(), std::max<size_t>(bare.left_float.size(), 1));
}

TEST(Api, ProgressIsTold) {
  std::vector<std::string> stretches;
  int64_t most = 0;
  QuantizeOptions options{.calibrator = "max"};
  options.progress = [&](const std::string& what, int64_t done, int64_t) {
    if (stretches.empty() || stretches.back() != what) stretches.push_back(what);
    most = std::max(most, done);
  };
  quantize(Model::read(kModel), pictures(3), options);
  EXPECT_THAT(stretches, testing::Contains(HasSubstr("calibrating")));
  EXPECT_GE(most, 3);
}

TEST(Api, RefusalsAreOneSentenceWithItsPlace) {
  EXPECT_THAT(refusal([] { Model::read("no_such_file.onnx"); }), HasSubstr("no_such_file.onnx"));
  const Model model = Model::read(kModel);
  EXPECT_THAT(refusal([&] { quantize(model, pictures(2), {.calibrator = "maximum"}); }),
              HasSubstr("'maximum'"));
  EXPECT_THAT(refusal([&] { quantize(model, pictures(2), {.bits = 9}); }), HasSubstr("9 bits: 2 to 8"));
  EXPECT_THAT(refusal([&] { quantize(model, {}, {}); }), HasSubstr("data"));
  EXPECT_THAT(refusal([&] { convert(model, "tensorflow"); }), HasSubstr("there is no target 'tensorflow'"));
  EXPECT_THAT(refusal([&] { Engine::build(model, {.batch = 0}); }), HasSubstr("a batch of 0"));
  EXPECT_THAT(refusal([&] { images(model, {.data = "imagefolder:no_such_folder"}); }),
              HasSubstr("no_such_folder"));
  const QuantizeOptions own{.own_cases = {{"mine", [](Placement& placement) {
                                             placement.quantize_input("layer1/0/conv9", 0, "");
                                           }}}};
  EXPECT_THAT(refusal([&] { quantize(model, pictures(2), own); }),
              testing::AllOf(HasSubstr("there is no node 'layer1/0/conv9'"), HasSubstr("layer1/0/conv")));
}

TEST(Api, InputsOfOtherBatchesArePlannedAndThoseThatDoNotFitRefused) {
  const Model model = Model::read(kModel);
  Engine engine = Engine::build(model, {.threads = 1});
  EXPECT_THAT(refusal([&] { engine.run({}); }), HasSubstr("takes 1 inputs, and 0 are given"));
  EXPECT_THAT(refusal([&] {
                engine.run({{.shape = {1, 1, 28, 28}, .values = {1}}});
              }),
              HasSubstr("holds 784 numbers, and 1 are given"));
  Array two{.shape = {2, 1, 28, 28}, .values = picture(3).values};
  const Array other = picture(4);
  two.values.insert(two.values.end(), other.values.begin(), other.values.end());
  const std::vector<float> first = engine.run({picture(3)})[0].values, second = engine.run({other})[0].values;
  for (int again = 0; again < 2; ++again) {
    const Array both = engine.run({two})[0];
    ASSERT_EQ(both.shape, (std::vector<int64_t>{2, 10}));
    for (size_t i = 0; i < 10; ++i) {
      EXPECT_NEAR(both.values[i], first[i], 1e-4 + 1e-4 * std::fabs(first[i]));
      EXPECT_NEAR(both.values[10 + i], second[i], 1e-4 + 1e-4 * std::fabs(second[i]));
    }
  }
  EXPECT_THAT(refusal([&] {
                engine.run({{.shape = {0, 1, 28, 28}, .values = {}}});
              }),
              HasSubstr("nothing to compute along dimension 0"));
  EXPECT_THAT(refusal([&] {
                engine.run({{.shape = {2, 1, 28, 28}, .values = picture(3).values}});
              }),
              HasSubstr("holds 1568 numbers, and 784 are given"));
  Array wide{.shape = {1, 1, 28, 29}, .values = std::vector<float>(28 * 29)};
  EXPECT_THAT(refusal([&] { engine.run({wide}); }), HasSubstr("28x29"));
}

}  // namespace
}  // namespace kvant::api
