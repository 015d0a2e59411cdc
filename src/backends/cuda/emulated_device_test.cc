// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/emulated_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

using testing::HasSubstr;

struct AddParams {
  const int* x;
  int* y;
  int count, summand;
};

void emulate_add(const Launch& launch, const emulator::Options&, emulator::Counters*) {
  const auto p = launch.params_as<AddParams>();
  for (int i = 0; i < p.count; ++i) p.y[i] = p.x[i] + p.summand;
}

const Kernel kAdd = {"add", "test", 80, emulate_add};
const Kernel kAddOn90 = {"add_on_90", "test", 90, emulate_add};

Launch add(const Kernel& kernel, const std::byte* x, std::byte* y, int count, int summand) {
  Launch launch;
  launch.kernel = &kernel;
  launch.set_params(AddParams{reinterpret_cast<const int*>(x), reinterpret_cast<int*>(y), count, summand});
  return launch;
}

template <class Fn>
std::string refusal(Fn fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(EmulatedDevice, RunsWhatIsQueuedInOrder) {
  const auto queue = emulated_device()->open();
  const auto x = queue->allocate(16), y = queue->allocate(16);
  const std::vector<int> given = {1, 2, 3, 4};
  std::vector<int> result(4, -1);
  queue->upload(x.get(), reinterpret_cast<const std::byte*>(given.data()), 16);
  queue->launch(add(kAdd, x.get(), y.get(), 4, 10));
  queue->launch(add(kAdd, y.get(), x.get(), 4, 100));
  queue->download(reinterpret_cast<std::byte*>(result.data()), x.get(), 16);
  EXPECT_EQ(result, std::vector<int>(4, -1)) << "nothing happens before wait()";
  queue->wait();
  EXPECT_EQ(result, (std::vector<int>{111, 112, 113, 114}));
}

TEST(EmulatedDevice, ReplaysARecording) {
  const auto queue = emulated_device()->open();
  const auto x = queue->allocate(4);
  const auto recording = queue->record([&] { queue->launch(add(kAdd, x.get(), x.get(), 1, 5)); });
  for (int i = 0; i < 3; ++i) recording->replay();
  int result = -1;
  queue->download(reinterpret_cast<std::byte*>(&result), x.get(), 4);
  queue->wait();
  EXPECT_EQ(result, 15);
  EXPECT_GE(queue->time([&] { recording->replay(); }, 1), 0);
}

TEST(EmulatedDevice, KeepsItsMemoryToItself) {
  const auto queue = emulated_device()->open();
  const auto memory = queue->allocate(64);
  EXPECT_DEATH(memory.get()[3] = std::byte{1}, "");
}

TEST(EmulatedDevice, RefusesInOneSentence) {
  const auto device = emulated_device({.sm = 80, .memory_bytes = 1000});
  const auto queue = device->open();
  auto first = queue->allocate(700);
  EXPECT_EQ(refusal([&] { queue->allocate(400); }),
            "emulated-cuda has not enough memory: 400 bytes are needed and 300 are free");
  first.reset();
  EXPECT_EQ(refusal([&] { queue->allocate(400); }), "") << "freed memory is there again";
  EXPECT_THAT(refusal([&] { queue->launch(add(kAddOn90, nullptr, nullptr, 0, 0)); }),
              HasSubstr("a kernel is launched on a card that cannot run it"));
}

}  // namespace
}  // namespace kvant::backends::cuda
