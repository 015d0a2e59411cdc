// SPDX-License-Identifier: Apache-2.0
// The state of an emulated grid as the device layer (device.h beside) sees it: threads, warps, blocks,
// clusters, and how a thread waits for others.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cuda/emulator/emulator.h"
#include "backends/cuda/emulator/fiber.h"
#include "backends/cuda/kernels/launch.h"
#include "base/random.h"

namespace kvant::backends::cuda::emulator {

struct Block;
struct Cluster;
class Machine;

inline constexpr int kLanes = 32;

// An asynchronous copy that has been issued and has not landed.
struct Copy {
  void* to;
  const void* from;
  uint32_t bytes;
  int group;
};

// Where threads wait for each other; the one that completes it moves `generation` on.
struct Rendezvous {
  int arrived = 0;
  uint32_t generation = 0;
};

// A collective instruction of a warp: each lane leaves its arguments, the last to arrive computes for all.
struct Warp {
  Rendezvous meeting;
  const char* instruction = nullptr;
  void* arguments[kLanes] = {};
};

struct Thread {
  unsigned index = 0;  // x; blocks are one-dimensional
  Block* block = nullptr;
  Warp* warp = nullptr;
  int lane = 0;
  bool done = false;
  std::vector<Copy> copies;
  int copy_group = 0;
  const uint32_t* waits_on = nullptr;  // blocked while it holds waits_while
  uint32_t waits_while = 0;
  const char* waits_at = "";
  std::unique_ptr<Fiber> fiber;
};

struct Block {
  Dim3 index;
  unsigned rank = 0;  // in the cluster
  uint8_t* shared = nullptr;
  size_t shared_bytes = 0;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Rendezvous barrier;
  size_t alive = 0;
  Cluster* cluster = nullptr;
  std::unique_ptr<uint8_t[]> storage;
};

struct Cluster {
  std::vector<Block> blocks;
  Rendezvous barrier;
};

// One run of a launch; current() while a fiber of it runs.
class Machine {
 public:
  Machine(const Launch& launch, const Options& options, void (*body)(const void*), const void* params);
  void run();

  static Thread& current() { return *current_thread_; }
  static Machine& machine() { return *current_machine_; }

  const Launch& launch() const { return launch_; }
  const Options& options() const { return options_; }
  Counters& counters() { return counters_; }
  bool coin() { return (random_.next() & 1) != 0; }

  // Blocks the current thread until the rendezvous moves on from `generation`.
  void wait(const Rendezvous& meeting, uint32_t generation, const char* at);
  // Lets others run; for loops that wait for a flag.
  void yield();
  // Arrives; true for the one that completes the number. The others are back only afterwards.
  bool arrive_and_wait(Rendezvous& meeting, int expected, const char* at);
  // The error of this thread: it ends the run.
  [[noreturn]] void fault(std::string_view what) const;

  void issue(const Copy& copy);
  void land_copies(int pending_groups);

 private:
  void run_cluster(Cluster& cluster);
  void build(Cluster& cluster, unsigned x, unsigned y, unsigned first_z);
  bool stalled(const Thread& thread, uint64_t salt) const;
  void resume(Thread& thread);
  [[noreturn]] void deadlock(const std::vector<Thread*>& running) const;
  static void thread_main(void* argument);
  static void land(const Copy& copy);

  const Launch& launch_;
  const Options& options_;
  void (*body_)(const void*);
  const void* params_;
  Counters counters_;
  Random random_;
  std::exception_ptr error_;
  bool moved_ = false;     // this round some thread ran that does not merely look at a flag
  bool spinning_ = false;  // the thread that ran last yielded by itself
  unsigned slow_block_ = 0;
  static thread_local Thread* current_thread_;
  static thread_local Machine* current_machine_;
};

// What KVANT_KERNEL (kernels/device.cuh) calls.
void run(const Launch& launch, const Options& options, Counters* counters, unsigned most_threads,
         void (*body)(const void*), const void* params);

}  // namespace kvant::backends::cuda::emulator
