// SPDX-License-Identifier: Apache-2.0
// Depthwise rows on vpdpbusd: taps of a channel are brought together four by four. For GCC bug 105593 see
// tiles_avx512vnni.cc.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "backends/cpu/kernels/qconv/finish_avx512.h"

namespace kvant::backends::cpu {
namespace {

// Four taps of 64 channels as four vectors of (channel, tap) dwords, in lane order.
KVANT_INLINE void interleave(const std::byte* x, const int64_t* taps, __mmask64 lanes, __m512i (&out)[4]) {
  const __m512i a = _mm512_maskz_loadu_epi8(lanes, x + taps[0]),
                b = _mm512_maskz_loadu_epi8(lanes, x + taps[1]);
  const __m512i c = _mm512_maskz_loadu_epi8(lanes, x + taps[2]),
                d = _mm512_maskz_loadu_epi8(lanes, x + taps[3]);
  const __m512i ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b);
  const __m512i cd0 = _mm512_unpacklo_epi8(c, d), cd1 = _mm512_unpackhi_epi8(c, d);
  out[0] = _mm512_unpacklo_epi16(ab0, cd0);
  out[1] = _mm512_unpackhi_epi16(ab0, cd0);
  out[2] = _mm512_unpacklo_epi16(ab1, cd1);
  out[3] = _mm512_unpackhi_epi16(ab1, cd1);
}

// `groups` is the number of tap groups when known at compile time (weights then stay in registers), else 0.
template <int groups>
KVANT_INLINE void depthwise_pixels(const DepthwiseArgs& a) {
  const __mmask64 lanes = first_lanes(a.out.channels);
  const int64_t count = groups > 0 ? groups : a.tap_groups;
  const Epilogue& e = *a.out.epilogue;
  const bool plain = e.codes() && e.activation == Activation::None && e.residual != Code::F32;
  const CodeConstants c = code_constants(e);
  const std::byte* x = a.x;
  for (int64_t p = 0; p < a.pixels; ++p, x += a.pixel_stride) {
    __m512i acc[4], dwords[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) acc[r] = _mm512_loadu_si512(a.out.start + 16 * r);
#pragma GCC unroll 3
    for (int64_t g = 0; g < count; ++g) {
      interleave(x, a.taps + 4 * g, lanes, dwords);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        acc[r] = _mm512_dpbusd_epi32(acc[r], dwords[r], _mm512_loadu_si512(a.out.w + (g * 4 + r) * 64));
      }
    }
    finish_sums<4>(a.out, c, plain, acc, p, lanes);
  }
}

void depthwise_row(const DepthwiseArgs& a) {
  if (a.tap_groups == 3) {
    depthwise_pixels<3>(a);
  } else {
    depthwise_pixels<0>(a);
  }
}

}  // namespace

const DepthwiseTiles kDepthwise64Avx512vnni = {1, 64, 4, depthwise_row, channel_of_lane, look_up_avx512};

}  // namespace kvant::backends::cpu
