// SPDX-License-Identifier: Apache-2.0
// The device layer: everything that a kernel takes from the machine. Under nvcc these are inline PTX; under a
// C++ compiler the emulator has functions of the same names (emulator/device.h), so that the same kernel
// source runs on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define KVANT_DEVICE __device__ __forceinline__
#define KVANT_UNROLL _Pragma("unroll")
#define KVANT_NO_UNROLL _Pragma("unroll 1")
// Defines the kernel `symbol`: it hands its one parameter struct to the function that follows.
#define KVANT_KERNEL(symbol, threads, blocks_per_sm, Params, ...)      \
  extern "C" __global__ void __launch_bounds__(threads, blocks_per_sm) \
      symbol(const __grid_constant__ Params params) {                  \
    __VA_ARGS__(params);                                               \
  }

namespace kvant::backends::cuda::device {

extern __shared__ __align__(1024) uint8_t dynamic_shared[];

KVANT_DEVICE uint8_t* shared_memory() { return dynamic_shared; }
KVANT_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
KVANT_DEVICE int block_threads() { return static_cast<int>(blockDim.x); }
KVANT_DEVICE unsigned block_x() { return blockIdx.x; }
KVANT_DEVICE unsigned block_y() { return blockIdx.y; }
KVANT_DEVICE unsigned block_z() { return blockIdx.z; }
KVANT_DEVICE unsigned grid_x() { return gridDim.x; }

KVANT_DEVICE uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Asynchronous copies of 16, 8 or 4 bytes from global to shared memory, in groups.
template <int kBytes>
KVANT_DEVICE void copy_async(void* shared, const void* global) {
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(shared_address(shared)), "l"(global)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;\n" ::"r"(shared_address(shared)), "l"(global),
                 "n"(kBytes)
                 : "memory");
  }
}
KVANT_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
// Waits until at most `kPending` of this thread's groups are under way.
template <int kPending>
KVANT_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

KVANT_DEVICE void barrier() { __syncthreads(); }
KVANT_DEVICE void warp_barrier() { __syncwarp(); }

// Loads four 8x8 matrices of 16-bit pairs; lane i gives row i % 8 of matrix i / 8, 16 bytes.
KVANT_DEVICE void load_matrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
KVANT_DEVICE void multiply_m16n8k32(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};\n"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// sums[i][j] += a[i] * b[j] for kM fragments of 16 rows and 2 * kN of 8 columns.
template <int kM, int kN>
KVANT_DEVICE void multiply_tile(int (&sums)[kM][2 * kN][4], const uint32_t (&a)[kM][4],
                                const uint32_t (&b)[kN][4]) {
  KVANT_UNROLL
  for (int i = 0; i < kM; ++i) {
    KVANT_UNROLL
    for (int j = 0; j < kN; ++j) {
      multiply_m16n8k32(sums[i][2 * j], a[i], b[j][0], b[j][1]);
      multiply_m16n8k32(sums[i][2 * j + 1], a[i], b[j][2], b[j][3]);
    }
  }
}

// c + the four products of signed bytes.
KVANT_DEVICE int dot4(uint32_t a, uint32_t b, int c) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
}
// Four bytes out of the eight of b:a, chosen by the nibbles of `selector`.
KVANT_DEVICE uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  return __byte_perm(a, b, selector);
}

template <class T>
KVANT_DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// Rounding is in the name, so that no compiler flag decides it.
KVANT_DEVICE float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
KVANT_DEVICE float multiply_rn(float a, float b) { return __fmul_rn(a, b); }
KVANT_DEVICE float add_rn(float a, float b) { return __fadd_rn(a, b); }
KVANT_DEVICE float divide_rn(float a, float b) { return __fdiv_rn(a, b); }
KVANT_DEVICE float square_root_rn(float a) { return __fsqrt_rn(a); }
KVANT_DEVICE float to_float(int32_t value) { return __int2float_rn(value); }
// Half to even, saturating, NaN gives 0: round_even() of tensor/quantize.h.
KVANT_DEVICE int32_t round_to_int(float value) { return __float2int_rn(value); }

// Reads and writes of 16 and 8 bytes.
struct alignas(16) Vector16 {
  int32_t x, y, z, w;
};
struct alignas(8) Pair {
  int32_t x, y;
};
template <class T>
KVANT_DEVICE T load(const void* p) {
  return *static_cast<const T*>(p);
}
template <class T>
KVANT_DEVICE void store(void* p, const T& value) {
  *static_cast<T*>(p) = value;
}
// Of memory that no kernel of this launch sequence writes.
template <class T>
KVANT_DEVICE T load_constant(const void* p) {
  return __ldg(static_cast<const T*>(p));
}

// Blocks that meet in global memory (emulator/handover.h watches them). Each thread hands over and publishes,
// then, behind a barrier, one thread counts the block; all threads of the one that arrives last publish once
// more and take over. They go past the first-level cache, which is not coherent.
KVANT_DEVICE void hand_over(void* p, const Vector16& v) {
  __stcg(static_cast<int4*>(p), make_int4(v.x, v.y, v.z, v.w));
}
KVANT_DEVICE void publish_writes() { __threadfence(); }
// Counts one of `blocks` blocks. The last one leaves the counter zero, as it was before the first.
KVANT_DEVICE bool arrives_last(uint32_t* counter, uint32_t blocks) {
  return atomicInc(counter, blocks - 1) == blocks - 1;
}
KVANT_DEVICE Vector16 take_over(const void* p) {
  const int4 v = __ldcg(static_cast<const int4*>(p));
  return {v.x, v.y, v.z, v.w};
}

// Programmatic dependent launch. Every thread that reads what an earlier kernel wrote, or writes, waits
// first; without the launch attribute both do nothing.
KVANT_DEVICE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
KVANT_DEVICE void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

KVANT_DEVICE unsigned cluster_rank() {
#if __CUDA_ARCH__ >= 900
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#else
  return 0;
#endif
}
KVANT_DEVICE void cluster_barrier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
// 16 bytes of the shared memory of block `rank` of this cluster, at the place that `p` has in this block's.
KVANT_DEVICE Vector16 load_peer(const void* p, unsigned rank) {
  Vector16 v{0, 0, 0, 0};
#if __CUDA_ARCH__ >= 900
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(p)), "r"(rank));
  asm volatile("ld.shared::cluster.v4.s32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
#endif
  return v;
}

}  // namespace kvant::backends::cuda::device

#else
#include "backends/cuda/emulator/device.h"
#endif
