// SPDX-License-Identifier: Apache-2.0
// The convolutions of whole networks at batch 1, one after the other, int8 against our own float (oneDNN)
// through the Backend interface: ResNet-50 v1.5 at 224x224 and a ResNet-8 over 28x28x1. Weights are as cold
// as in a real run.
#include <benchmark/benchmark.h>

#include "backends/backends.h"
#include "backends/cpu/kernels/qconv/qconv_cases.h"
#include "base/random.h"
#include "engine/backend.h"

namespace kvant::backends {
namespace {

struct Layer {
  cpu::ConvShape shape;
  bool residual;
};

// A bottleneck stage of ResNet-50 with `blocks` blocks, `width` inner channels, input of `in` channels and
// side `side`.
void add_stage(std::vector<Layer>& layers, int64_t blocks, int64_t in, int64_t width, int64_t side,
               int64_t stride) {
  const int64_t small = side / stride;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t from = b == 0 ? in : 4 * width, at = b == 0 ? side : small, step = b == 0 ? stride : 1;
    layers.push_back({cpu::conv_shape(at, at, from, width, 1, 1, 0), false});
    layers.push_back({cpu::conv_shape(at, at, width, width, 3, step, 1), false});
    if (b == 0) layers.push_back({cpu::conv_shape(at, at, from, 4 * width, 1, step, 0), false});
    layers.push_back({cpu::conv_shape(small, small, width, 4 * width, 1, 1, 0), true});
  }
}

std::vector<Layer> resnet50() {
  std::vector<Layer> layers = {{cpu::conv_shape(224, 224, 3, 64, 7, 2, 3), false}};
  add_stage(layers, 3, 64, 64, 56, 1);
  add_stage(layers, 4, 256, 128, 56, 2);
  add_stage(layers, 6, 512, 256, 28, 2);
  add_stage(layers, 3, 1024, 512, 14, 2);
  layers.push_back({cpu::conv_shape(1, 1, 2048, 1000, 1, 1, 0), false});
  return layers;
}

std::vector<Layer> resnet8() {
  return {
      {cpu::conv_shape(28, 28, 1, 16, 3, 1, 1), false},  {cpu::conv_shape(28, 28, 16, 16, 3, 1, 1), false},
      {cpu::conv_shape(28, 28, 16, 16, 3, 1, 1), true},  {cpu::conv_shape(28, 28, 16, 32, 3, 2, 1), false},
      {cpu::conv_shape(28, 28, 16, 32, 1, 2, 0), false}, {cpu::conv_shape(14, 14, 32, 32, 3, 1, 1), true},
      {cpu::conv_shape(14, 14, 32, 64, 3, 2, 1), false}, {cpu::conv_shape(14, 14, 32, 64, 1, 2, 0), false},
      {cpu::conv_shape(7, 7, 64, 64, 3, 1, 1), true},    {cpu::conv_shape(1, 1, 64, 10, 1, 1, 0), false}};
}

class OneThread final : public engine::Team {
 public:
  int size() const override { return 1; }
  void run(const std::function<void(int, int)>& fn) override { fn(0, 1); }
};

struct Compiled {
  std::unique_ptr<engine::Step> step;
  std::vector<const std::byte*> inputs;
  std::byte* output;
};

// The layers of a network as steps that share two big buffers.
class Network {
 public:
  Network(const std::vector<Layer>& layers, bool quantized)
      : in_(DType::Float32, {1 << 21}),
        residual_(DType::Float32, {1 << 21}),
        out_(DType::Float32, {1 << 21}) {
    size_t scratch = 64;
    for (const Layer& layer : layers) {
      compiled_.push_back(compile(layer, quantized));
      scratch = std::max(scratch, compiled_.back().step->scratch_bytes());
      const cpu::ConvShape& s = layer.shape;
      macs_ += static_cast<double>(s.ho * s.wo * s.k * s.kh * s.kw * s.group_c());
    }
    scratch_ = Tensor(DType::UInt8, {static_cast<int64_t>(scratch)});
  }
  void run() {
    for (Compiled& c : compiled_) {
      c.step->run({c.inputs, std::span<std::byte* const>(&c.output, 1), scratch_.mutable_raw(), team_});
    }
  }
  double macs() const { return macs_; }

 private:
  Compiled compile(const Layer& layer, bool quantized) {
    const cpu::ConvShape& s = layer.shape;
    const DType type = quantized ? DType::UInt8 : DType::Float32;
    ir::Node node;
    node.op = quantized ? "QConv" : "ConvNhwc";
    node.attributes = {{"strides", std::vector<int64_t>{s.stride_h, s.stride_w}},
                       {"pads", std::vector<int64_t>{s.top, s.left, s.top, s.left}},
                       {"dilations", std::vector<int64_t>{1, 1}},
                       {"activation", std::string(quantized ? "" : "Relu")}};
    Random random(1);
    Tensor w = quantized ? Tensor(DType::Int8, {s.k, s.kh, s.kw, s.c})
                         : Tensor(DType::Float32, {s.k, s.c, s.kh, s.kw});
    Tensor bias(DType::Float32, {s.k});
    if (quantized) {
      for (int8_t& v : w.mutable_data<int8_t>()) v = static_cast<int8_t>(random.next());
    } else {
      for (float& v : w.mutable_data<float>()) v = random.uniform(-0.01f, 0.01f);
    }
    const Tensor multiplier = Tensor::full({s.k}, 1e-4f);
    const ir::Type x{type, Shape{s.n, s.h, s.w, s.c}}, y{type, Shape{s.n, s.ho, s.wo, s.k}};
    const ir::Type weight{w.dtype(), w.shape()}, channel{DType::Float32, Shape{s.k}};
    std::vector<ir::Type> types = quantized ? std::vector<ir::Type>{x, weight, channel, channel}
                                            : std::vector<ir::Type>{x, weight, channel};
    std::vector<const Tensor*> constants = quantized
                                               ? std::vector<const Tensor*>{nullptr, &w, &multiplier, &bias}
                                               : std::vector<const Tensor*>{nullptr, &w, &bias};
    Compiled result;
    result.inputs.assign(types.size(), nullptr);
    result.inputs[0] = in_.raw();
    if (layer.residual) {
      types.push_back(y);
      constants.push_back(nullptr);
      result.inputs.push_back(residual_.raw());
    }
    for (size_t i = 0; i < types.size(); ++i) node.inputs.push_back(static_cast<ir::ValueId>(i));
    node.outputs = {100};
    const engine::NodeView view{node, types, {y}, constants, 1};
    std::string why;
    const std::string tactic = backend_->tactics(view, why).at(0);
    result.step = backend_->load(view, tactic, backend_->pack(view, tactic));
    result.output = out_.mutable_raw();
    return result;
  }

  std::unique_ptr<engine::Backend> backend_ = std::move(all().front());
  Tensor in_, residual_, out_, scratch_;
  std::vector<Compiled> compiled_;
  OneThread team_;
  double macs_ = 0;
};

void run_network(benchmark::State& state, const std::vector<Layer>& layers, bool quantized) {
  Network network(layers, quantized);
  network.run();
  for (auto _ : state) network.run();
  state.counters["GMAC/s"] =
      benchmark::Counter(network.macs() * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK_CAPTURE(run_network, resnet50_int8, resnet50(), true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run_network, resnet50_float, resnet50(), false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run_network, resnet8_int8, resnet8(), true)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(run_network, resnet8_float, resnet8(), false)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace kvant::backends
