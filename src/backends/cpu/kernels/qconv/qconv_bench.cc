// SPDX-License-Identifier: Apache-2.0
// Integer convolutions on the layer shapes of ResNet-50 (224x224) and of a ResNet-8 over 28x28x1: GMAC/s of
// every kernel of kernels.inc that this CPU runs, one thread, warm caches.
#include <benchmark/benchmark.h>

#include "backends/cpu/kernels/qconv/qconv_cases.h"

namespace kvant::backends::cpu {
namespace {

struct Named {
  const char* name;
  ConvShape shape;
};

std::vector<Named> layers() {
  return {{"r50_stem", conv_shape(224, 224, 3, 64, 7, 2, 3)},
          {"r50_1x1_64_64", conv_shape(56, 56, 64, 64, 1, 1, 0)},
          {"r50_3x3_64", conv_shape(56, 56, 64, 64, 3, 1, 1)},
          {"r50_1x1_64_256", conv_shape(56, 56, 64, 256, 1, 1, 0)},
          {"r50_1x1_256_64", conv_shape(56, 56, 256, 64, 1, 1, 0)},
          {"r50_3x3_128", conv_shape(28, 28, 128, 128, 3, 1, 1)},
          {"r50_1x1_512_128", conv_shape(28, 28, 512, 128, 1, 1, 0)},
          {"r50_1x1_128_512", conv_shape(28, 28, 128, 512, 1, 1, 0)},
          {"r50_3x3_256", conv_shape(14, 14, 256, 256, 3, 1, 1)},
          {"r50_1x1_1024_256", conv_shape(14, 14, 1024, 256, 1, 1, 0)},
          {"r50_1x1_256_1024", conv_shape(14, 14, 256, 1024, 1, 1, 0)},
          {"r50_3x3_512", conv_shape(7, 7, 512, 512, 3, 1, 1)},
          {"r50_1x1_2048_512", conv_shape(7, 7, 2048, 512, 1, 1, 0)},
          {"r50_1x1_512_2048", conv_shape(7, 7, 512, 2048, 1, 1, 0)},
          {"r50_fc", conv_shape(1, 1, 2048, 1000, 1, 1, 0)},
          {"r8_stem", conv_shape(28, 28, 1, 16, 3, 1, 1)},
          {"r8_3x3_16", conv_shape(28, 28, 16, 16, 3, 1, 1)},
          {"r8_3x3_16_32", conv_shape(28, 28, 16, 32, 3, 2, 1)},
          {"r8_3x3_32", conv_shape(14, 14, 32, 32, 3, 1, 1)},
          {"r8_1x1_16_32", conv_shape(28, 28, 16, 32, 1, 2, 0)},
          {"r8_3x3_32_64", conv_shape(14, 14, 32, 64, 3, 2, 1)},
          {"r8_3x3_64", conv_shape(7, 7, 64, 64, 3, 1, 1)},
          {"r8_fc", conv_shape(1, 1, 64, 10, 1, 1, 0)},
          {"dw_3x3_96", conv_shape(56, 56, 96, 96, 3, 1, 1, 96)},
          {"dw_3x3_384", conv_shape(14, 14, 384, 384, 3, 1, 1, 384)}};
}

void run_layer(benchmark::State& state, const QConvKernel& kernel, const ConvShape& shape, bool residual) {
  QConvCase c(shape, 1);
  c.set_form(Code::U8, residual ? Code::U8 : Code::None, Activation::None, false);
  Tensor packed(DType::UInt8, {static_cast<int64_t>(kernel.packed_bytes(c.desc))});
  kernel.pack(c.desc, {c.w.data(), c.multiplier.data(), c.bias.data()}, packed.mutable_raw());
  Tensor scratch(DType::UInt8, {static_cast<int64_t>(kernel.scratch_bytes(c.desc)) + 64});
  std::vector<uint8_t> y(static_cast<size_t>(shape.n * shape.ho * shape.wo * shape.k));
  const QConvPointers p{packed.raw(), c.x.data(), residual ? c.residual.data() : nullptr, y.data(),
                        scratch.mutable_raw()};
  for (auto _ : state) {
    kernel.run(c.desc, p, 0, 1);
    benchmark::ClobberMemory();
  }
  const double macs =
      static_cast<double>(shape.ho * shape.wo * shape.k * shape.kh * shape.kw * shape.group_c());
  state.counters["GMAC/s"] = benchmark::Counter(macs * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

const bool registered = [] {
  for (const QConvKernel& kernel : qconv_kernels()) {
    if (!supports(kernel.isa)) continue;
    for (const Named& layer : layers()) {
      QConvDesc desc;
      desc.shape = layer.shape;
      if (!kernel.why_not(desc).empty()) continue;
      benchmark::RegisterBenchmark(
          fmt::format("{}/{}", kernel.name, layer.name).c_str(),
          [&kernel, layer](benchmark::State& s) { run_layer(s, kernel, layer.shape, false); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace kvant::backends::cpu
