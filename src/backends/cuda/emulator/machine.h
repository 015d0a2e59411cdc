// SPDX-License-Identifier: Apache-2.0
// The state of an emulated grid as the device layer (device.h beside) sees it: threads, warps, blocks,
// clusters, and how a thread waits for others.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cuda/emulator/emulator.h"
#include "backends/cuda/emulator/fiber.h"
#include "backends/cuda/emulator/handover.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/tensor_map.h"
#include "base/random.h"

namespace kvant::backends::cuda::emulator {

struct Block;
struct Cluster;
class Machine;

inline constexpr int kLanes = 32, kWarpgroupThreads = 128, kNamedBarriers = 16;

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

// An mbarrier. A phase ends when no arrival and no byte is missing any more.
struct Mbarrier {
  uint32_t at = 0;      // in shared memory
  uint32_t phases = 0;  // that have ended
  int expected = 0, missing = 0;
  int64_t missing_bytes = 0;
  bool published = false;  // to the copies
};

// A copy of the tensor memory accelerator that has not landed.
struct TensorCopy {
  Block* block;
  uint32_t to;
  TensorMapForm form;
  int at[kMostTensorRank];
  int offset_w, offset_h;  // im2col
  Mbarrier* barrier;
};

// A wgmma that has been issued and has not read its operands.
struct WarpgroupProduct {
  uint64_t a, b;  // descriptors
  int columns;
  bool a_signed;
  int group;
  int* sums[kWarpgroupThreads];
};

struct Warpgroup {
  Rendezvous meeting;
  void* arguments[kWarpgroupThreads] = {};
  std::deque<WarpgroupProduct> products;
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
  const Mbarrier* waits_for = nullptr;
  int product_group = 0;   // wgmma groups committed
  int products_known = 0;  // groups that a wait has seen the end of
  int product_fences = 0;
  ThreadHandover handover;
  std::unique_ptr<Fiber> fiber;
};

struct Block {
  Dim3 index;
  unsigned rank = 0;  // in the cluster
  unsigned slot = 0;  // among all blocks that run
  uint8_t* shared = nullptr;
  size_t shared_bytes = 0;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<Warpgroup> warpgroups;
  Rendezvous barrier;
  Rendezvous named[kNamedBarriers];
  std::map<uint32_t, Mbarrier> mbarriers;
  size_t alive = 0;
  BlockHandover handover;
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
  Handover& handover() { return handover_; }
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
  // Lands at once, or when nobody can go on without it, or at random (emulator/warpgroup.cc).
  void issue(const TensorCopy& copy);
  // Whether an asynchronous operation that is issued now happens now.
  bool at_once() { return options_.copies == Copies::Eager || (options_.copies == Copies::Random && coin()); }

 private:
  std::vector<Dim3> first_blocks();
  void run_together(std::span<const std::unique_ptr<Cluster>> clusters);
  void build(Cluster& cluster, Dim3 first, unsigned slot);
  bool stalled(const Thread& thread, uint64_t salt) const;
  void resume(Thread& thread);
  [[noreturn]] void deadlock(const std::vector<Thread*>& running) const;
  static void thread_main(void* argument);
  static void land(const Copy& copy);
  bool land_a_tensor_copy();
  void check_nothing_is_outstanding(const Thread& thread) const;

  const Launch& launch_;
  const Options& options_;
  void (*body_)(const void*);
  const void* params_;
  Counters counters_;
  Random random_;
  std::exception_ptr error_;
  std::vector<TensorCopy> tensor_copies_;
  Handover handover_;
  bool moved_ = false;     // this round some thread ran that does not merely look at a flag
  bool spinning_ = false;  // the thread that ran last yielded by itself
  unsigned slow_block_ = 0, blocks_running_ = 1;
  static thread_local Thread* current_thread_;
  static thread_local Machine* current_machine_;
};

// What KVANT_KERNEL (kernels/device.cuh) calls.
void run(const Launch& launch, const Options& options, Counters* counters, unsigned most_threads,
         void (*body)(const void*), const void* params);

}  // namespace kvant::backends::cuda::emulator
