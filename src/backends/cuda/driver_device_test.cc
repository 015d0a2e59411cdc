// SPDX-License-Identifier: Apache-2.0
// The host side of a card against a fake driver: order of calls, recordings, attributes of launches, every
// refusal, and that nothing is left behind.
#include "backends/cuda/driver_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/fake_driver_test.h"
#include "backends/cuda/kernels/conv/conv_cases.h"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

using testing::HasSubstr;

struct SumParams {
  const int* x;
  int* y;
  int summand;
};

void emulate_sum(const Launch& launch, const emulator::Options&, emulator::Counters*) {
  const auto p = launch.params_as<SumParams>();
  *p.y = *p.x + p.summand;
}

const Kernel kSum = {"sum", "sums", 80, emulate_sum};
const Kernel kUnknown = {"unknown", "sums", 80, emulate_sum};
const Kernel kElsewhere = {"elsewhere", "others", 80, emulate_sum};
const unsigned char kImage[] = {1};
const Fatbin kImages[] = {{"sums", kImage}};

Launch sum(const Kernel& kernel, const std::byte* x, std::byte* y, int summand) {
  Launch launch;
  launch.kernel = &kernel;
  launch.set_params(SumParams{reinterpret_cast<const int*>(x), reinterpret_cast<int*>(y), summand});
  return launch;
}

class DriverDevices : public testing::Test {
 protected:
  DriverDevices() {
    fake = {};
    fake.kernels = {{"sum", &kSum}};
  }
  ~DriverDevices() override {
    if (given_up_) {
      fake.give_back();
      return;
    }
    EXPECT_EQ(fake.contexts, 0);
    EXPECT_EQ(fake.streams, 0);
    EXPECT_EQ(fake.events, 0);
    EXPECT_EQ(fake.modules, 0);
    EXPECT_EQ(fake.graphs, 0);
    EXPECT_EQ(fake.executables, 0);
    EXPECT_TRUE(fake.blocks.empty() && fake.host_blocks.empty()) << "memory is left behind";
  }
  static std::shared_ptr<Device> device(int ordinal = 0, double timeout = 60) {
    return driver_device(fake_driver(), ordinal, kImages, 13000, {.timeout_seconds = timeout});
  }
  template <class Fn>
  static std::string refusal(Fn fn) {
    try {
      fn();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  bool given_up_ = false;  // a card that failed is not asked to give anything back
};

TEST_F(DriverDevices, AreDescribed) {
  fake.cards = {{"Fake A100", 8, 0}, {"Fake H100", 9, 0}};
  const auto card = device(1);
  EXPECT_EQ(card->traits().id, "cuda:1");
  EXPECT_EQ(card->traits().name, "Fake H100");
  EXPECT_EQ(card->traits().sm, 90);
  EXPECT_EQ(card->traits().multiprocessors, 132);
  EXPECT_TRUE(card->has_clock());
  EXPECT_EQ(list_cards(*fake_driver()), "cuda:0 (Fake A100), cuda:1 (Fake H100)");
}

TEST_F(DriverDevices, RunWhatIsQueued) {
  const auto queue = device()->open();
  const auto x = queue->allocate(4), y = queue->allocate(4);
  const auto staging = queue->allocate_staging(4);
  const int given = 3;
  int result = -1;
  queue->upload(x.get(), reinterpret_cast<const std::byte*>(&given), 4);
  queue->launch(sum(kSum, x.get(), y.get(), 10));
  queue->launch(sum(kSum, y.get(), x.get(), 100));
  queue->download(reinterpret_cast<std::byte*>(&result), x.get(), 4);
  EXPECT_EQ(result, -1);
  queue->wait();
  EXPECT_EQ(result, 113);
  EXPECT_EQ(fake.programmatic, 2) << "on sm_90 a kernel's start overlaps the end of the one before";
  EXPECT_EQ(fake.modules, 1) << "a module is loaded once";
}

TEST_F(DriverDevices, ReplayARecording) {
  const auto queue = device()->open();
  const auto x = queue->allocate(4);
  queue->launch(sum(kSum, x.get(), x.get(), 1));
  queue->wait();
  const auto recording = queue->record([&] {
    for (int i = 0; i < 2; ++i) queue->launch(sum(kSum, x.get(), x.get(), 5));
  });
  recording->replay();
  recording->replay();
  int result = -1;
  queue->download(reinterpret_cast<std::byte*>(&result), x.get(), 4);
  queue->wait();
  EXPECT_EQ(result, 21);
  EXPECT_EQ(queue->time([&] { recording->replay(); }, 1), 2'000'000);
  EXPECT_EQ(queue->time([&] { queue->launch(sum(kSum, x.get(), x.get(), 0)); }, 20), 100'000);
}

TEST_F(DriverDevices, LeaveAFailedRecordingBehindWhole) {
  const auto queue = device()->open();
  EXPECT_EQ(refusal([&] { queue->record([] { fail("the step fails"); }); }), "the step fails");
  EXPECT_FALSE(fake.capturing);
}

TEST_F(DriverDevices, AskForSharedMemoryAndClusters) {
  fake.cards[0].major = 8;
  const auto on_80 = device()->open();
  const auto x = on_80->allocate(4);
  Launch launch = sum(kSum, x.get(), x.get(), 1);
  on_80->launch(launch);
  EXPECT_EQ(fake.programmatic, 0) << "sm_80 has no programmatic launches";
  EXPECT_EQ(fake.asked_shared, 0u);
  launch.shared_bytes = 100 << 10;
  launch.cluster = 4;
  on_80->launch(launch);
  EXPECT_EQ(fake.asked_shared, 100u << 10);
  EXPECT_EQ(fake.cluster, 4u);
  launch.shared_bytes = 300 << 10;
  EXPECT_THAT(refusal([&] { on_80->launch(launch); }),
              HasSubstr("does not give kernel 'sum' 307200 bytes of shared memory"));
  on_80->wait();
}

// The image's map is im2col, the weights' tiled; both reach the kernel through the driver.
TEST_F(DriverDevices, EncodeTensorMaps) {
  ConvCase test(conv_shape(9, 8, 32, 20, 3, 2, 1, 1, 1, 2), 1);
  test.set_form(Code::U8, Code::None, Activation::None, true);
  test.desc.x_zero_point = 0;
  const char* tactic = "wgmma_128x64x64";
  const Kernel& kernel = kernel_named("conv_wgmma_128x64x64");
  const Fatbin images[] = {{kernel.module, kImage}};
  fake.kernels = {{kernel.name, &kernel}};
  const auto queue = driver_device(fake_driver(), 0, images, 13000, {})->open();
  std::vector<std::byte> blob(conv_packed_bytes(test.desc, tactic));
  pack_conv(test.desc, tactic, {test.w.data(), test.multiplier.data(), test.bias.data()}, blob.data());
  const auto expected = test.reference();
  std::vector<uint8_t> result(expected.size());
  const auto packed = queue->allocate(blob.size()), x = queue->allocate(test.x.size());
  const auto y = queue->allocate(result.size());
  queue->upload(packed.get(), blob.data(), blob.size());
  queue->upload(x.get(), reinterpret_cast<const std::byte*>(test.x.data()), test.x.size());
  queue->launch(conv_launch(test.desc, tactic, {packed.get(), x.get(), nullptr, y.get()}));
  queue->download(reinterpret_cast<std::byte*>(result.data()), y.get(), result.size());
  queue->wait();
  EXPECT_EQ(fake.maps, 2);
  EXPECT_EQ(result, expected);
  Launch without = sum(kernel, nullptr, nullptr, 0);
  without.tensor_maps = 1;
  EXPECT_EQ(refusal([&] { queue->launch(without); }),
            "the NVIDIA driver does not take tensor map 0 of kernel 'conv_wgmma_128x64x64': CUDA_ERROR_FAKE "
            "(as the "
            "test wants it)");
}

// What blocks count in is zero after each replay of a graph.
TEST_F(DriverDevices, CountAgainInEachReplay) {
  ConvCase test(conv_shape(5, 6, 64, 40, 3, 1, 1), 4);
  test.set_form(Code::U8, Code::None, Activation::None, false);
  const char* tactic = "mma_64x64x128_k2_s4";
  const Kernel& kernel = kernel_named("conv_64x64x128_k2_s4");
  const Fatbin images[] = {{kernel.module, kImage}};
  fake.kernels = {{kernel.name, &kernel}};
  const auto queue = driver_device(fake_driver(), 0, images, 13000, {})->open();
  std::vector<std::byte> blob(conv_packed_bytes(test.desc, tactic));
  pack_conv(test.desc, tactic, {test.w.data(), test.multiplier.data(), test.bias.data()}, blob.data());
  const auto expected = test.reference();
  const Room room = conv_room(test.desc, tactic);
  const auto packed = queue->allocate(blob.size()), x = queue->allocate(test.x.size());
  const auto y = queue->allocate(expected.size()), scratch = queue->allocate(room.scratch_bytes);
  const auto counters = queue->allocate(room.counter_bytes);
  queue->upload(packed.get(), blob.data(), blob.size());
  queue->upload(x.get(), reinterpret_cast<const std::byte*>(test.x.data()), test.x.size());
  const auto run_once = [&] {
    queue->launch(conv_launch(test.desc, tactic,
                              {.packed = packed.get(),
                               .x = x.get(),
                               .y = y.get(),
                               .scratch = scratch.get(),
                               .counters = counters.get()}));
  };
  run_once();  // kernels are loaded
  queue->wait();
  const auto recording = queue->record(run_once);
  for (int run = 0; run < 3; ++run) {
    std::vector<uint8_t> result(expected.size(), 0xEE);
    std::vector<std::byte> counted(room.counter_bytes, std::byte{1});
    queue->upload(y.get(), reinterpret_cast<const std::byte*>(result.data()), result.size());
    queue->wait();
    recording->replay();
    queue->download(reinterpret_cast<std::byte*>(result.data()), y.get(), result.size());
    queue->download(counted.data(), counters.get(), counted.size());
    queue->wait();
    EXPECT_EQ(result, expected) << "replay " << run;
    EXPECT_EQ(counted, std::vector<std::byte>(room.counter_bytes)) << "replay " << run;
  }
}

TEST_F(DriverDevices, RefuseInOneSentence) {
  EXPECT_EQ(refusal([] { device(2); }), "there is no cuda:2 on this machine: it has cuda:0 (Fake H100)");
  fake.cards[0] = {"Fake T4", 7, 5};
  EXPECT_EQ(refusal([] { device(); }),
            "cuda:0 (Fake T4) has compute capability 7.5, and the kernels need 8.0 or later");
  fake.cards[0] = {};
  fake.version = 12040;
  EXPECT_EQ(
      refusal([] { device(); }),
      "the NVIDIA driver of this machine offers CUDA 12.4 and the kernels of this build need CUDA 13.0: "
      "update the driver");
  fake.version = 13010;
  EXPECT_EQ(refusal([] { device(); }), "");
  fake.retain_result = driver::kDeviceUnavailable;
  EXPECT_THAT(refusal([] { device(); }), HasSubstr("cuda:0 is held by another process for itself"));
  fake.retain_result = driver::kOutOfMemory;
  EXPECT_THAT(refusal([] { device(); }), HasSubstr("cuda:0 has no memory left for another process"));
  fake.cards.clear();
  EXPECT_EQ(refusal([] { device(); }), "the NVIDIA driver finds no card on this machine: use --device cpu");
}

TEST_F(DriverDevices, SayWhenMemoryOrAKernelIsMissing) {
  fake.memory = 1000;
  const auto queue = device()->open();
  const auto some = queue->allocate(600);
  EXPECT_EQ(refusal([&] { queue->allocate(500); }),
            "cuda:0 (Fake H100) has not enough memory: 500 bytes are needed and 400 of 1000 are free: take a "
            "smaller batch");
  EXPECT_THAT(refusal([&] { queue->launch(sum(kUnknown, nullptr, nullptr, 0)); }),
              HasSubstr("cuda:0 (Fake H100) has no kernel 'unknown': CUDA_ERROR_FAKE"));
  EXPECT_THAT(refusal([&] { queue->launch(sum(kElsewhere, nullptr, nullptr, 0)); }),
              HasSubstr("this build of kvant has no CUDA kernels 'others'"));
  queue->wait();
}

TEST_F(DriverDevices, GiveUpAfterAFault) {
  given_up_ = true;
  const auto queue = device()->open();
  const auto x = queue->allocate(4);
  queue->launch(sum(kSum, x.get(), x.get(), 1));
  fake.run_result = driver::kIllegalAddress;
  EXPECT_EQ(refusal([&] { queue->wait(); }),
            "a kernel failed on cuda:0 (Fake H100): CUDA_ERROR_FAKE (as the test wants it)");
  EXPECT_EQ(refusal([&] { queue->wait(); }), "cuda:0 failed before and cannot be used again by this process");
}

TEST_F(DriverDevices, GiveUpACardThatHangs) {
  given_up_ = true;
  const auto queue = device(0, 0.05)->open();
  fake.hangs = true;
  EXPECT_THAT(refusal([&] { queue->wait(); }), HasSubstr("did not finish within 0.05 seconds"));
}

}  // namespace
}  // namespace kvant::backends::cuda
