// SPDX-License-Identifier: Apache-2.0
// Depthwise rows by columns on vpdpbusd. For GCC bug 105593 see tiles_avx512vnni.cc.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "backends/cpu/kernels/qconv/finish_avx512.h"

namespace kvant::backends::cpu {
namespace {

constexpr int kBatch = 8;  // pixels that go through an activation together

// Takes the sums of one pixel after the other.
class PixelSink {
 public:
  explicit PixelSink(const TileArgs& out)
      : out_(out),
        constants_(code_constants(*out.epilogue)),
        lanes_(first_lanes(out.channels)),
        activated_(is_activated(*out.epilogue)) {
    const Epilogue& e = *out.epilogue;
    plain_ = e.codes() && e.activation == Activation::None && e.residual != Code::F32;
  }

  KVANT_INLINE void add(const __m512i* sums, int64_t pixel) {
    if (!activated_) {
      finish_sums<4>(out_, constants_, plain_, sums, pixel, lanes_);
      return;
    }
    float* values = values_ + 64 * waiting_++;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm512_store_ps(values + 16 * i,
                      _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i]), _mm512_loadu_ps(out_.multiplier + 16 * i),
                                      _mm512_loadu_ps(out_.bias + 16 * i)));
    }
    if (waiting_ == kBatch) flush(pixel + 1);
  }

  // Of all pixels before `end`.
  void flush(int64_t end) {
    if (waiting_ > 0) finish_activated<4>(out_, values_, end - waiting_, waiting_);
    waiting_ = 0;
  }

 private:
  const TileArgs& out_;
  CodeConstants constants_;
  __mmask64 lanes_;
  bool activated_, plain_;
  int waiting_ = 0;
  alignas(64) float values_[kBatch * 64];
};

// Columns of the input: dword i of a lane has row i of a channel. Rows beyond `rows` repeat one that is
// there; their weights are zero.
template <int rows, bool flip>
class Columns {
 public:
  Columns(const ColumnsArgs& a, const uint8_t* const* pointers)
      : pointers_(pointers),
        bytes_(a.column_bytes),
        width_(static_cast<uint64_t>(a.width)),
        lanes_(first_lanes(a.out.channels)),
        fill_(_mm512_set1_epi8(static_cast<char>(a.fill))) {}

  KVANT_INLINE void load(int64_t column, __m512i (&out)[4]) const {
    if (static_cast<uint64_t>(column) >= width_) {
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) out[r] = fill_;
      return;
    }
    const int64_t at = column * bytes_;
    const __m512i a = row(0, at);
    const __m512i b = rows > 1 ? row(1, at) : a;
    const __m512i ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b);
    __m512i cd0 = ab0, cd1 = ab1;
    if constexpr (rows > 2) {
      const __m512i c = row(2, at);
      const __m512i d = rows > 3 ? row(3, at) : c;
      cd0 = _mm512_unpacklo_epi8(c, d);
      cd1 = _mm512_unpackhi_epi8(c, d);
    }
    out[0] = _mm512_unpacklo_epi16(ab0, cd0);
    out[1] = _mm512_unpackhi_epi16(ab0, cd0);
    out[2] = _mm512_unpacklo_epi16(ab1, cd1);
    out[3] = _mm512_unpackhi_epi16(ab1, cd1);
  }

 private:
  KVANT_INLINE __m512i row(int i, int64_t at) const {
    const __m512i codes = _mm512_maskz_loadu_epi8(lanes_, pointers_[i] + at);
    return flip ? _mm512_xor_si512(codes, _mm512_set1_epi8(static_cast<char>(0x80))) : codes;
  }

  const uint8_t* const* pointers_;
  int64_t bytes_;
  uint64_t width_;
  __mmask64 lanes_;
  __m512i fill_;
};

// ---- Three columns, at most four rows: all weights and the columns of a window stay in registers.

struct Taps3 {
  __m512i w[12];
  explicit Taps3(const TileArgs& out) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) w[i] = _mm512_loadu_si512(out.w + 64 * i);
  }
  KVANT_INLINE void output(PixelSink& sink, const TileArgs& out, const __m512i (&a)[4], const __m512i (&b)[4],
                           const __m512i (&c)[4], int64_t pixel) const {
    __m512i sums[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      sums[r] = _mm512_dpbusd_epi32(_mm512_loadu_si512(out.start + 16 * r), a[r], w[r]);
      sums[r] = _mm512_dpbusd_epi32(sums[r], b[r], w[4 + r]);
      sums[r] = _mm512_dpbusd_epi32(sums[r], c[r], w[8 + r]);
    }
    sink.add(sums, pixel);
  }
};

template <int rows, bool flip>
void three_columns(const ColumnsArgs& args) {
  const Columns<rows, flip> columns(args, args.rows);
  const Taps3 taps(args.out);
  PixelSink sink(args.out);
  __m512i a[4], b[4], c[4];
  int64_t x = args.first_column, p = 0;
  const int64_t pixels = args.pixels;
  columns.load(x, a);
  if (args.stride == 1) {
    columns.load(x + 1, b);
    for (; p + 3 <= pixels; p += 3, x += 3) {
      columns.load(x + 2, c);
      taps.output(sink, args.out, a, b, c, p);
      columns.load(x + 3, a);
      taps.output(sink, args.out, b, c, a, p + 1);
      columns.load(x + 4, b);
      taps.output(sink, args.out, c, a, b, p + 2);
    }
    if (p < pixels) {
      columns.load(x + 2, c);
      taps.output(sink, args.out, a, b, c, p++);
    }
    if (p < pixels) {
      columns.load(x + 3, a);
      taps.output(sink, args.out, b, c, a, p++);
    }
  } else {
    for (; p + 2 <= pixels; p += 2, x += 4) {
      columns.load(x + 1, b);
      columns.load(x + 2, c);
      taps.output(sink, args.out, a, b, c, p);
      columns.load(x + 3, b);
      columns.load(x + 4, a);
      taps.output(sink, args.out, c, b, a, p + 1);
    }
    if (p < pixels) {
      columns.load(x + 1, b);
      columns.load(x + 2, c);
      taps.output(sink, args.out, a, b, c, p++);
    }
  }
  sink.flush(pixels);
}

// ---- Other windows: some outputs at a time, weights as memory operands.

KVANT_INLINE void dot_from_memory(__m512i& sum, __m512i x, const std::byte* w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "m"(*reinterpret_cast<const __m512i_u*>(w)));
}

template <int rows, bool flip, int columns, int stride, int outputs>
KVANT_INLINE void add_group(const ColumnsArgs& a, int64_t first_row, const std::byte* w, int64_t x,
                            __m512i (&sums)[4 * outputs]) {
  const Columns<rows, flip> source(a, a.rows + first_row);
  __m512i dwords[4];
#pragma GCC unroll 16
  for (int column = 0; column < (outputs - 1) * stride + columns; ++column) {
    source.load(x + column, dwords);
#pragma GCC unroll 4
    for (int p = 0; p < outputs; ++p) {
      const int tap = column - p * stride;
      if (tap < 0 || tap >= columns) continue;
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) dot_from_memory(sums[4 * p + r], dwords[r], w + (4 * tap + r) * 64);
    }
  }
}

template <bool flip, int columns, int stride, int outputs>
KVANT_INLINE void some_outputs(const ColumnsArgs& a, int64_t pixel, PixelSink& sink) {
  __m512i sums[4 * outputs];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    const __m512i start = _mm512_loadu_si512(a.out.start + 16 * r);
#pragma GCC unroll 4
    for (int p = 0; p < outputs; ++p) sums[4 * p + r] = start;
  }
  const std::byte* w = a.out.w;
  const int64_t x = a.first_column + pixel * stride;
  int64_t row = 0;
  for (; row + 4 <= a.row_count; row += 4, w += columns * 256)
    add_group<4, flip, columns, stride, outputs>(a, row, w, x, sums);
  switch (a.row_count - row) {
    case 3:
      add_group<3, flip, columns, stride, outputs>(a, row, w, x, sums);
      break;
    case 2:
      add_group<2, flip, columns, stride, outputs>(a, row, w, x, sums);
      break;
    case 1:
      add_group<1, flip, columns, stride, outputs>(a, row, w, x, sums);
      break;
    default:
      break;
  }
#pragma GCC unroll 4
  for (int p = 0; p < outputs; ++p) sink.add(sums + 4 * p, pixel + p);
}

template <bool flip, int columns, int stride>
void any_columns(const ColumnsArgs& a) {
  PixelSink sink(a.out);
  int64_t p = 0;
  for (; p + 4 <= a.pixels; p += 4) some_outputs<flip, columns, stride, 4>(a, p, sink);
  for (; p < a.pixels; ++p) some_outputs<flip, columns, stride, 1>(a, p, sink);
  sink.flush(a.pixels);
}

template <bool flip>
void columns_row(const ColumnsArgs& a) {
  if (a.columns == 3 && a.row_count == 3) return three_columns<3, flip>(a);
  switch (a.columns * 2 + a.stride) {
    case 3 * 2 + 1:
      return any_columns<flip, 3, 1>(a);
    case 3 * 2 + 2:
      return any_columns<flip, 3, 2>(a);
    case 5 * 2 + 1:
      return any_columns<flip, 5, 1>(a);
    case 5 * 2 + 2:
      return any_columns<flip, 5, 2>(a);
    case 7 * 2 + 1:
      return any_columns<flip, 7, 1>(a);
    default:
      return any_columns<flip, 7, 2>(a);
  }
}

void columns_row_of(const ColumnsArgs& a) { a.flip ? columns_row<true>(a) : columns_row<false>(a); }

}  // namespace

const ColumnsTiles kColumns64Avx512vnni = {64, columns_row_of, channel_of_lane, look_up_avx512};

}  // namespace kvant::backends::cpu
