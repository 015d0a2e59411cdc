// SPDX-License-Identifier: Apache-2.0
// Dense tiles on vpdpbusd: sums of 4 products u8*s8 per lane, exact. GCC 12 takes the intrinsics' own
// undefined operands for our mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <cstddef>

#include "backends/cpu/kernels/qconv/dense_loop.h"
#include "backends/cpu/kernels/qconv/finish_avx512.h"

namespace kvant::backends::cpu {
namespace {

static_assert(offsetof(TileArgs, x) == 0 && offsetof(TileArgs, pixel_stride) == 8);
static_assert(offsetof(TileArgs, segment_rows) == 16 && offsetof(TileArgs, segment_columns) == 24);
static_assert(offsetof(TileArgs, row_step) == 32 && offsetof(TileArgs, column_step) == 40);
static_assert(offsetof(TileArgs, dwords) == 48 && offsetof(TileArgs, w) == 56);
static_assert(offsetof(TileArgs, ahead) == 64 && offsetof(TileArgs, ahead_step) == 72);
static_assert(offsetof(TileArgs, start) == 80 && offsetof(TileArgs, multiplier) == 88);
static_assert(offsetof(TileArgs, bias) == 96 && offsetof(TileArgs, residual) == 104);
static_assert(offsetof(TileArgs, residual_stride) == 112 && offsetof(TileArgs, y) == 120);
static_assert(offsetof(TileArgs, y_stride) == 128 && offsetof(TileArgs, channels) == 136);
static_assert(offsetof(TileArgs, rounding) == 152);
static_assert(offsetof(Rounding, high) == 0 && offsetof(Rounding, zero_point) == 4);
static_assert(offsetof(Rounding, low) == 6 && offsetof(Rounding, flip) == 8);
static_assert(offsetof(Rounding, clamps_high) == 12 && offsetof(Rounding, residual_multiplier) == 16);
static_assert(offsetof(Rounding, residual_zero_point) == 20 && offsetof(Rounding, residual_flip) == 24);

// fma(sum, multiplier, bias) for M pixels by V vectors, in out[p * V + r]; with `high` clamped to it and
// rounded.
template <int M, int V>
KVANT_INLINE void run_loop(const TileArgs& args, __m512i (&out)[28]) {
#define KVANT_SUM(i) register __m512i s##i asm("zmm" #i)
#define KVANT_OUT(i) "=v"(s##i)
  // clang-format off
  KVANT_SUM(0); KVANT_SUM(1); KVANT_SUM(2); KVANT_SUM(3); KVANT_SUM(4); KVANT_SUM(5); KVANT_SUM(6); KVANT_SUM(7); KVANT_SUM(8); KVANT_SUM(9);
  KVANT_SUM(10); KVANT_SUM(11); KVANT_SUM(12); KVANT_SUM(13); KVANT_SUM(14); KVANT_SUM(15); KVANT_SUM(16); KVANT_SUM(17); KVANT_SUM(18); KVANT_SUM(19);
  KVANT_SUM(20); KVANT_SUM(21); KVANT_SUM(22); KVANT_SUM(23); KVANT_SUM(24); KVANT_SUM(25); KVANT_SUM(26); KVANT_SUM(27);
  // clang-format on
  asm volatile(".intel_syntax noprefix\n.altmacro\nkvant_tile %c[size]\n.noaltmacro\n.att_syntax prefix\n"
               : KVANT_OUT(0), KVANT_OUT(1), KVANT_OUT(2), KVANT_OUT(3), KVANT_OUT(4), KVANT_OUT(5),
                 KVANT_OUT(6), KVANT_OUT(7), KVANT_OUT(8), KVANT_OUT(9), KVANT_OUT(10), KVANT_OUT(11),
                 KVANT_OUT(12), KVANT_OUT(13), KVANT_OUT(14), KVANT_OUT(15), KVANT_OUT(16), KVANT_OUT(17),
                 KVANT_OUT(18), KVANT_OUT(19), KVANT_OUT(20), KVANT_OUT(21), KVANT_OUT(22), KVANT_OUT(23),
                 KVANT_OUT(24), KVANT_OUT(25), KVANT_OUT(26), KVANT_OUT(27)
               : "D"(&args), [size] "i"(16 * M + V)
               : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                 "xmm28", "xmm29", "xmm30", "xmm31", "k1", "memory", "cc");
  const __m512i all[28] = {s0,  s1,  s2,  s3,  s4,  s5,  s6,  s7,  s8,  s9,  s10, s11, s12, s13,
                           s14, s15, s16, s17, s18, s19, s20, s21, s22, s23, s24, s25, s26, s27};
#pragma GCC unroll 28
  for (int i = 0; i < M * V; ++i) out[i] = all[i];
#undef KVANT_SUM
#undef KVANT_OUT
}

template <int M, int V>
void tile(const TileArgs& a) {
  __m512i v[28];
  run_loop<M, V>(a, v);
  if (a.rounding != nullptr) return;
  if (is_activated(*a.epilogue)) {
    alignas(64) float values[M * V * 16];
#pragma GCC unroll 28
    for (int i = 0; i < M * V; ++i) _mm512_store_si512(values + 16 * i, v[i]);
    finish_activated<V>(a, values, 0, M);
  } else {
#pragma GCC unroll 16
    for (int p = 0; p < M; ++p) finish_slowly<V>(a, v + p * V, p);
  }
}

}  // namespace

const DenseTiles kTiles7x64Avx512vnni = {
    1,
    3,
    {{64, 7, {nullptr, tile<1, 4>, tile<2, 4>, tile<3, 4>, tile<4, 4>, tile<5, 4>, tile<6, 4>, tile<7, 4>}},
     {32,
      8,
      {nullptr, tile<1, 2>, tile<2, 2>, tile<3, 2>, tile<4, 2>, tile<5, 2>, tile<6, 2>, tile<7, 2>,
       tile<8, 2>}},
     {16,
      8,
      {nullptr, tile<1, 1>, tile<2, 1>, tile<3, 1>, tile<4, 1>, tile<5, 1>, tile<6, 1>, tile<7, 1>,
       tile<8, 1>}}},
    channel_of_lane,
    look_up_avx512};

const DenseTiles kTiles14x32Avx512vnni = {
    1,
    2,
    {{32,
      14,
      {nullptr, tile<1, 2>, tile<2, 2>, tile<3, 2>, tile<4, 2>, tile<5, 2>, tile<6, 2>, tile<7, 2>,
       tile<8, 2>, nullptr, tile<10, 2>, nullptr, tile<12, 2>, nullptr, tile<14, 2>}},
     {16,
      14,
      {nullptr, tile<1, 1>, tile<2, 1>, tile<3, 1>, tile<4, 1>, tile<5, 1>, tile<6, 1>, tile<7, 1>,
       tile<8, 1>, nullptr, tile<10, 1>, nullptr, tile<12, 1>, nullptr, tile<14, 1>}},
     {}},
    channel_of_lane,
    look_up_avx512};

}  // namespace kvant::backends::cpu
