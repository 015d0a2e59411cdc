// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/emulator/machine.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "base/error.h"

namespace kvant::backends::cuda::emulator {
namespace {

constexpr int kMostIdleRounds = 1 << 16;
constexpr unsigned kSlowParts = 3;
constexpr uint8_t kFreshShared = 0xCD, kGoneShared = 0xEE;
constexpr size_t kSharedAlignment = 1024;

void check_launch(const Launch& launch, unsigned most_threads) {
  const char* name = launch.kernel->name;
  const auto refuse = [name](std::string_view what) { fail("emulator: kernel {}: {}", name, what); };
  if (launch.block.x == 0 || launch.block.x % kLanes != 0 || launch.block.y != 1 || launch.block.z != 1)
    refuse("a block is a row of whole warps");
  if (launch.block.x > most_threads) refuse("more threads than its launch bounds");
  if (launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0) refuse("an empty grid");
  if (launch.grid.y > 65535 || launch.grid.z > 65535 || launch.grid.x > 0x7fffffffu)
    refuse("a grid larger than a GPU takes");
  if (launch.cluster == 0 || launch.cluster > 8 || launch.grid.z % launch.cluster != 0)
    refuse("clusters do not divide the grid");
  if (launch.shared_bytes > 227 * 1024) refuse("more shared memory than 227 KiB");
}

}  // namespace

thread_local Thread* Machine::current_thread_ = nullptr;
thread_local Machine* Machine::current_machine_ = nullptr;

Counters& Counters::operator+=(const Counters& other) {
  mma += other.mma;
  ldmatrix += other.ldmatrix;
  ldmatrix_phases += other.ldmatrix_phases;
  wgmma += other.wgmma;
  copied_bytes += other.copied_bytes;
  barriers += other.barriers;
  blocks += other.blocks;
  return *this;
}

Machine::Machine(const Launch& launch, const Options& options, void (*body)(const void*), const void* params)
    : launch_(launch), options_(options), body_(body), params_(params), random_(options.seed) {}

void Machine::run() {
  Machine* const before = current_machine_;
  current_machine_ = this;
  try {
    constexpr uint64_t kMostTogether = 3;
    const std::vector<Dim3> firsts = first_blocks();
    std::vector<std::unique_ptr<Cluster>> clusters;
    for (size_t next = 0; next < firsts.size();) {
      size_t together = options_.shuffle ? 1 + random_.below(kMostTogether) : 1;
      together = std::min(together, firsts.size() - next);
      for (size_t i = 0; i < together; ++i, ++next) {
        if (clusters.size() == i) clusters.push_back(std::make_unique<Cluster>());
        build(*clusters[i], firsts[next], static_cast<unsigned>(i) * launch_.cluster);
      }
      run_together({clusters.data(), together});
    }
    if (const auto what = handover_.end(); !what.empty())
      fail("emulator: kernel {}: {}", launch_.kernel->name, what);
  } catch (...) {
    current_machine_ = before;
    throw;
  }
  current_machine_ = before;
}

// The first block of each cluster, in the order in which they start.
std::vector<Dim3> Machine::first_blocks() {
  std::vector<Dim3> firsts;
  for (unsigned y = 0; y < launch_.grid.y; ++y) {
    for (unsigned z = 0; z < launch_.grid.z; z += launch_.cluster) {
      for (unsigned x = 0; x < launch_.grid.x; ++x) firsts.push_back({x, y, z});
    }
  }
  if (options_.shuffle) {
    for (size_t i = firsts.size(); i > 1; --i) std::swap(firsts[i - 1], firsts[random_.below(i)]);
  }
  return firsts;
}

void Machine::build(Cluster& cluster, Dim3 first, unsigned slot) {
  const bool fresh = cluster.blocks.empty();
  if (fresh) cluster.blocks.resize(launch_.cluster);
  cluster.barrier = {};
  for (unsigned rank = 0; rank < launch_.cluster; ++rank) {
    Block& block = cluster.blocks[rank];
    block.index = {first.x, first.y, first.z + rank};
    block.rank = rank;
    block.slot = slot + rank;
    block.cluster = &cluster;
    block.barrier = {};
    block.alive = launch_.block.x;
    block.handover = {};
    const Dim3& at = block.index;
    block.handover.block = at.x + uint64_t{launch_.grid.x} * (at.y + uint64_t{launch_.grid.y} * at.z);
    if (fresh) {
      block.shared_bytes = launch_.shared_bytes;
      block.storage = std::make_unique<uint8_t[]>(launch_.shared_bytes + kSharedAlignment);
      const auto address = reinterpret_cast<uintptr_t>(block.storage.get());
      block.shared = block.storage.get() + (kSharedAlignment - address % kSharedAlignment);
      block.threads.resize(launch_.block.x);
      block.warps.resize(launch_.block.x / kLanes);
    }
    block.warpgroups.assign(launch_.block.x / kWarpgroupThreads, {});
    std::fill(std::begin(block.named), std::end(block.named), Rendezvous{});
    block.mbarriers.clear();
    std::memset(block.shared, kFreshShared, block.shared_bytes);
    std::fill(block.warps.begin(), block.warps.end(), Warp{});
    for (unsigned i = 0; i < launch_.block.x; ++i) {
      Thread& thread = block.threads[i];
      thread.index = i;
      thread.block = &block;
      thread.warp = &block.warps[i / kLanes];
      thread.lane = static_cast<int>(i % kLanes);
      thread.done = false;
      thread.copies.clear();
      thread.copy_group = 0;
      thread.waits_on = nullptr;
      thread.waits_at = "its start";
      thread.product_group = thread.products_known = thread.product_fences = 0;
      thread.handover = {};
      if (fresh) {
        thread.fiber = std::make_unique<Fiber>(&Machine::thread_main, &thread);
      } else {
        thread.fiber->restart();
      }
    }
    ++counters_.blocks;
  }
}

void Machine::thread_main(void* argument) {
  Thread& thread = *static_cast<Thread*>(argument);
  Machine& machine = *current_machine_;
  try {
    machine.body_(machine.params_);
    machine.check_nothing_is_outstanding(thread);
  } catch (...) {
    machine.error_ = std::current_exception();
  }
  thread.done = true;
  Block& block = *thread.block;
  if (--block.alive == 0) std::memset(block.shared, kGoneShared, block.shared_bytes);
  thread.fiber->suspend();
}

// Of the thread's own copies, and of its block's when it is the last one.
void Machine::check_nothing_is_outstanding(const Thread& thread) const {
  if (!thread.copies.empty()) fault("it ends with asynchronous copies outstanding");
  if (thread.block->alive > 1) return;
  for (const TensorCopy& copy : tensor_copies_) {
    if (copy.block == thread.block) fault("a block ends with tensor copies outstanding");
  }
  for (const Warpgroup& warpgroup : thread.block->warpgroups) {
    if (!warpgroup.products.empty()) fault("a block ends with wgmma outstanding");
  }
}

// Three quarters of the warps, chosen anew each round, do not run; nor, for a while, do one block or a third
// of its warps.
bool Machine::stalled(const Thread& thread, uint64_t salt) const {
  const Block& block = *thread.block;
  const unsigned slow = slow_block_ % (blocks_running_ + 1), part = slow_block_ / (blocks_running_ + 1);
  const unsigned warp = thread.index / kLanes;
  if (block.slot == slow && (part == 0 ? blocks_running_ > 1 : warp % kSlowParts == part - 1)) return true;
  const uint64_t mixed = (warp + 64 * block.slot + 1) * 0x9E3779B97F4A7C15u ^ salt;
  return ((mixed * 0xD6E8FEB86659FD93u) >> 61 & 3) != 0;
}

void Machine::resume(Thread& thread) {
  thread.waits_on = nullptr;
  thread.waits_for = nullptr;
  current_thread_ = &thread;
  spinning_ = false;
  thread.fiber->resume();
  if (!spinning_) moved_ = true;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Machine::run_together(std::span<const std::unique_ptr<Cluster>> clusters) {
  std::vector<Thread*> running;
  for (const auto& cluster : clusters) {
    for (Block& block : cluster->blocks) {
      for (Thread& thread : block.threads) running.push_back(&thread);
    }
  }
  blocks_running_ = static_cast<unsigned>(clusters.size()) * launch_.cluster;
  const bool stalls = options_.shuffle && running.size() > kLanes;
  int idle = 0;
  for (uint64_t round = 0; !running.empty(); ++round) {
    if (options_.shuffle) {
      for (size_t i = running.size(); i > 1; --i) std::swap(running[i - 1], running[random_.below(i)]);
      if ((round & 63) == 0)
        slow_block_ = static_cast<unsigned>(random_.below((kSlowParts + 1) * (blocks_running_ + 1)));
    }
    const uint64_t salt = stalls ? random_.next() : 0;
    moved_ = false;
    if (options_.copies == Copies::Random && coin()) moved_ = land_a_tensor_copy();
    bool any = false, held = false;
    for (Thread* thread : running) {
      if (thread->waits_on != nullptr && *thread->waits_on == thread->waits_while) continue;
      if (stalls && stalled(*thread, salt)) {
        held = true;
        continue;
      }
      any = true;
      resume(*thread);
    }
    std::erase_if(running, [](const Thread* thread) { return thread->done; });
    idle = moved_ || held ? 0 : idle + 1;
    if (held && !moved_) slow_block_ = blocks_running_;  // nobody else can go on
    const bool stuck = !running.empty() && (idle > 0 || (!any && !held));
    if (stuck && land_a_tensor_copy()) {
      idle = 0;
      continue;
    }
    if ((!any && !held && !running.empty()) || idle > kMostIdleRounds) deadlock(running);
  }
}

void Machine::deadlock(const std::vector<Thread*>& running) const {
  std::map<std::string, std::pair<int, const Thread*>> places;
  for (const Thread* thread : running) {
    std::string place = thread->waits_at;
    if (const Mbarrier* barrier = thread->waits_for) {
      place += fmt::format(" (byte {} of shared memory, phase {}: {} arrivals and {} bytes are missing)",
                           barrier->at, barrier->phases, barrier->missing, barrier->missing_bytes);
    }
    auto& [count, first] = places[place];
    if (count++ == 0 || thread->index < first->index) first = thread;
  }
  std::string text;
  for (const auto& [place, threads] : places) {
    const Dim3& index = threads.second->block->index;
    text += fmt::format("{}{} threads wait at {} (the first is thread {} of block {},{},{})",
                        text.empty() ? "" : ", ", threads.first, place, threads.second->index, index.x,
                        index.y, index.z);
  }
  fail("emulator: kernel {}: deadlock: {}", launch_.kernel->name, text);
}

void Machine::fault(std::string_view what) const {
  const Thread& thread = *current_thread_;
  const Dim3& index = thread.block->index;
  fail("emulator: kernel {}: {} (block {},{},{}, thread {})", launch_.kernel->name, what, index.x, index.y,
       index.z, thread.index);
}

void Machine::wait(const Rendezvous& meeting, uint32_t generation, const char* at) {
  Thread& thread = *current_thread_;
  thread.waits_on = &meeting.generation;
  thread.waits_while = generation;
  thread.waits_at = at;
  thread.fiber->suspend();
}

void Machine::yield() {
  Thread& thread = *current_thread_;
  thread.waits_at = "a flag";
  spinning_ = true;
  thread.fiber->suspend();
}

bool Machine::arrive_and_wait(Rendezvous& meeting, int expected, const char* at) {
  if (++meeting.arrived == expected) {
    meeting.arrived = 0;
    ++meeting.generation;
    return true;
  }
  wait(meeting, meeting.generation, at);
  return false;
}

void Machine::land(const Copy& copy) { std::memcpy(copy.to, copy.from, copy.bytes); }

void Machine::issue(const Copy& copy) {
  counters_.copied_bytes += copy.bytes;
  Thread& thread = *current_thread_;
  if (at_once()) {
    land(copy);
  } else {
    thread.copies.push_back(copy);
    thread.copies.back().group = thread.copy_group;
  }
}

void Machine::land_copies(int pending_groups) {
  Thread& thread = *current_thread_;
  const int first_pending = thread.copy_group - pending_groups;
  std::erase_if(thread.copies, [first_pending](const Copy& copy) {
    if (copy.group >= first_pending) return false;
    land(copy);
    return true;
  });
}

void run(const Launch& launch, const Options& options, Counters* counters, unsigned most_threads,
         void (*body)(const void*), const void* params) {
  check_launch(launch, most_threads);
  Machine machine(launch, options, body, params);
  machine.run();
  if (counters != nullptr) *counters += machine.counters();
}

}  // namespace kvant::backends::cuda::emulator
