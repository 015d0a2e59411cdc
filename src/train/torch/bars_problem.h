// SPDX-License-Identifier: Apache-2.0
// For tests of training: a small problem that can be learned (where a bright bar lies in a noisy image), a
// network for it, and the network quantized.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "train/memory_source.h"
#include "train/plugin.h"
#include "train/torch_runner.h"
#include "train/train.h"

namespace kvant::train {

inline constexpr const char* kNet = R"(graph "bars" {
  input %x: f32[N,1,8,8]
  const %w1: f32[8,1,3,3] = rand(1)
  const %g1: f32[8] = fill(1)
  const %b1: f32[8] = fill(0)
  const %m1: f32[8] = fill(0)
  const %v1: f32[8] = fill(1)
  const %w2: f32[4,8,4,4] = rand(2)
  const %shape: i64[2] = {0, -1}
  const %w3: f32[4,16] = rand(3)
  const %b3: f32[4] = fill(0)
  %c1 = Conv "conv1" (%x, %w1) {pads = [1,1,1,1]}
  %n1 = BatchNormalization "bn1" (%c1, %g1, %b1, %m1, %v1)
  %r1 = Relu "relu1" (%n1)
  %c2 = Conv "conv2" (%r1, %w2) {strides = [4,4]}
  %r2 = Relu "relu2" (%c2)
  %f = Reshape "flat" (%r2, %shape)
  %y = Gemm "fc" (%f, %w3, %b3) {transB = 1}
  output %y
})";

// Class k: rows 2k and 2k+1 are brighter.
inline std::pair<Tensor, std::vector<int64_t>> bars(int64_t count, uint64_t seed) {
  Random random(seed);
  Tensor images(DType::Float32, {count, 1, 8, 8});
  std::vector<int64_t> labels;
  auto data = images.mutable_data<float>();
  for (int64_t i = 0; i < count; ++i) {
    labels.push_back(static_cast<int64_t>(random.below(4)));
    for (int64_t p = 0; p < 64; ++p) {
      const bool bright = p / 16 == labels.back();
      data[static_cast<size_t>(i * 64 + p)] = random.normal() * 0.7f + (bright ? 1.0f : 0.0f);
    }
  }
  return {images, labels};
}

inline MemorySource source(int64_t count, uint64_t seed, int64_t batch, bool shuffle) {
  auto [images, labels] = bars(count, seed);
  return MemorySource(std::move(images), std::move(labels), batch,
                      shuffle ? std::optional<uint64_t>(seed) : std::nullopt);
}

inline TrainOptions quick() {
  TrainOptions options;
  options.epochs = 3;
  options.learning_rate = 0.02;
  options.warmup_epochs = 0.5;
  options.threads = 2;
  return options;
}

inline std::vector<std::byte> bytes_of(const ir::Graph& graph) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const ir::Value& value = graph.value(static_cast<ir::ValueId>(i));
    if (value.erased || !value.constant) continue;
    bytes.insert(bytes.end(), value.constant->raw(), value.constant->raw() + value.constant->byte_size());
  }
  return bytes;
}

// Pairs on the inputs and weights of every weighted operator; scales by `peak` of activations and max of
// weights.
inline void quantize_all(ir::Graph& graph, int bits) {
  const float top = static_cast<float>((1 << (bits - 1)) - 1);
  if (bits < 8) graph.metadata[std::string(ir::kBitsKey)] = std::to_string(bits);
  for (const ir::NodeId id : graph.topological_order()) {
    const std::string op = graph.node(id).op;
    if (op != "Conv" && op != "Gemm") continue;
    const ir::Quantized x =
        ir::add_pair(graph, graph.node(id).inputs[0],
                     {.dtype = DType::Int8, .scale = {3.0f / top}, .zero_point = {}}, bits);
    graph.set_input(id, 0, x.result);
    const ir::ValueId w = graph.node(id).inputs[1];
    const Tensor& weights = *graph.constant(w);
    const int64_t channels = weights.dim(0), each = weights.size() / channels;
    QuantParams params{.dtype = DType::Int8, .scale = {}, .zero_point = {}, .axis = 0};
    for (int64_t c = 0; c < channels; ++c) {
      float peak = 0;
      for (int64_t i = 0; i < each; ++i)
        peak = std::max(peak, std::abs(weights.data<float>()[static_cast<size_t>(c * each + i)]));
      params.scale.push_back(symmetric_scale(peak, bits));
    }
    graph.set_input(id, 1, ir::add_pair(graph, w, params, bits).result);
  }
}

inline Tensor simulate(const ir::Graph& graph, const Tensor& images) {
  return TorchRunner(graph, 2).run(std::span(&images, 1)).at(0);
}

// Kills the run after so many batches as a crash would: nothing is saved on the way out.
class CrashingSource final : public BatchSource {
 public:
  CrashingSource(BatchSource& inner, int64_t after) : inner_(inner), left_(after) {}
  int64_t batches() const override { return inner_.batches(); }
  int64_t images() const override { return inner_.images(); }
  void seek(int64_t epoch, int64_t batch) override { inner_.seek(epoch, batch); }
  std::string identity() const override { return inner_.identity(); }
  std::optional<LabelledBatch> next() override {
    if (--left_ == 0) fail("crashed");
    return inner_.next();
  }

 private:
  BatchSource& inner_;
  int64_t left_;
};

class TrainTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto missing = plugin_missing()) GTEST_SKIP() << *missing;
    path_ = testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name() +
            ".checkpoint";
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  template <class Fn>
  static std::string refusal(const Fn& fn) {
    try {
      fn();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  std::filesystem::path path_;
};

}  // namespace kvant::train
