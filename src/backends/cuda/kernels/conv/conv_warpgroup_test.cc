// SPDX-License-Identifier: Apache-2.0
// Convolutions by warpgroup products (wgmma, tensor copies) in the emulator, bit for bit against the
// definition; what they refuse; bugs planted into them; their counters.
#include "backends/cuda/kernels/conv/conv_warpgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/kernels/conv/conv_cases.h"
#include "backends/cuda/kernels/conv/warpgroup_gemm.cuh"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

using device::PlantedInRing;
using emulator::Copies;
using emulator::Options;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

ConvCase padded_case(const ConvShape& shape, uint64_t seed, bool x_signed) {
  ConvCase test(shape, seed);
  test.set_form(Code::U8, Code::None, Activation::None, x_signed);
  test.desc.x_zero_point = 0;
  return test;
}

// Tile edges in rows and columns, tails of channels, padding, strides, dilations, batches.
std::vector<ConvShape> shapes() {
  std::vector<ConvShape> all = {
      conv_shape(7, 9, 64, 96, 1, 1, 0, 1, 1, 3),  conv_shape(12, 11, 128, 40, 1, 1, 0),
      conv_shape(5, 5, 16, 300, 1, 1, 0),          conv_shape(1, 29, 208, 130, 1, 1, 0),
      conv_shape(9, 8, 144, 20, 1, 2, 0),          conv_shape(7, 7, 64, 128, 3, 1, 1, 1, 1, 4),
      conv_shape(14, 14, 32, 48, 3, 2, 1),         conv_shape(8, 8, 16, 16, 3, 1, 1),
      conv_shape(6, 7, 128, 65, 3, 1, 0, 1, 1, 5), conv_shape(12, 12, 16, 80, 3, 1, 2, 1, 2),
      conv_shape(10, 10, 192, 33, 5, 1, 2),        conv_shape(3, 3, 16, 4, 3, 1, 3),
      conv_shape(20, 3, 48, 7, 3, 2, 1, 1, 1, 2),  conv_shape(1, 1, 512, 10, 1, 1, 0, 1, 1, 70),
  };
  ConvShape uneven = conv_shape(9, 9, 16, 24, 3, 1, 1);  // different sides: pads, strides, kernels, dilations
  uneven.kw = 2, uneven.stride_w = 2, uneven.top = 0, uneven.left = 2, uneven.dilation_h = 2, uneven.ho = 6,
  uneven.wo = 6;
  all.push_back(uneven);
  ConvShape far = conv_shape(2, 2, 16, 16, 1, 1, 0);  // whole rows and columns of border
  far.top = 2, far.left = 3, far.ho = 7, far.wo = 9;
  all.push_back(far);
  return all;
}

TEST(CudaWarpgroupConv, EveryTileOnEveryShape) {
  uint64_t seed = 1;
  for (const ConvShape& shape : shapes()) {
    const ConvCase test = padded_case(shape, seed, seed % 2 == 0);
    ++seed;
    const auto expected = test.reference();
    for (const ConvTactic& tactic : warpgroup_tactics())
      EXPECT_EQ(test.run(tactic.name), expected) << tactic.name << " on " << to_text(shape);
  }
}

TEST(CudaWarpgroupConv, EveryTileUnderEverySchedule) {
  for (const ConvShape& shape :
       {conv_shape(5, 6, 64, 72, 3, 1, 1, 1, 1, 5), conv_shape(13, 10, 640, 70, 1, 1, 0)}) {
    for (const bool x_signed : {false, true}) {
      ConvCase test = padded_case(shape, 7, x_signed);
      const auto expected = test.reference();
      for (const ConvTactic& tactic : warpgroup_tactics()) {
        for (const Options& options : {Options{Copies::Lazy, true, 1}, Options{Copies::Eager, true, 2},
                                       Options{Copies::Random, true, 3}})
          EXPECT_EQ(test.run(tactic.name, options), expected) << tactic.name << " seed " << options.seed;
      }
    }
  }
}

TEST(CudaWarpgroupConv, EpiloguesAndZeroPoints) {
  struct Form {
    Code output, residual;
    Activation activation;
    bool x_signed, table = false;
  };
  uint64_t seed = 50;
  for (const Form& form :
       {Form{Code::I8, Code::I8, Activation::None, true}, Form{Code::U8, Code::F32, Activation::Silu, false},
        Form{Code::F32, Code::U8, Activation::Relu, true},
        Form{Code::U8, Code::None, Activation::None, false, true}}) {
    // Inside of the image any zero point will do.
    for (const ConvShape& shape :
         {conv_shape(7, 6, 48, 42, 1, 1, 0, 1, 1, 4), conv_shape(9, 6, 16, 42, 3, 1, 0)}) {
      ConvCase test(shape, seed++);
      test.set_form(form.output, form.residual, form.activation, form.x_signed);
      if (form.table) test.set_table();
      const auto expected = test.reference();
      for (const char* tactic : {"wgmma_128x64x64", "wgmma_128x128x128"})
        EXPECT_EQ(test.run(tactic, {Copies::Random, true, seed}), expected)
            << tactic << " on " << to_text(shape);
    }
  }
}

std::string refusal_of(const ConvCase& test, const char* tactic = "wgmma_128x64x64") {
  try {
    conv_packed_bytes(test.desc, tactic);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(CudaWarpgroupConv, Refusals) {
  ConvCase padded = padded_case(conv_shape(5, 5, 16, 8, 3, 1, 1), 1, false);
  EXPECT_EQ(refusal_of(padded), "");
  padded.desc.x_zero_point = 3;
  EXPECT_THAT(refusal_of(padded), HasSubstr("tensor copies pad with zeros and the zero point is 3"));
  EXPECT_THAT(refusal_of(padded_case(conv_shape(5, 5, 24, 8, 1, 1, 0), 1, false)),
              HasSubstr("24 channels (pitch 24) are not multiples of 16"));
  EXPECT_THAT(refusal_of(padded_case(conv_shape(5, 5, 32, 32, 3, 1, 1, 2), 1, false)),
              HasSubstr("for one group"));
  EXPECT_THAT(refusal_of(padded_case(conv_shape(90, 90, 16, 8, 1, 9, 0), 1, false)),
              HasSubstr("strides are beyond"));
  EXPECT_THAT(refusal_of(padded_case(conv_shape(300, 8, 16, 8, 3, 1, 140, 1, 140), 1, false)),
              HasSubstr("too far beyond the image"));
  ConvShape tall = conv_shape(600, 8, 16, 8, 1, 1, 0);
  tall.kh = 2, tall.dilation_h = 300, tall.top = 100, tall.ho = 400;
  EXPECT_THAT(refusal_of(padded_case(tall, 1, false)), HasSubstr("too far beyond the image"));
  tall.top = 120, tall.ho = 600, tall.dilation_h = 260;
  EXPECT_THAT(refusal_of(padded_case(tall, 1, false)), HasSubstr("the window is too large for a tensor map"));
  ConvCase test = padded_case(conv_shape(5, 5, 16, 8, 1, 1, 0), 1, false);
  const DeviceBytes x(4096);
  try {
    conv_launch(test.desc, "wgmma_128x64x64", {x.data(), x.data() + 8, nullptr, x.data()});
    ADD_FAILURE() << "an image at a multiple of 8";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("needs an image that starts at a multiple of 16 bytes"));
  }
}

TEST(CudaWarpgroupConv, ByCapabilityAndCost) {
  std::string why;
  const ConvCase large = padded_case(conv_shape(56, 56, 64, 64, 3, 1, 1, 1, 1, 1), 1, true);
  ConvDesc desc = large.desc;
  desc.shape.n = 64;
  EXPECT_THAT(conv_tactics(desc, 90, why).front(), HasSubstr("wgmma_128x64x64"));
  EXPECT_THAT(conv_tactics(desc, 80, why), Not(Contains(HasSubstr("wgmma"))));
  EXPECT_THAT(conv_tactics(desc, 100, why), Not(Contains(HasSubstr("wgmma"))));
  desc.shape = conv_shape(7, 7, 512, 512, 3, 1, 1);
  EXPECT_THAT(conv_tactics(desc, 90, why).front(), Not(HasSubstr("wgmma"))) << "few tiles want to be split";
}

TEST(CudaWarpgroupConv, TensorMapsAreOfTheLaunch) {
  const ConvCase test = padded_case(conv_shape(9, 8, 144, 20, 3, 2, 1, 1, 1, 2), 1, true);
  const DeviceBytes bytes(4096);
  const Launch launch =
      conv_launch(test.desc, "wgmma_128x64x128", {bytes.data(), bytes.data(), nullptr, bytes.data()});
  ASSERT_EQ(launch.tensor_maps, 2);
  const auto params = launch.params_as<WarpgroupConvParams>();
  EXPECT_THAT(launch.tensor_map_at, ElementsAre(0, 128));
  const TensorMapForm x = params.x.form(), w = params.w.form();
  EXPECT_TRUE(x.im2col);
  EXPECT_THAT(x.dims, ElementsAre(144, 8, 9, 2, 0));
  EXPECT_THAT(x.strides, ElementsAre(144, 144 * 8, 144 * 8 * 9, 0));
  EXPECT_THAT(x.lower, ElementsAre(-1, -1));
  EXPECT_THAT(x.upper, ElementsAre(-2, -1)) << "first taps end at column 5 of 8, row 7 of 9";
  EXPECT_EQ(x.copied_bytes(), 128 * 128);
  EXPECT_FALSE(w.im2col);
  EXPECT_THAT(w.dims, ElementsAre(9 * 256, 20, 0, 0, 0));
  EXPECT_EQ(w.copied_bytes(), 64 * 128);
}

using Ringed = device::WarpgroupTile<2, 64, 128, 4>;
constexpr const char* kRinged = "wgmma_128x64x128";

template <PlantedInRing kPlanted>
void emulate_ring(const Launch& launch, const Options& options, emulator::Counters* counters) {
  const auto params = launch.params_as<WarpgroupConvParams>();
  emulator::run(
      launch, options, counters, Ringed::kThreads,
      [](const void* p) {
        device::warpgroup_gemm<Ringed, kPlanted>(*static_cast<const WarpgroupConvParams*>(p));
      },
      &params);
}

// Whether any schedule gives another result than the definition, or an error.
template <PlantedInRing kPlanted>
bool is_caught() {
  const ConvCase test = padded_case(conv_shape(9, 10, 64, 72, 3, 1, 1, 1, 1, 2), 5, false);
  const auto expected = test.reference();
  const Kernel kernel{"planted", "planted", 90, emulate_ring<kPlanted>};
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    for (const Copies copies : {Copies::Lazy, Copies::Eager, Copies::Random}) {
      try {
        if (test.run_kernel(kRinged, &kernel, {copies, true, seed}) != expected) return true;
      } catch (const Error&) {
        return true;
      }
    }
  }
  return false;
}

TEST(CudaWarpgroupConv, PlantedBugsAreCaught) {
  EXPECT_FALSE(is_caught<PlantedInRing::None>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoPublish>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoFirstBarrier>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoWaitForFull>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoWaitForEmpty>());
  EXPECT_TRUE(is_caught<PlantedInRing::EmptyParity>());
  EXPECT_TRUE(is_caught<PlantedInRing::EarlyRelease>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoFence>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoLastWait>());
  EXPECT_TRUE(is_caught<PlantedInRing::FewerBytes>());
  EXPECT_TRUE(is_caught<PlantedInRing::SameDescriptor>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoBarrierBeforeSums>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoBarrierAfterSums>());
  EXPECT_TRUE(is_caught<PlantedInRing::OtherSign>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoTapOffset>());
  EXPECT_TRUE(is_caught<PlantedInRing::NoLastRowTest>());
}

}  // namespace
}  // namespace kvant::backends::cuda
