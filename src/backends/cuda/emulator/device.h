// SPDX-License-Identifier: Apache-2.0
// The device layer of kernels/device.cuh on the CPU; read the comments there for what each does.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "backends/cuda/emulator/machine.h"
#include "tensor/quantize.h"

#define KVANT_DEVICE inline
#define KVANT_UNROLL
#define KVANT_NO_UNROLL
#define KVANT_KERNEL(symbol, threads, blocks_per_sm, Params, ...)                     \
  void emulate_##symbol(const Launch& launch, const emulator::Options& options,       \
                        emulator::Counters* counters) {                               \
    const Params params = launch.params_as<Params>();                                 \
    emulator::run(                                                                    \
        launch, options, counters, threads,                                           \
        [](const void* p) { __VA_ARGS__(*static_cast<const Params*>(p)); }, &params); \
  }

namespace kvant::backends::cuda::device {

using emulator::Machine;

struct alignas(16) Vector16 {
  int32_t x, y, z, w;
};
struct alignas(8) Pair {
  int32_t x, y;
};

inline uint8_t* shared_memory() { return Machine::current().block->shared; }
inline int thread_index() { return static_cast<int>(Machine::current().index); }
inline int block_threads() { return static_cast<int>(Machine::machine().launch().block.x); }
inline unsigned block_x() { return Machine::current().block->index.x; }
inline unsigned block_y() { return Machine::current().block->index.y; }
inline unsigned block_z() { return Machine::current().block->index.z; }
inline unsigned grid_x() { return Machine::machine().launch().grid.x; }

inline void check_aligned(const void* p, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0)
    Machine::machine().fault(fmt::format("a misaligned access of {} bytes", bytes));
}
// Fails unless the bytes lie in this block's shared memory.
inline void check_shared(const void* p, size_t bytes) {
  const emulator::Block& block = *Machine::current().block;
  const auto first = reinterpret_cast<uintptr_t>(p), base = reinterpret_cast<uintptr_t>(block.shared);
  if (first < base || first + bytes > base + block.shared_bytes)
    Machine::machine().fault("an address outside of shared memory");
}

template <int kBytes>
inline void copy_async(void* shared, const void* global) {
  check_aligned(shared, kBytes);
  check_aligned(global, kBytes);
  check_shared(shared, kBytes);
  Machine::machine().issue({shared, global, kBytes, 0});
}
inline void commit_copies() { ++Machine::current().copy_group; }
template <int kPending>
inline void wait_copies() {
  Machine::machine().land_copies(kPending);
}

void barrier();
void cluster_barrier();
void warp_barrier();
inline unsigned cluster_rank() { return Machine::current().block->rank; }

// A collective: `compute` runs once for the whole warp, on the arguments of all lanes.
void collective(const char* instruction, void* arguments, void (*compute)(void* const* arguments));

struct LoadMatrixArguments {
  uint32_t* result;
  const void* row;
};
void load_matrices(void* const* arguments);
inline void load_matrix_x4(uint32_t (&r)[4], const void* row) {
  check_aligned(row, 16);
  check_shared(row, 16);
  LoadMatrixArguments arguments{r, row};
  collective("ldmatrix", &arguments, load_matrices);
}

struct MultiplyArguments {
  int* sums;          // [m][2 * n][4]
  const uint32_t* a;  // [m][4]
  const uint32_t* b;  // [n][4]
  int m, n;
};
void multiply_tiles(void* const* arguments);
template <int kM, int kN>
inline void multiply_tile(int (&sums)[kM][2 * kN][4], const uint32_t (&a)[kM][4],
                          const uint32_t (&b)[kN][4]) {
  MultiplyArguments arguments{&sums[0][0][0], &a[0][0], &b[0][0], kM, kN};
  collective("mma.sync", &arguments, multiply_tiles);
}

inline int dot4(uint32_t a, uint32_t b, int c) {
  auto sum = static_cast<uint32_t>(c);
  for (int i = 0; i < 32; i += 8)
    sum += static_cast<uint32_t>(static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i));
  return static_cast<int>(sum);
}
inline uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t both = static_cast<uint64_t>(b) << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i)
    result |= static_cast<uint32_t>(both >> (8 * (selector >> (4 * i) & 7)) & 255) << (8 * i);
  return result;
}

struct ShuffleArguments {
  uint64_t value;
  int mask;
};
void shuffle_lanes(void* const* arguments);
template <class T>
inline T shuffle_xor(T value, int mask) {
  static_assert(sizeof(T) <= 8);
  ShuffleArguments arguments{0, mask};
  std::memcpy(&arguments.value, &value, sizeof(T));
  collective("shfl", &arguments, shuffle_lanes);
  std::memcpy(&value, &arguments.value, sizeof(T));
  return value;
}

inline float fma_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float multiply_rn(float a, float b) { return a * b; }
inline float add_rn(float a, float b) { return a + b; }
inline float divide_rn(float a, float b) { return a / b; }
inline float square_root_rn(float a) { return std::sqrt(a); }
inline float to_float(int32_t value) { return static_cast<float>(value); }
inline int32_t round_to_int(float value) { return round_even(value); }

template <class T>
inline T load(const void* p) {
  check_aligned(p, sizeof(T));
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}
template <class T>
inline void store(void* p, const T& value) {
  check_aligned(p, sizeof(T));
  std::memcpy(p, &value, sizeof(T));
}
template <class T>
inline T load_constant(const void* p) {
  return load<T>(p);
}

inline void demand(std::string_view fault) {
  if (!fault.empty()) Machine::machine().fault(fault);
}
inline void hand_over(void* p, const Vector16& value) {
  emulator::Thread& thread = Machine::current();
  demand(Machine::machine().handover().write(thread.handover, thread.block->handover, p));
  store(p, value);
}
inline void publish_writes() {
  emulator::Thread& thread = Machine::current();
  Machine::machine().handover().publish(thread.handover, thread.block->handover);
}
inline bool arrives_last(uint32_t* counter, uint32_t blocks) {
  check_aligned(counter, sizeof *counter);
  bool last = false;
  demand(Machine::machine().handover().count(Machine::current().block->handover, counter, blocks, last));
  return last;
}
inline Vector16 take_over(const void* p) {
  const emulator::Thread& thread = Machine::current();
  demand(Machine::machine().handover().read(thread.handover, thread.block->handover, p));
  return load<Vector16>(p);
}

inline void wait_for_previous() {}
inline void let_next_start() {}

Vector16 load_peer(const void* p, unsigned rank);

}  // namespace kvant::backends::cuda::device
