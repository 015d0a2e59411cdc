// SPDX-License-Identifier: Apache-2.0
// Performance without a GPU: tensor-core instructions, bank conflicts and copied bytes of each tile on layers
// of ResNet-50 must stay what counters.txt says. The numbers are the emulator's.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "backends/cuda/kernels/conv/conv_cases.h"
#include "backends/cuda/kernels/conv/conv_tactic.h"

namespace kvant::backends::cuda {
namespace {

std::string counters_text() {
  struct Layer {
    const char* name;
    ConvShape shape;
  };
  // 14x14 and 7x7 with a quarter of the channels; a stem at a quarter of the size.
  const std::vector<Layer> layers = {{"14x14 3x3 64->64", conv_shape(14, 14, 64, 64, 3, 1, 1)},
                                     {"7x7 1x1 128->256", conv_shape(7, 7, 128, 256, 1, 1, 0)},
                                     {"10x10 1x1 24->48", conv_shape(10, 10, 24, 48, 1, 1, 0)},
                                     {"28x28 7x7/2 3->64", conv_shape(28, 28, 3, 64, 7, 2, 3)}};
  std::string text;
  for (const Layer& layer : layers) {
    ConvCase test(layer.shape, 1);
    test.set_form(Code::U8, Code::None, Activation::None, false);
    test.desc.x_zero_point = 0;
    const auto macs = static_cast<double>(test.results() * layer.shape.kh * layer.shape.kw * layer.shape.c);
    for (const ConvTactic& tactic : all_conv_tactics()) {
      if (tactic.rows == 1) continue;
      if (!why_not(test.desc, tactic).empty() ||
          (layer.shape.c < 16) != (tactic.kind == ConvTactic::Kind::Stem))
        continue;
      emulator::Counters c;
      test.run(tactic.name, {}, &c);
      if (tactic.kind == ConvTactic::Kind::Warpgroup) {
        text += fmt::format("{} | {} | {} blocks, {} m64n8k32 of wgmma ({:.0f}% used), {} KB copied\n",
                            layer.name, tactic.name, c.blocks, c.wgmma,
                            100 * macs / (static_cast<double>(c.wgmma) * 16384), c.copied_bytes / 1024);
        continue;
      }
      text += fmt::format("{} | {} | {} blocks, {} mma ({:.0f}% used), conflicts x{:.2f}, {} KB copied\n",
                          layer.name, tactic.name, c.blocks, c.mma,
                          100 * macs / (static_cast<double>(c.mma) * 4096),
                          static_cast<double>(c.ldmatrix_phases) / (4.0 * static_cast<double>(c.ldmatrix)),
                          c.copied_bytes / 1024);
    }
  }
  return text;
}

TEST(CudaConvCounters, AreWhatTheFileSays) {
  std::ifstream file(std::string(KVANT_SOURCE_DIR) + "/src/backends/cuda/kernels/conv/counters.txt");
  std::stringstream wanted;
  wanted << file.rdbuf();
  const std::string actual = counters_text();
  EXPECT_EQ(actual, wanted.str()) << "If the change is meant, this is the new conv/counters.txt:\n" << actual;
}

}  // namespace
}  // namespace kvant::backends::cuda
