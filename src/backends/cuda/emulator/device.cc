// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/emulator/device.h"

#include <algorithm>
#include <vector>

namespace kvant::backends::cuda::device {

using emulator::kLanes;

void barrier() {
  emulator::Block& block = *Machine::current().block;
  Machine& machine = Machine::machine();
  const auto expected = static_cast<int>(block.threads.size());
  if (machine.arrive_and_wait(block.barrier, expected, "a barrier of the block"))
    ++machine.counters().barriers;
}

void cluster_barrier() {
  emulator::Cluster& cluster = *Machine::current().block->cluster;
  const size_t threads = cluster.blocks.size() * cluster.blocks[0].threads.size();
  Machine::machine().arrive_and_wait(cluster.barrier, static_cast<int>(threads), "a barrier of the cluster");
}

void collective(const char* instruction, void* arguments, void (*compute)(void* const* arguments)) {
  emulator::Thread& thread = Machine::current();
  emulator::Warp& warp = *thread.warp;
  Machine& machine = Machine::machine();
  if (warp.meeting.arrived == 0) {
    warp.instruction = instruction;
  } else if (warp.instruction != instruction && std::strcmp(warp.instruction, instruction) != 0) {
    machine.fault(fmt::format("lanes of a warp are at different instructions, {} and {}", warp.instruction,
                              instruction));
  }
  warp.arguments[thread.lane] = arguments;
  const uint32_t generation = warp.meeting.generation;
  if (++warp.meeting.arrived == kLanes) {
    compute(warp.arguments);
    warp.meeting.arrived = 0;
    ++warp.meeting.generation;
  } else {
    machine.wait(warp.meeting, generation, instruction);
  }
}

void warp_barrier() {
  collective("a barrier of the warp", nullptr, [](void* const*) {});
}

// Eight rows of a matrix are read in one phase unless two lie in the same 16-byte bank group.
void load_matrices(void* const* arguments) {
  emulator::Counters& counters = Machine::machine().counters();
  ++counters.ldmatrix;
  const auto lane = [arguments](int i) { return static_cast<LoadMatrixArguments*>(arguments[i]); };
  for (int matrix = 0; matrix < 4; ++matrix) {
    int uses[8] = {}, most = 0;
    for (int i = 0; i < 8; ++i) {
      const auto group = reinterpret_cast<uintptr_t>(lane(matrix * 8 + i)->row) >> 4 & 7;
      most = std::max(most, ++uses[group]);
    }
    counters.ldmatrix_phases += most;
    for (int i = 0; i < kLanes; ++i)
      std::memcpy(&lane(i)->result[matrix],
                  static_cast<const uint8_t*>(lane(matrix * 8 + i / 4)->row) + (i % 4) * 4, 4);
  }
}

namespace {

// Where the PTX manual puts the elements of m16n8k32 with 8-bit factors: lane l holds rows l / 4 and l / 4 +
// 8, columns 4 * (l % 4) and 16 more.
void unpack(const uint32_t word, int16_t* to) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<int8_t>(word >> (8 * i));
}

}  // namespace

void multiply_tiles(void* const* arguments) {
  const auto lane = [arguments](int i) { return static_cast<const MultiplyArguments*>(arguments[i]); };
  const int m = lane(0)->m, n = lane(0)->n;
  constexpr int kMost = 8;
  KVANT_CHECK(m <= kMost && n <= kMost, "a tile too large for the emulator");
  Machine::machine().counters().mma += static_cast<int64_t>(m) * n * 2;
  alignas(64) int16_t a[kMost * 16][32], b[kMost * 16][32];
  for (int l = 0; l < kLanes; ++l) {
    const int g = l >> 2, column = (l & 3) * 4;
    for (int i = 0; i < m; ++i) {
      const uint32_t* from = lane(l)->a + i * 4;
      unpack(from[0], &a[i * 16 + g][column]);
      unpack(from[1], &a[i * 16 + g + 8][column]);
      unpack(from[2], &a[i * 16 + g][column + 16]);
      unpack(from[3], &a[i * 16 + g + 8][column + 16]);
    }
    for (int j = 0; j < n; ++j) {
      const uint32_t* from = lane(l)->b + j * 4;
      unpack(from[0], &b[j * 16 + g][column]);
      unpack(from[1], &b[j * 16 + g][column + 16]);
      unpack(from[2], &b[j * 16 + g + 8][column]);
      unpack(from[3], &b[j * 16 + g + 8][column + 16]);
    }
  }
  for (int l = 0; l < kLanes; ++l) {
    int* sums = lane(l)->sums;
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < 2 * n; ++j) {
        for (int e = 0; e < 4; ++e) {
          const int16_t* row = a[i * 16 + (l >> 2) + (e >> 1) * 8];
          const int16_t* column = b[j * 8 + (l & 3) * 2 + (e & 1)];
          int32_t sum = 0;
          for (int k = 0; k < 32; ++k) sum += row[k] * column[k];
          int& total = sums[(i * 2 * n + j) * 4 + e];
          total = static_cast<int>(static_cast<uint32_t>(total) + static_cast<uint32_t>(sum));
        }
      }
    }
  }
}

void shuffle_lanes(void* const* arguments) {
  uint64_t values[kLanes];
  for (int i = 0; i < kLanes; ++i) values[i] = static_cast<ShuffleArguments*>(arguments[i])->value;
  for (int i = 0; i < kLanes; ++i) {
    auto* lane = static_cast<ShuffleArguments*>(arguments[i]);
    lane->value = values[(i ^ lane->mask) & (kLanes - 1)];
  }
}

Vector16 load_peer(const void* p, unsigned rank) {
  check_aligned(p, 16);
  check_shared(p, 16);
  const emulator::Block& own = *Machine::current().block;
  if (rank >= own.cluster->blocks.size()) Machine::machine().fault("a block that the cluster does not have");
  Vector16 value;
  std::memcpy(&value, own.cluster->blocks[rank].shared + (static_cast<const uint8_t*>(p) - own.shared), 16);
  return value;
}

}  // namespace kvant::backends::cuda::device
