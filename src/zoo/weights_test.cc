// SPDX-License-Identifier: Apache-2.0
#include "zoo/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "data/npy.h"
#include "data/safetensors.h"
#include "ir/interpreter.h"
#include "ops/ops.h"
#include "zoo/foreign_names.h"
#include "zoo/zoo.h"

namespace kvant::zoo {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Names = std::vector<std::string>;
using Tensors = std::vector<NamedTensor>;

const Options kShapesOnly{.random_weights = false};

// Values that tell every element apart.
Tensor counting(const Shape& shape, float first = 0.0f) {
  Tensor t(DType::Float32, shape);
  float value = first;
  for (float& x : t.mutable_data<float>()) x = value++ * 0.001f;
  return t;
}

const Tensor& constant(const ir::Graph& graph, std::string_view name) {
  return *graph.constant(graph.find_value(name));
}

Tensors weights_of(const ir::Graph& graph) {
  Tensors all;
  for (const ir::NodeId id : graph.topological_order()) {
    for (const ir::ValueId input : graph.node(id).inputs) {
      const Tensor* tensor = graph.constant(input);
      if (tensor != nullptr && tensor->dtype() == DType::Float32 && tensor->rank() > 0) {
        all.emplace_back(graph.value(input).name, *tensor);
      }
    }
  }
  return all;
}

std::string scratch_file(const std::string& name) {
  return (std::filesystem::path(testing::TempDir()) / ("kvant-zoo-test-" + name)).string();
}

// Through a file of each kind, one of them with half precision, into a network with other weights.
TEST(Weights, OurOwnNamesFromBothKindsOfFile) {
  const Tensors written = weights_of(create("resnet8", {.seed = 1}));
  const std::string npz = scratch_file("own.npz"), safetensors = scratch_file("own.safetensors");
  data::write_npz(npz, written);
  data::write_safetensors(safetensors, written);
  for (const Tensors& read : {data::read_npz(npz), data::read_safetensors(safetensors)}) {
    ir::Graph graph = create("resnet8", {.seed = 2});
    const WeightMatch match = load_weights(graph, "resnet8", read);
    EXPECT_TRUE(match.complete()) << describe(match);
    EXPECT_EQ(match.loaded.size(), written.size());
    EXPECT_EQ(weights_of(graph), written);
  }
  Tensors halves = written;
  for (auto& [name, tensor] : halves) tensor = tensor.cast(DType::BFloat16);
  data::write_safetensors(safetensors, halves);
  ir::Graph graph = create("resnet8", {.seed = 2});
  EXPECT_TRUE(load_weights(graph, "resnet8", data::read_safetensors(safetensors)).complete());
  EXPECT_EQ(constant(graph, "conv1/weight"), written[0].second.cast(DType::BFloat16).cast(DType::Float32));
  std::filesystem::remove(npz);
  std::filesystem::remove(safetensors);
}

void add_batch_norm(Tensors& t, const std::string& name, int64_t channels) {
  for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
    t.emplace_back(name + part, counting({channels}));
  }
  t.emplace_back(name + ".num_batches_tracked", Tensor::scalar<int64_t>(5));
}

// torchvision's resnet50, written down from its module structure.
Tensors torchvision_resnet50() {
  Tensors t{{"conv1.weight", counting({64, 3, 7, 7})}};
  add_batch_norm(t, "bn1", 64);
  const int64_t blocks[] = {3, 4, 6, 3};
  int64_t in = 64;
  for (int64_t layer = 1; layer <= 4; ++layer) {
    const int64_t width = int64_t{32} << layer;
    for (int64_t i = 0; i < blocks[layer - 1]; ++i) {
      const std::string p = fmt::format("layer{}.{}.", layer, i);
      t.emplace_back(p + "conv1.weight", Tensor(DType::Float32, {width, in, 1, 1}));
      t.emplace_back(p + "conv2.weight", Tensor(DType::Float32, {width, width, 3, 3}));
      t.emplace_back(p + "conv3.weight", Tensor(DType::Float32, {4 * width, width, 1, 1}));
      add_batch_norm(t, p + "bn1", width);
      add_batch_norm(t, p + "bn2", width);
      add_batch_norm(t, p + "bn3", 4 * width);
      if (i == 0) {
        t.emplace_back(p + "downsample.0.weight", Tensor(DType::Float32, {4 * width, in, 1, 1}));
        add_batch_norm(t, p + "downsample.1", 4 * width);
      }
      in = 4 * width;
    }
  }
  t.emplace_back("fc.weight", Tensor(DType::Float32, {1000, 2048}));
  t.emplace_back("fc.bias", counting({1000}));
  return t;
}

TEST(Weights, TorchvisionResNet50) {
  Tensors tensors = torchvision_resnet50();
  ir::Graph graph = create("resnet50-v1.5", kShapesOnly);
  const WeightMatch match = load_weights(graph, "resnet50-v1.5", tensors);
  EXPECT_TRUE(match.complete()) << describe(match);
  EXPECT_EQ(match.loaded.size(), 1u + 52u + 53u * 4u + 2u);
  EXPECT_EQ(constant(graph, "conv1/weight"), counting({64, 3, 7, 7}));
  EXPECT_EQ(constant(graph, "layer1/0/downsample/bn/var"), counting({256}));
  EXPECT_EQ(constant(graph, "fc/bias"), counting({1000}));
  for (auto& [name, tensor] : tensors) name = "module." + name;
  EXPECT_TRUE(load_weights(graph, "resnet50-v1.5", tensors).complete());
}

// torchvision's mobilenet_v2, written down from its module structure.
TEST(Weights, TorchvisionMobileNetV2) {
  Tensors t{{"features.0.0.weight", counting({32, 3, 3, 3})}};
  add_batch_norm(t, "features.0.1", 32);
  const int64_t settings[][3] = {{1, 16, 1}, {6, 24, 2},  {6, 32, 3}, {6, 64, 4},
                                 {6, 96, 3}, {6, 160, 3}, {6, 320, 1}};
  int64_t in = 32, index = 1;
  for (const auto& [expansion, out, blocks] : settings) {
    for (int64_t i = 0; i < blocks; ++i, ++index) {
      const std::string p = fmt::format("features.{}.conv.", index);
      const int64_t wide = in * expansion;
      int64_t at = 0;
      if (expansion != 1) {
        t.emplace_back(p + "0.0.weight", Tensor(DType::Float32, {wide, in, 1, 1}));
        add_batch_norm(t, p + "0.1", wide);
        ++at;
      }
      t.emplace_back(fmt::format("{}{}.0.weight", p, at), Tensor(DType::Float32, {wide, 1, 3, 3}));
      add_batch_norm(t, fmt::format("{}{}.1", p, at), wide);
      t.emplace_back(fmt::format("{}{}.weight", p, at + 1),
                     counting({out, wide, 1, 1}, static_cast<float>(index)));
      add_batch_norm(t, fmt::format("{}{}", p, at + 2), out);
      in = out;
    }
  }
  t.emplace_back("features.18.0.weight", Tensor(DType::Float32, {1280, 320, 1, 1}));
  add_batch_norm(t, "features.18.1", 1280);
  t.emplace_back("classifier.1.weight", Tensor(DType::Float32, {1000, 1280}));
  t.emplace_back("classifier.1.bias", Tensor(DType::Float32, {1000}));
  ir::Graph graph = create("mobilenet-v2", kShapesOnly);
  const WeightMatch match = load_weights(graph, "mobilenet-v2", t);
  EXPECT_TRUE(match.complete()) << describe(match);
  EXPECT_EQ(constant(graph, "features/1/project/conv/weight"), counting({16, 32, 1, 1}, 1));
  EXPECT_EQ(constant(graph, "features/17/project/conv/weight"), counting({320, 960, 1, 1}, 17));
}

struct Pair {
  const char *network, *ours, *theirs;
};

TEST(Weights, NamesInOtherLibraries) {
  const Pair pairs[] = {
      {"squeezenet1.1", "features/12/expand3x3/bias", "features.12.expand3x3.bias"},
      {"squeezenet1.1", "classifier/1/weight", "classifier.1.weight"},
      {"deit-tiny", "blocks/11/norm2/scale", "blocks.11.norm2.weight"},
      {"deit-tiny", "patch_embed/proj/bias", "patch_embed.proj.bias"},
      {"resnet20", "fc/weight", "linear.weight"},
      {"resnet20-b", "layer2/0/shortcut/bn/mean", "layer2.0.shortcut.1.running_mean"},
      {"efficientnet-lite0", "stem/conv/weight", "conv_stem.weight"},
      {"efficientnet-lite0", "stem/bn/scale", "bn1.weight"},
      {"efficientnet-lite0", "blocks/0/depthwise/bn/var", "blocks.0.0.bn1.running_var"},
      {"efficientnet-lite0", "blocks/0/project/conv/weight", "blocks.0.0.conv_pw.weight"},
      {"efficientnet-lite0", "blocks/4/expand/conv/weight", "blocks.2.1.conv_pw.weight"},
      {"efficientnet-lite0", "blocks/11/project/bn/bias", "blocks.5.0.bn3.bias"},
      {"efficientnet-lite0", "blocks/15/depthwise/conv/weight", "blocks.6.0.conv_dw.weight"},
      {"efficientnet-lite0", "top/bn/mean", "bn2.running_mean"},
      {"efficientnet-lite0", "fc/bias", "classifier.bias"},
      {"efficientnet-lite0", "stem/conv/weight", "_conv_stem.weight"},
      {"efficientnet-lite0", "blocks/3/expand/bn/scale", "_blocks.3._bn0.weight"},
      {"efficientnet-lite0", "blocks/15/project/conv/weight", "_blocks.15._project_conv.weight"},
      {"efficientnet-lite0", "top/bn/var", "_bn1.running_var"},
      {"efficientnet-lite0", "fc/weight", "_fc.weight"},
  };
  for (const Pair& pair : pairs) {
    EXPECT_THAT(state_dict_names(pair.network, pair.ours), testing::Contains(pair.theirs))
        << pair.network << " " << pair.ours;
  }
  EXPECT_THAT(keras_names("conv1_conv/weight", false), ElementsAre("conv1_conv/kernel"));
  EXPECT_THAT(keras_names("block_1_depthwise/weight", true),
              ElementsAre("block_1_depthwise/depthwise_kernel"));
  EXPECT_THAT(keras_names("stack_0/block_0/project_bn/var", false),
              ElementsAre("stack_0/block_0/project_bn/moving_variance"));
}

// No two tensors of a network may look for the same name of a file.
TEST(Weights, ForeignNamesAreUnique) {
  for (const Network& network : networks()) {
    if (has_keras_names(network.name)) continue;
    SCOPED_TRACE(network.name);
    std::vector<Names> by_library(2);
    for (const auto& [name, tensor] : weights_of(create(network.name, kShapesOnly))) {
      const Names names = state_dict_names(network.name, name);
      for (size_t i = 0; i < names.size(); ++i) by_library[i].push_back(names[i]);
    }
    for (Names& names : by_library) {
      std::sort(names.begin(), names.end());
      EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
    }
  }
}

// PyTorch's linear layers hold [out, in]; a MatMul wants [in, out].
TEST(Weights, LinearLayersOfTransformersAreTransposed) {
  ir::Graph graph = create("deit-tiny", {.input = {3, 32, 32}, .random_weights = false});
  const Tensor qkv = counting({576, 192});
  const Tensors tensors{{"blocks.0.attn.qkv.weight", qkv},
                        {"head.weight", counting({1000, 192})},
                        {"pos_embed", counting({1, 5, 192})},
                        {"cls_token", counting({1, 1, 192})}};
  const WeightMatch match = load_weights(graph, "deit-tiny", tensors);
  EXPECT_THAT(match.loaded,
              UnorderedElementsAre("blocks/0/attn/qkv/weight", "head/weight", "pos_embed", "cls_token"));
  const int64_t swap[] = {1, 0};
  EXPECT_EQ(constant(graph, "blocks/0/attn/qkv/weight"), transpose(qkv, swap));
  EXPECT_EQ(constant(graph, "head/weight"), counting({1000, 192}));
  EXPECT_THAT(match.unexpected, IsEmpty());
}

// One element of each kind of Keras kernel, as it moves.
TEST(Weights, KerasKernelsChangeTheirLayout) {
  ir::Graph graph =
      create("keras-mobilenet-v1", {.classes = 10, .input = {3, 32, 32}, .random_weights = false});
  const Tensor conv = counting({3, 3, 3, 32}), depthwise = counting({3, 3, 32, 1});
  const Tensors tensors{{"conv1/kernel:0", conv},
                        {"conv_dw_1/conv_dw_1/depthwise_kernel:0", depthwise},
                        {"conv1_bn/gamma:0", counting({32}, 1)},
                        {"conv1_bn/beta", counting({32}, 2)},
                        {"conv1_bn/moving_mean:0", counting({32}, 3)},
                        {"conv1_bn/moving_variance:0", counting({32}, 4).cast(DType::Float64)},
                        {"conv_preds/bias:0", counting({10}, 5)}};
  const WeightMatch match = load_weights(graph, "keras-mobilenet-v1", tensors);
  EXPECT_EQ(match.loaded.size(), tensors.size()) << describe(match);
  EXPECT_THAT(match.unexpected, IsEmpty());
  const Tensor& w = constant(graph, "conv1/weight");
  ASSERT_EQ(w.shape(), (Shape{32, 3, 3, 3}));
  const auto hwio = [&](size_t h, size_t x, size_t i, size_t o) {
    return conv.data<float>()[((h * 3 + x) * 3 + i) * 32 + o];
  };
  EXPECT_EQ(w.data<float>()[((7 * 3 + 1) * 3 + 2) * 3 + 0], hwio(2, 0, 1, 7));
  const Tensor& d = constant(graph, "conv_dw_1/weight");
  ASSERT_EQ(d.shape(), (Shape{32, 1, 3, 3}));
  EXPECT_EQ(d.data<float>()[(9 * 3 + 1) * 3 + 2], depthwise.data<float>()[(1 * 3 + 2) * 32 + 9]);
  EXPECT_EQ(constant(graph, "conv1_bn/scale"), counting({32}, 1));
  EXPECT_EQ(constant(graph, "conv1_bn/bias"), counting({32}, 2));
  EXPECT_EQ(constant(graph, "conv1_bn/mean"), counting({32}, 3));
  EXPECT_EQ(constant(graph, "conv1_bn/var"), counting({32}, 4));
  EXPECT_EQ(constant(graph, "conv_preds/bias"), counting({10}, 5));
}

TEST(Weights, KerasDenseAndNormalization) {
  ir::Graph graph =
      create("keras-efficientnet-b0", {.classes = 10, .input = {3, 32, 32}, .random_weights = false});
  const Tensor dense = counting({1280, 10});
  const Tensors tensors{{"predictions/kernel:0", dense},
                        {"normalization/mean:0", Tensor::of<float>({3}, {0.1f, 0.2f, 0.3f})},
                        {"normalization/variance:0", Tensor::of<float>({3}, {4.0f, 9.0f, 16.0f})},
                        {"normalization/count:0", Tensor::scalar<int64_t>(0)}};
  const WeightMatch match = load_weights(graph, "keras-efficientnet-b0", tensors);
  EXPECT_THAT(match.unexpected, IsEmpty());
  const int64_t swap[] = {1, 0};
  EXPECT_EQ(constant(graph, "predictions/weight"), transpose(dense, swap));
  EXPECT_EQ(constant(graph, "normalization/mean"), Tensor::of<float>({3, 1, 1}, {0.1f, 0.2f, 0.3f}));
  EXPECT_EQ(constant(graph, "normalization/deviation"), Tensor::of<float>({3, 1, 1}, {2.0f, 3.0f, 4.0f}));
}

// Keras's Inception has no gammas and its EfficientNets may be saved without the normalization.
TEST(Weights, WhatKerasDoesNotStoreIsNotMissing) {
  for (const char* name : {"keras-inception-v3", "keras-efficientnet-b0", "tf-efficientnet-b0"}) {
    SCOPED_TRACE(name);
    ir::Graph graph = create(name, kShapesOnly);
    Tensors tensors = weights_of(graph);
    const bool inception = std::string_view(name) == "keras-inception-v3";
    std::erase_if(tensors, [&](const NamedTensor& t) {
      return t.first.starts_with("normaliz") || (inception && t.first.ends_with("/scale"));
    });
    EXPECT_TRUE(load_weights(graph, name, tensors).complete());
  }
}

TEST(Weights, WhatDoesNotMatchIsNamed) {
  ir::Graph graph = create("resnet20", {.seed = 3});
  const Tensors before = weights_of(graph);
  Tensors tensors;
  for (const auto& [name, tensor] : before) tensors.emplace_back(name, Tensor::full(tensor.shape(), 0.5f));
  std::erase_if(tensors, [](const NamedTensor& t) { return t.first == "bn1/scale" || t.first == "fc/bias"; });
  tensors.emplace_back("extra", Tensor::scalar(1.0f));
  for (auto& [name, tensor] : tensors) {
    if (name == "conv1/weight") tensor = Tensor(DType::Float32, {16, 1, 3, 3});
    if (name == "bn1/bias") tensor = tensor.cast(DType::Int32);
  }
  const WeightMatch match = load_weights(graph, "resnet20", tensors);
  EXPECT_FALSE(match.complete());
  EXPECT_THAT(match.missing, ElementsAre("bn1/scale (bn1.weight)", "fc/bias (fc.bias or linear.bias)"));
  EXPECT_THAT(match.unexpected, ElementsAre("extra"));
  EXPECT_THAT(match.wrong_shape,
              ElementsAre("conv1/weight: 16x1x3x3 instead of 16x3x3x3", HasSubstr("bn1/bias: ")));
  EXPECT_EQ(match.loaded.size() + 4, before.size());
  EXPECT_EQ(constant(graph, "conv1/weight"), before[0].second);
  EXPECT_EQ(constant(graph, "layer1/0/bn1/bias"), Tensor::full({16}, 0.5f));
  EXPECT_THAT(describe(match),
              HasSubstr("2 missing: bn1/scale (bn1.weight), fc/bias (fc.bias or linear.bias); "
                        "2 of another shape: conv1/weight: 16x1x3x3 instead of 16x3x3x3, "));
  EXPECT_THAT(describe(match), HasSubstr("; 1 unexpected: extra"));
}

TEST(Weights, LongListsAreCut) {
  ir::Graph graph = create("resnet20", kShapesOnly);
  const WeightMatch match = load_weights(graph, "resnet20", Tensors{{"x", Tensor::scalar(1.0f)}});
  EXPECT_THAT(match.loaded, IsEmpty());
  EXPECT_THAT(describe(match),
              HasSubstr(fmt::format("and {} more; 1 unexpected: x", match.missing.size() - 12)));
}

TEST(Weights, RefusesTwoNamesForOneTensor) {
  ir::Graph graph = create("resnet8", kShapesOnly);
  const Tensors tensors{{"conv1.weight", Tensor::scalar(1.0f)},
                        {"module.conv1.weight", Tensor::scalar(1.0f)}};
  try {
    load_weights(graph, "resnet8", tensors);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("the file holds two tensors that mean 'conv1.weight'"));
  }
}

}  // namespace
}  // namespace kvant::zoo
