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

// What the loop in dense_loop.h reads and changes. The offsets stand there too.
struct LoopArgs {
  const std::byte* row;
  int64_t pixel_stride;
  int64_t rows, columns;  // counted down
  int64_t row_step, column_step, dwords;
  const std::byte* w;
  const std::byte* ahead;
  int64_t ahead_step;
  const int32_t* start;
  const float* multiplier;
  const float* bias;
  const float* high;  // nullptr: results are reals, not rounded
  int64_t segment_columns;
};
static_assert(offsetof(LoopArgs, pixel_stride) == 8 && offsetof(LoopArgs, rows) == 16);
static_assert(offsetof(LoopArgs, columns) == 24 && offsetof(LoopArgs, row_step) == 32);
static_assert(offsetof(LoopArgs, column_step) == 40 && offsetof(LoopArgs, dwords) == 48);
static_assert(offsetof(LoopArgs, w) == 56 && offsetof(LoopArgs, ahead) == 64);
static_assert(offsetof(LoopArgs, ahead_step) == 72 && offsetof(LoopArgs, start) == 80);
static_assert(offsetof(LoopArgs, multiplier) == 88 && offsetof(LoopArgs, bias) == 96);
static_assert(offsetof(LoopArgs, high) == 104 && offsetof(LoopArgs, segment_columns) == 112);

// fma(sum, multiplier, bias) for M pixels by V vectors, in out[p * V + r]; with `high` clamped to it and
// rounded.
template <int M, int V>
KVANT_INLINE void accumulate(LoopArgs& args, __m512i (&out)[28]) {
#define KVANT_SUM(i) register __m512i s##i asm("zmm" #i);
#define KVANT_OUT(i) "=v"(s##i)
  KVANT_SUM(0)
  KVANT_SUM(1)
  KVANT_SUM(2)
  KVANT_SUM(3)
  KVANT_SUM(4)
  KVANT_SUM(5) KVANT_SUM(6) KVANT_SUM(7) KVANT_SUM(8) KVANT_SUM(9) KVANT_SUM(10) KVANT_SUM(11) KVANT_SUM(12)
      KVANT_SUM(13) KVANT_SUM(14) KVANT_SUM(15) KVANT_SUM(16) KVANT_SUM(17) KVANT_SUM(18) KVANT_SUM(19)
          KVANT_SUM(20) KVANT_SUM(21) KVANT_SUM(22) KVANT_SUM(23) KVANT_SUM(24) KVANT_SUM(25) KVANT_SUM(26)
              KVANT_SUM(27) asm volatile(
                  ".intel_syntax noprefix\n.altmacro\nkvant_tile %c[size]\n.noaltmacro\n.att_syntax prefix\n"
                  : KVANT_OUT(0), KVANT_OUT(1), KVANT_OUT(2), KVANT_OUT(3), KVANT_OUT(4), KVANT_OUT(5),
                    KVANT_OUT(6), KVANT_OUT(7), KVANT_OUT(8), KVANT_OUT(9), KVANT_OUT(10), KVANT_OUT(11),
                    KVANT_OUT(12), KVANT_OUT(13), KVANT_OUT(14), KVANT_OUT(15), KVANT_OUT(16), KVANT_OUT(17),
                    KVANT_OUT(18), KVANT_OUT(19), KVANT_OUT(20), KVANT_OUT(21), KVANT_OUT(22), KVANT_OUT(23),
                    KVANT_OUT(24), KVANT_OUT(25), KVANT_OUT(26), KVANT_OUT(27)
                  : "D"(&args), [size] "i"(16 * M + V)
                  : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                    "xmm28", "xmm29", "xmm30", "xmm31", "memory", "cc");
  const __m512i all[28] = {s0,  s1,  s2,  s3,  s4,  s5,  s6,  s7,  s8,  s9,  s10, s11, s12, s13,
                           s14, s15, s16, s17, s18, s19, s20, s21, s22, s23, s24, s25, s26, s27};
#pragma GCC unroll 28
  for (int i = 0; i < M * V; ++i) out[i] = all[i];
#undef KVANT_SUM
#undef KVANT_OUT
}

template <int M, int V>
void tile(const TileArgs& a) {
  const Epilogue& e = *a.epilogue;
  const bool plain = e.codes() && e.activation == Activation::None && e.residual != Code::F32;
  const bool rounded = plain && e.residual == Code::None;
  const float high = static_cast<float>(e.high - e.zero_point);
  LoopArgs args{a.x,
                a.pixel_stride,
                a.segment_rows,
                0,
                a.row_step,
                a.column_step,
                a.dwords,
                a.w,
                a.ahead,
                a.ahead_step,
                a.start,
                a.multiplier,
                a.bias,
                rounded ? &high : nullptr,
                a.segment_columns};
  __m512i v[28];
  accumulate<M, V>(args, v);
  const __mmask64 lanes = first_lanes(a.channels);
  if (rounded) {
    const CodeConstants c = code_constants(e);
#pragma GCC unroll 16
    for (int p = 0; p < M; ++p) store_codes<V>(c, v + p * V, lanes, a.y + p * a.y_stride);
  } else if (plain) {
    const CodeConstants c = code_constants(e);
#pragma GCC unroll 16
    for (int p = 0; p < M; ++p) finish_residual<V>(a, c, v + p * V, p, lanes);
  } else if (e.curve && e.residual != Code::F32) {
    alignas(64) float values[M * V * 16];
#pragma GCC unroll 28
    for (int i = 0; i < M * V; ++i) _mm512_store_si512(values + 16 * i, v[i]);
    finish_curve<V>(a, values, 0, M);
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
    channel_of_lane};

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
    channel_of_lane};

}  // namespace kvant::backends::cpu
