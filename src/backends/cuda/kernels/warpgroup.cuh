// SPDX-License-Identifier: Apache-2.0
// The device layer of sm_90a, for kernels whose warps have different parts: mbarriers in shared memory,
// copies of tensor tiles that announce themselves to one, and products of a warpgroup (four warps) that read
// shared memory. Under a C++ compiler emulator/warpgroup.h has functions of the same names.
#pragma once

#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/tensor_map.h"

#if defined(__CUDACC__)

namespace kvant::backends::cuda::device {

// A barrier in shared memory whose phase ends when `arrivals` threads have arrived and as many bytes have
// landed as they said to expect. One thread initializes and publishes; then the block meets.
KVANT_DEVICE void init_mbarrier(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
}
KVANT_DEVICE void publish_mbarriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
KVANT_DEVICE void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
KVANT_DEVICE void arrive_expecting(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
}
// Until the phase of that parity has ended (the phases are numbered from 0). A wait that lasts for many
// seconds is an error of ours: it ends the kernel and not the machine.
KVANT_DEVICE void wait_phase(uint64_t* barrier, int parity) {
  constexpr unsigned kMostTries = 1u << 25;
  uint32_t ended = 0;
  for (unsigned tries = 0; ended == 0; ++tries) {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(ended)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
    if (tries == kMostTries) __trap();
  }
}
// `threads` threads (whole warps) of the block meet at barrier `id`, 1...15.
KVANT_DEVICE void barrier_of(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

KVANT_DEVICE void prefetch_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
// One thread copies the box of `map` that starts at element at[0], at[1]... (fastest first) to shared memory,
// to a multiple of 128 bytes; `barrier` is told.
template <int kRank>
KVANT_DEVICE void copy_tile(void* shared, const TensorMap& map, const int (&at)[kRank], uint64_t* barrier) {
  static_assert(kRank >= 2 && kRank <= kMostTensorRank);
  const uint32_t to = shared_address(shared), told = shared_address(barrier);
  if constexpr (kRank == 2) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
        "[%4];" ::"r"(to),
        "l"(&map), "r"(at[0]), "r"(at[1]), "r"(told)
        : "memory");
  } else if constexpr (kRank == 3) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, "
        "%4}], "
        "[%5];" ::"r"(to),
        "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(told)
        : "memory");
  } else if constexpr (kRank == 4) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, "
        "%5}], "
        "[%6];" ::"r"(to),
        "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(told)
        : "memory");
  } else if constexpr (kRank == 5) {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, "
        "%5, %6}], "
        "[%7];" ::"r"(to),
        "l"(&map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(at[4]), "r"(told)
        : "memory");
  }
}
// As many pixels and channels as `map` says, from channel c and the first tap (w, h) of image n on, each
// moved by the tap's offset. Windows follow each other as in the result, from row to row and image to image.
KVANT_DEVICE void copy_pixels(void* shared, const TensorMap& map, int c, int w, int h, int n, int offset_w,
                              int offset_h, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3, "
      "%4, %5}], [%6], {%7, %8};" ::"r"(shared_address(shared)),
      "l"(&map), "r"(c), "r"(w), "r"(h), "r"(n), "r"(shared_address(barrier)),
      "h"(static_cast<uint16_t>(offset_w)), "h"(static_cast<uint16_t>(offset_h))
      : "memory");
}

// The sums of 64 rows and kColumns columns of a warpgroup: thread t holds rows 16 * (t / 32) + t % 32 / 4 and
// 8 more, columns 8 * j + 2 * (t % 4) and one more, as sums[4 * j + 2 * (the 8 more) + (the one more)].
template <int kColumns>
struct Accumulator {
  int sums[kColumns / 2];
};
template <int kColumns>
KVANT_DEVICE void clear(Accumulator<kColumns>& sums) {
  KVANT_UNROLL
  for (int i = 0; i < kColumns / 2; ++i) sums.sums[i] = 0;
}
template <int kColumns>
KVANT_DEVICE int sum_of(const Accumulator<kColumns>& sums, int i) {
  return sums.sums[i];
}

// A tile of rows of kPitch bytes (32, 64, 128), swizzled as long, for products: eight rows repeat. The tile
// starts at a multiple of 8 * kPitch; 32 bytes further along the rows are 2 more.
template <int kPitch>
KVANT_DEVICE uint64_t tile_descriptor(const void* shared) {
  constexpr uint64_t kLayout = kPitch == 128 ? 1 : kPitch == 64 ? 2 : 3;
  return static_cast<uint64_t>((shared_address(shared) & 0x3ffff) >> 4) | uint64_t{1} << 16 |
         static_cast<uint64_t>(8 * kPitch >> 4) << 32 | kLayout << 62;
}

// The compiler shall not move what touches the registers across.
template <int kColumns>
KVANT_DEVICE void hold(Accumulator<kColumns>& sums) {
  KVANT_UNROLL
  for (int i = 0; i < kColumns / 2; ++i) asm volatile("" : "+r"(sums.sums[i])::"memory");
}
// Before the first product, and after registers were touched by anything else.
template <int kColumns>
KVANT_DEVICE void fence_products(Accumulator<kColumns>& sums) {
  hold(sums);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
KVANT_DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most kPending of the groups are under way: the others have read their tiles and written their
// sums.
template <int kPending, int kColumns>
KVANT_DEVICE void wait_products(Accumulator<kColumns>& sums) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  hold(sums);
}

#define KVANT_SUMS8(d, i)                                                                     \
  "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3]), "+r"(d[i + 4]), "+r"(d[i + 5]), \
      "+r"(d[i + 6]), "+r"(d[i + 7])
#define KVANT_SUMS32(d, i) \
  KVANT_SUMS8(d, i), KVANT_SUMS8(d, i + 8), KVANT_SUMS8(d, i + 16), KVANT_SUMS8(d, i + 24)
#define KVANT_WGMMA_64(d, a_type, a, b)                                                            \
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k32.s32." a_type                                \
               ".s8 {"                                                                             \
               "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "            \
               "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, " \
               "%32, %33, 1;"                                                                      \
               : KVANT_SUMS32(d, 0)                                                                \
               : "l"(a), "l"(b))
#define KVANT_WGMMA_128(d, a_type, a, b)                                                           \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.s32." a_type                               \
               ".s8 {"                                                                             \
               "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "            \
               "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "  \
               "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "  \
               "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, " \
               "%64, %65, 1;"                                                                      \
               : KVANT_SUMS32(d, 0), KVANT_SUMS32(d, 32)                                           \
               : "l"(a), "l"(b))
#define KVANT_WGMMA_256(d, a_type, a, b)                                                                  \
  asm volatile(                                                                                           \
      "wgmma.mma_async.sync.aligned.m64n256k32.s32." a_type                                               \
      ".s8 {"                                                                                             \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                            \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                  \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                  \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "                  \
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "                  \
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "                  \
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "      \
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, " \
      "%128, %129, 1;"                                                                                    \
      : KVANT_SUMS32(d, 0), KVANT_SUMS32(d, 32), KVANT_SUMS32(d, 64), KVANT_SUMS32(d, 96)                 \
      : "l"(a), "l"(b))

// sums += A * B for 32 bytes of the inner dimension: 64 rows of A (i8, or u8) and kColumns rows of B (i8).
template <int kColumns, bool kSignedA>
KVANT_DEVICE void multiply_async(Accumulator<kColumns>& sums, uint64_t a, uint64_t b) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  if constexpr (kColumns == 64 && kSignedA) KVANT_WGMMA_64(sums.sums, "s8", a, b);
  if constexpr (kColumns == 64 && !kSignedA) KVANT_WGMMA_64(sums.sums, "u8", a, b);
  if constexpr (kColumns == 128 && kSignedA) KVANT_WGMMA_128(sums.sums, "s8", a, b);
  if constexpr (kColumns == 128 && !kSignedA) KVANT_WGMMA_128(sums.sums, "u8", a, b);
  if constexpr (kColumns == 256 && kSignedA) KVANT_WGMMA_256(sums.sums, "s8", a, b);
  if constexpr (kColumns == 256 && !kSignedA) KVANT_WGMMA_256(sums.sums, "u8", a, b);
#endif
}

#undef KVANT_WGMMA_64
#undef KVANT_WGMMA_128
#undef KVANT_WGMMA_256
#undef KVANT_SUMS32
#undef KVANT_SUMS8

}  // namespace kvant::backends::cuda::device

#else
#include "backends/cuda/emulator/warpgroup.h"
#endif
