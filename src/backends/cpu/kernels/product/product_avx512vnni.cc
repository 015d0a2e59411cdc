// SPDX-License-Identifier: Apache-2.0
// The product on vpdpbusd: a as unsigned codes, b packed as signed ones in dwords of four k; zero points are
// taken off by the sums of rows and columns. GCC 12 takes the intrinsics' own undefined operands for our
// mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/lanes_avx512.h"
#include "backends/cpu/kernels/product/product.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kColumns = 64;  // of a block: four vectors of sums
constexpr int kRows = 6;          // of a tile

int64_t padded(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }
int64_t dwords_of(const ProductDesc& d) { return padded(d.k, 4) / 4; }

// Packed: [block of 64 columns][dword][column][4], then for each column what its sum starts with.
size_t packed_bytes(const ProductDesc& d) {
  return static_cast<size_t>(padded(d.n, kColumns) * (dwords_of(d) + 1) * 4);
}

// A tile's rows, each as long as its dwords.
size_t scratch_bytes(const ProductDesc& d) {
  return static_cast<size_t>(padded(kRows * dwords_of(d) * 4, 64) + 64);
}

// 16 columns of up to four rows: bytes interleaved. `rows` are where k..k+3 begin, or nullptr beyond the end.
KVANT_INLINE __m512i interleaved(const uint8_t* const (&rows)[4], __mmask16 columns, __m128i flip) {
  __m128i r[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = rows[i] == nullptr
               ? _mm_setzero_si128()
               : _mm_maskz_mov_epi8(columns, _mm_xor_si128(_mm_maskz_loadu_epi8(columns, rows[i]), flip));
  }
  const __m128i ab0 = _mm_unpacklo_epi8(r[0], r[1]), ab1 = _mm_unpackhi_epi8(r[0], r[1]);
  const __m128i cd0 = _mm_unpacklo_epi8(r[2], r[3]), cd1 = _mm_unpackhi_epi8(r[2], r[3]);
  __m512i result = _mm512_castsi128_si512(_mm_unpacklo_epi16(ab0, cd0));
  result = _mm512_inserti32x4(result, _mm_unpackhi_epi16(ab0, cd0), 1);
  result = _mm512_inserti32x4(result, _mm_unpacklo_epi16(ab1, cd1), 2);
  return _mm512_inserti32x4(result, _mm_unpackhi_epi16(ab1, cd1), 3);
}

// A dword of four k of one column.
KVANT_INLINE int32_t gathered(const CodeMatrix& b, int64_t k, int64_t left, int64_t n, uint32_t flip) {
  const uint8_t* from = b.data + k * b.row_step + n * b.column_step;
  uint32_t value = 0;
  if (b.row_step == 1 && left >= 4) {
    std::memcpy(&value, from, 4);
    return static_cast<int32_t>(value ^ (flip * 0x01010101u));
  }
  for (int64_t i = 0; i < std::min<int64_t>(4, left); ++i)
    value |= static_cast<uint32_t>((from[i * b.row_step] ^ flip) & 0xff) << (8 * i);
  return static_cast<int32_t>(value);
}

void pack(const ProductDesc& d, const CodeMatrix& b, std::byte* packed) {
  const int64_t dwords = dwords_of(d), columns = padded(d.n, kColumns);
  const uint32_t flip = d.b_signed ? 0 : 0x80;
  const int32_t za = d.a_zero_point + (d.a_signed ? 128 : 0), zb = d.b_zero_point - (d.b_signed ? 0 : 128);
  const __m128i flips = _mm_set1_epi8(static_cast<char>(flip));
  const __m512i ones = _mm512_set1_epi8(1);
  auto* start = reinterpret_cast<int32_t*>(packed + columns * dwords * 4);
  for (int64_t n = 0; n < columns; n += 16) {
    std::byte* out = packed + n / kColumns * kColumns * dwords * 4 + n % kColumns * 4;
    const int64_t width = std::clamp<int64_t>(d.n - n, 0, 16);
    const auto mask = static_cast<__mmask16>((1u << width) - 1u);
    __m512i sums = _mm512_setzero_si512();
    for (int64_t k = 0; k < d.k; k += 4, out += kColumns * 4) {
      __m512i dword;
      if (b.column_step == 1) {
        const uint8_t* rows[4];
        for (int64_t i = 0; i < 4; ++i) rows[i] = k + i < d.k ? b.data + (k + i) * b.row_step + n : nullptr;
        dword = interleaved(rows, mask, flips);
      } else {
        alignas(64) int32_t lanes[16] = {};
        for (int64_t j = 0; j < width; ++j) lanes[j] = gathered(b, k, d.k - k, n + j, flip);
        dword = _mm512_load_si512(lanes);
      }
      _mm512_storeu_si512(out, dword);
      sums = _mm512_dpbusd_epi32(sums, ones, dword);
    }
    // sum (a - za)(b - zb) = sum a b - za sum b - zb sum a + k za zb
    const __m512i offset = _mm512_set1_epi32(static_cast<int32_t>(d.k * za * zb));
    _mm512_storeu_si512(start + n, _mm512_sub_epi32(offset, _mm512_mullo_epi32(sums, _mm512_set1_epi32(za))));
  }
}

// One row of a as unsigned codes, padded with zeros; returns zb times its sum.
KVANT_INLINE int32_t copy_row(const ProductDesc& d, const CodeMatrix& a, int64_t m, std::byte* out) {
  const uint8_t* from = a.data + m * a.row_step;
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(d.a_signed ? 0x80 : 0));
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sums = _mm512_setzero_si512();
  const int64_t bytes = dwords_of(d) * 4;
  for (int64_t k = 0; k < bytes; k += 64) {
    __m512i codes;
    const int64_t left = std::min<int64_t>(64, d.k - k);
    const __mmask64 mask = left >= 64 ? ~0ull : (1ull << left) - 1ull;
    if (a.column_step == 1) {
      codes = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, from + k), flip));
    } else {
      alignas(64) uint8_t gathered_codes[64] = {};
      for (int64_t i = 0; i < left; ++i) gathered_codes[i] = from[(k + i) * a.column_step];
      codes = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(_mm512_load_si512(gathered_codes), flip));
    }
    const int64_t kept = std::min<int64_t>(64, bytes - k);
    _mm512_mask_storeu_epi8(out + k, kept >= 64 ? ~0ull : (1ull << kept) - 1ull, codes);
    sums = _mm512_dpbusd_epi32(sums, codes, ones);
  }
  const int32_t zb = d.b_zero_point - (d.b_signed ? 0 : 128);
  return zb * _mm512_reduce_add_epi32(sums);
}

KVANT_INLINE void store(const ProductDesc& d, __m512i acc, std::byte* y, int64_t n) {
  const int64_t left = d.n - n;
  if (left <= 0) return;
  const __mmask16 mask = mask_of(left);
  __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_set1_ps(d.multiplier));
  if (d.output == Code::F32) {
    _mm512_mask_storeu_ps(reinterpret_cast<float*>(y) + n, mask, v);
    return;
  }
  v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);  // a NaN rounds to 0
  v = _mm512_min_ps(v, _mm512_set1_ps(static_cast<float>(d.high - d.zero_point)));
  v = _mm512_max_ps(v, _mm512_set1_ps(static_cast<float>(d.low - d.zero_point)));
  const __m512i codes = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(d.zero_point));
  _mm_mask_storeu_epi8(reinterpret_cast<uint8_t*>(y) + n, mask, _mm512_cvtepi32_epi8(codes));
}

struct TileRows {
  const std::byte* codes;
  const int32_t* terms;  // what is taken off each row's sums
  std::byte* y;
  int64_t y_bytes;  // from row to row of y
};

// The block of V * 16 columns from n on.
template <int M, int V>
KVANT_INLINE void product_block(const ProductDesc& d, const TileRows& rows, const std::byte* packed,
                                int64_t n) {
  const int64_t dwords = dwords_of(d);
  const auto* start = reinterpret_cast<const int32_t*>(packed + padded(d.n, kColumns) * dwords * 4);
  __m512i acc[M][V];
#pragma GCC unroll 6
  for (int m = 0; m < M; ++m) {
    const __m512i term = _mm512_set1_epi32(rows.terms[m]);
#pragma GCC unroll 4
    for (int r = 0; r < V; ++r) acc[m][r] = _mm512_sub_epi32(_mm512_loadu_si512(start + n + 16 * r), term);
  }
  const std::byte* w = packed + n * dwords * 4;
  const std::byte* x = rows.codes;
  for (int64_t k = 0; k < dwords; ++k, w += kColumns * 4, x += 4) {
    __m512i b[V];
#pragma GCC unroll 4
    for (int r = 0; r < V; ++r) b[r] = _mm512_loadu_si512(w + 64 * r);
#pragma GCC unroll 6
    for (int m = 0; m < M; ++m) {
      int32_t dword;
      std::memcpy(&dword, x + m * dwords * 4, 4);
      const __m512i codes = _mm512_set1_epi32(dword);
#pragma GCC unroll 4
      for (int r = 0; r < V; ++r) acc[m][r] = _mm512_dpbusd_epi32(acc[m][r], codes, b[r]);
    }
  }
#pragma GCC unroll 6
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int r = 0; r < V; ++r) store(d, acc[m][r], rows.y + m * rows.y_bytes, n + 16 * r);
  }
}

template <int M>
void product_tile(const ProductDesc& d, const TileRows& rows, const std::byte* packed) {
  int64_t n = 0;
  for (; n + 48 < d.n; n += kColumns) product_block<M, 4>(d, rows, packed, n);
  if (n + 32 < d.n) {
    product_block<M, 3>(d, rows, packed, n);
  } else if (n + 16 < d.n) {
    product_block<M, 2>(d, rows, packed, n);
  } else if (n < d.n) {
    product_block<M, 1>(d, rows, packed, n);
  }
}

void run(const ProductDesc& d, const CodeMatrix& a, const std::byte* packed, const ProductResult& y,
         int64_t first, int64_t last, std::byte* scratch) {
  using Tile = void (*)(const ProductDesc&, const TileRows&, const std::byte*);
  static constexpr Tile kTiles[kRows + 1] = {nullptr,         product_tile<1>, product_tile<2>,
                                             product_tile<3>, product_tile<4>, product_tile<5>,
                                             product_tile<6>};
  const int64_t row_bytes = dwords_of(d) * 4, y_bytes = y.row_step * code_bytes(d.output);
  for (int64_t m = first; m < last;) {
    const int count = static_cast<int>(std::min<int64_t>(kRows, last - m));
    int32_t terms[kRows] = {};
    for (int i = 0; i < count; ++i) terms[i] = copy_row(d, a, m + i, scratch + i * row_bytes);
    kTiles[count](d, {scratch, terms, y.data + m * y_bytes, y_bytes}, packed);
    m += count;
  }
}

}  // namespace

extern const ProductKernels product_kernels_avx512vnni;
constinit const ProductKernels product_kernels_avx512vnni = {
    "avx512vnni", Isa::Avx512vnni, packed_bytes, scratch_bytes, pack, run};

}  // namespace kvant::backends::cpu
