// SPDX-License-Identifier: Apache-2.0
// Runs kernels on the CPU from their very source: every CUDA thread is a fiber; warp collectives (ldmatrix,
// mma.sync) and of warpgroups (wgmma), barriers, clusters with distributed shared memory, asynchronous copies
// by threads and by the tensor memory accelerator behave as the PTX manual says.
#pragma once

#include <cstdint>

namespace kvant::backends::cuda::emulator {

// When an asynchronous copy lands: as late as the program allows, at once, or by the seed.
enum class Copies : uint8_t { Lazy, Eager, Random };

// The default is the fast deterministic mode: threads run in order until they have to wait.
struct Options {
  Copies copies = Copies::Lazy;
  bool shuffle = false;  // threads in random order; whole warps and CTAs stall at random
  uint64_t seed = 1;
};

struct Counters {
  int64_t mma = 0;              // warp instructions m16n8k32
  int64_t ldmatrix = 0;         // warp instructions x4
  int64_t ldmatrix_phases = 0;  // of 128 bytes; 4 for each without bank conflicts
  int64_t wgmma = 0;            // m64n8k32, of which a warpgroup instruction m64nNk32 has N / 8
  int64_t copied_bytes = 0;     // by asynchronous copies
  int64_t barriers = 0;         // of CTAs
  int64_t blocks = 0;

  Counters& operator+=(const Counters& other);
  friend bool operator==(const Counters&, const Counters&) = default;
};

}  // namespace kvant::backends::cuda::emulator
