// SPDX-License-Identifier: Apache-2.0
// Small kernels with known faults: the emulator must name each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "backends/cuda/kernels/device.cuh"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

using emulator::Copies;
using emulator::Options;
using testing::HasSubstr;

struct Params {
  int* out;
  const uint8_t* from;
};

using Body = void (*)(const Params&);

template <Body kBody>
void emulate(const Launch& launch, const Options& options, emulator::Counters* counters) {
  const auto params = launch.params_as<Params>();
  emulator::run(
      launch, options, counters, 256, [](const void* p) { kBody(*static_cast<const Params*>(p)); }, &params);
}

template <Body kBody>
struct Toy {
  static constexpr Kernel kernel{"toy", "toy", 80, emulate<kBody>};
  Launch launch;
  explicit Toy(const Params& params, unsigned threads = 64, Dim3 grid = {}, unsigned cluster = 1) {
    launch.kernel = &kernel;
    launch.block.x = threads;
    launch.grid = grid;
    launch.cluster = cluster;
    launch.shared_bytes = 1024;
    launch.set_params(params);
  }
  void operator()(const Options& options = {}, emulator::Counters* counters = nullptr) const {
    kernel.emulate(launch, options, counters);
  }
  std::string fault(const Options& options = {}) const {
    try {
      (*this)(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

int* shared_ints() { return reinterpret_cast<int*>(device::shared_memory()); }

void reverse(const Params& p) {
  const int i = device::thread_index();
  shared_ints()[i] = i * 3;
  device::barrier();
  p.out[device::block_x() * 64 + static_cast<unsigned>(i)] = shared_ints()[63 - i];
}

TEST(Emulator, BarriersOrderReadsAndWrites) {
  for (const bool shuffle : {false, true}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      std::vector<int> out(128, -1);
      emulator::Counters counters;
      Toy<reverse>({out.data(), nullptr}, 64, {2, 1, 1})({Copies::Lazy, shuffle, seed}, &counters);
      for (int i = 0; i < 128; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], (63 - i % 64) * 3);
      EXPECT_EQ(counters.barriers, 2);
      EXPECT_EQ(counters.blocks, 2);
    }
  }
}

void reverse_without_barrier(const Params& p) {
  const int i = device::thread_index();
  shared_ints()[i] = i * 3;
  p.out[i] = shared_ints()[63 - i];
}

TEST(Emulator, AMissingBarrierReadsPoison) {
  std::vector<int> out(64);
  Toy<reverse_without_barrier>({out.data(), nullptr})();
  EXPECT_EQ(out[0], static_cast<int>(0xCDCDCDCDu));
}

void half_at_the_barrier(const Params&) {
  if (device::thread_index() < 40) device::barrier();
}
void two_places(const Params&) {
  if (device::thread_index() < 32) {
    device::barrier();
  } else {
    device::cluster_barrier();
  }
}

TEST(Emulator, DeadlocksAreNamed) {
  EXPECT_THAT(
      Toy<half_at_the_barrier>({}).fault(),
      HasSubstr(
          "deadlock: 40 threads wait at a barrier of the block (the first is thread 0 of block 0,0,0)"));
  EXPECT_THAT(
      Toy<two_places>({}).fault({Copies::Lazy, true, 4}),
      HasSubstr("32 threads wait at a barrier of the block (the first is thread 0 of block 0,0,0), 32 "
                "threads wait at a barrier of the cluster"));
}

void diverge(const Params& p) {
  uint32_t r[4];
  if (device::thread_index() % 32 < 16) {
    device::load_matrix_x4(r, device::shared_memory());
  } else {
    p.out[0] = device::shuffle_xor(1, 1);
  }
}

TEST(Emulator, LanesAtDifferentInstructions) {
  int out = 0;
  EXPECT_THAT(Toy<diverge>({&out, nullptr}).fault(),
              HasSubstr("lanes of a warp are at different instructions, ldmatrix and shfl"));
}

void misaligned_copy(const Params& p) {
  device::copy_async<16>(device::shared_memory(), p.from + 4);
  device::wait_copies<0>();
}
void copy_outside(const Params& p) {
  device::copy_async<16>(device::shared_memory() + 1024, p.from);
  device::wait_copies<0>();
}
void copy_without_wait(const Params& p) { device::copy_async<16>(device::shared_memory(), p.from); }
void misaligned_load(const Params& p) { p.out[0] = static_cast<int>(device::load<uint32_t>(p.from + 2)); }

TEST(Emulator, BadAccesses) {
  alignas(16) const uint8_t from[32] = {};
  int out = 0;
  EXPECT_THAT(Toy<misaligned_copy>({&out, from}).fault(), HasSubstr("a misaligned access of 16 bytes"));
  EXPECT_THAT(Toy<copy_outside>({&out, from}).fault(), HasSubstr("outside of shared memory"));
  EXPECT_THAT(Toy<copy_without_wait>({&out, from}).fault(), HasSubstr("ends with asynchronous copies"));
  EXPECT_THAT(Toy<misaligned_load>({&out, from}).fault(), HasSubstr("a misaligned access of 4 bytes"));
}

// Reads what was copied two groups ago, with a wait for one group too few.
template <int kPending>
void staged_copy(const Params& p) {
  uint8_t* to = device::shared_memory() + device::thread_index() * 16;
  if (device::thread_index() >= 32) return;
  device::copy_async<16>(to, p.from);
  device::commit_copies();
  device::commit_copies();
  device::wait_copies<kPending>();
  p.out[device::thread_index()] = to[0];
  device::wait_copies<0>();
}

TEST(Emulator, CopiesLandAsLateAsTheWaitAllows) {
  alignas(16) const uint8_t from[16] = {7};
  std::vector<int> out(32);
  Toy<staged_copy<1>>({out.data(), from})();
  EXPECT_EQ(out[5], 7);
  Toy<staged_copy<2>>({out.data(), from})();
  EXPECT_EQ(out[5], 0xCD);
  Toy<staged_copy<2>>({out.data(), from})({Copies::Eager, false, 1});
  EXPECT_EQ(out[5], 7);
}

// Each block of a cluster reads its neighbour's shared memory.
template <bool kLastBarrier>
void read_neighbour(const Params& p) {
  const int i = device::thread_index();
  const unsigned rank = device::cluster_rank();
  shared_ints()[i] = static_cast<int>(rank) * 100 + i;
  device::cluster_barrier();
  const device::Vector16 v = device::load_peer(shared_ints() + i / 4 * 4, (rank + 1) % 4);
  p.out[rank * 64 + static_cast<unsigned>(i)] = v.x;
  if (kLastBarrier) device::cluster_barrier();
}

TEST(Emulator, ClustersShareMemoryWhileTheyLive) {
  bool gone = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<int> out(256);
    Toy<read_neighbour<true>>({out.data(), nullptr}, 64, {1, 1, 4}, 4)({Copies::Lazy, true, seed});
    for (int i = 0; i < 256; ++i)
      ASSERT_EQ(out[static_cast<size_t>(i)], (i / 64 + 1) % 4 * 100 + i % 64 / 4 * 4);
    Toy<read_neighbour<false>>({out.data(), nullptr}, 64, {1, 1, 4}, 4)({Copies::Lazy, true, seed});
    for (const int v : out) gone = gone || v == static_cast<int>(0xEEEEEEEEu);
  }
  EXPECT_TRUE(gone) << "a block that left early was never noticed";
}

TEST(Emulator, LaunchesThatNoGpuTakes) {
  const auto fault = [](auto change) {
    Toy<reverse> run({});
    change(run.launch);
    return run.fault();
  };
  EXPECT_THAT(fault([](Launch& l) { l.block.x = 33; }), HasSubstr("whole warps"));
  EXPECT_THAT(fault([](Launch& l) { l.block.x = 512; }), HasSubstr("more threads than its launch bounds"));
  EXPECT_THAT(fault([](Launch& l) { l.grid.x = 0; }), HasSubstr("empty grid"));
  EXPECT_THAT(fault([](Launch& l) { l.grid.y = 70000; }), HasSubstr("larger than a GPU takes"));
  EXPECT_THAT(fault([](Launch& l) { l.cluster = 2; }), HasSubstr("clusters do not divide"));
  EXPECT_THAT(fault([](Launch& l) { l.shared_bytes = 1 << 20; }), HasSubstr("more shared memory"));
}

void wait_for_flag(const Params& p) {
  volatile int* flag = p.out;
  while (*flag == 0) emulator::Machine::machine().yield();
}

TEST(Emulator, AFlagThatNobodySetsIsADeadlock) {
  int flag = 0;
  EXPECT_THAT(Toy<wait_for_flag>({&flag, nullptr}, 32).fault(), HasSubstr("32 threads wait at a flag"));
}

}  // namespace
}  // namespace kvant::backends::cuda
