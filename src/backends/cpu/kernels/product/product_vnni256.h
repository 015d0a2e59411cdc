// SPDX-License-Identifier: Apache-2.0
// The product on 256-bit vpdpbusd, in whichever encoding the including file is compiled for: a as unsigned
// codes, b packed as signed ones in dwords of four k; zero points are taken off by the sums of rows and
// columns.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernels/dot_vnni256.h"
#include "backends/cpu/kernels/product/loops.h"

namespace kvant::backends::cpu {
namespace {

constexpr int kVnniRows = 4;  // of a tile, by sixteen columns

inline int64_t dwords_of_k(const ProductDesc& d) { return up(d.k, 4) / 4; }

// Packed: [block of 16 columns][dword][column][4], then for each column what its sum starts with.
inline size_t vnni_packed_bytes(const ProductDesc& d) {
  return static_cast<size_t>(up(up(d.n, kLoopColumns) * (dwords_of_k(d) + 1) * 4, 64));
}

inline size_t vnni_scratch_bytes(const ProductDesc& d) {
  return static_cast<size_t>(up(kVnniRows * dwords_of_k(d) * 4, 64));
}

inline void vnni_pack(const ProductDesc& d, const CodeMatrix& b, std::byte* packed) {
  std::memset(packed, 0, vnni_packed_bytes(d));
  const int64_t dwords = dwords_of_k(d);
  const uint8_t flip = d.b_signed ? 0 : 0x80;
  const int32_t za = d.a_zero_point + (d.a_signed ? 128 : 0), zb = d.b_zero_point - (d.b_signed ? 0 : 128);
  auto* start = reinterpret_cast<int32_t*>(packed + up(d.n, kLoopColumns) * dwords * 4);
  for (int64_t n = 0; n < d.n; ++n) {
    auto* column =
        reinterpret_cast<int8_t*>(packed) + (n / kLoopColumns * dwords * kLoopColumns + n % kLoopColumns) * 4;
    int32_t sum = 0;
    for (int64_t k = 0; k < d.k; ++k) {
      const auto code = static_cast<int8_t>(b.data[k * b.row_step + n * b.column_step] ^ flip);
      column[k / 4 * kLoopColumns * 4 + k % 4] = code;
      sum += code;
    }
    // sum (a - za)(b - zb) = sum a b - za sum b - zb sum a + k za zb
    start[n] = static_cast<int32_t>(d.k * za * zb) - za * sum;
  }
}

// Eight columns from n on, of which those below d.n are stored.
inline void store_eight(const ProductDesc& d, __m256i acc, std::byte* y, int64_t n) {
  const int64_t count = d.n - n < 8 ? d.n - n : 8;
  const __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_set1_ps(d.multiplier));
  if (d.output == Code::F32 && count == 8) {
    _mm256_storeu_ps(reinterpret_cast<float*>(y) + n, v);
    return;
  }
  alignas(32) int32_t sums[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums), acc);
  for (int64_t i = 0; i < count; ++i) finish_element(d, sums[i], y, n + i);
}

// M rows of codes, `terms` being what is taken off each row's sums.
template <int M>
void vnni_tile(const ProductDesc& d, const std::byte* rows, const int32_t* terms, const std::byte* packed,
               std::byte* y, int64_t y_bytes) {
  const int64_t dwords = dwords_of_k(d);
  const auto* start = reinterpret_cast<const int32_t*>(packed + up(d.n, kLoopColumns) * dwords * 4);
  for (int64_t n = 0; n < d.n; n += kLoopColumns) {
    const auto* w = reinterpret_cast<const __m256i*>(packed + n * dwords * 4);
    __m256i low[M], high[M];
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      const __m256i term = _mm256_set1_epi32(terms[m]);
      low[m] = _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(start + n)), term);
      high[m] = _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(start + n + 8)), term);
    }
    for (int64_t k = 0; k < dwords; ++k, w += 2) {
      const __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
        int32_t dword;
        std::memcpy(&dword, rows + (m * dwords + k) * 4, 4);
        const __m256i codes = _mm256_set1_epi32(dword);
        low[m] = VnniDot::add(low[m], codes, w0);
        high[m] = VnniDot::add(high[m], codes, w1);
      }
    }
    for (int m = 0; m < M; ++m) {
      store_eight(d, low[m], y + m * y_bytes, n);
      if (n + 8 < d.n) store_eight(d, high[m], y + m * y_bytes, n + 8);
    }
  }
}

// A row of a as unsigned codes, padded with zeros; returns b's zero point times its sum.
inline int32_t copy_codes(const ProductDesc& d, const CodeMatrix& a, int64_t m, std::byte* out) {
  const uint8_t flip = d.a_signed ? 0x80 : 0;
  auto* codes = reinterpret_cast<uint8_t*>(out);
  int32_t sum = 0;
  for (int64_t k = 0; k < d.k; ++k) {
    codes[k] = a.data[m * a.row_step + k * a.column_step] ^ flip;
    sum += codes[k];
  }
  for (int64_t k = d.k; k < dwords_of_k(d) * 4; ++k) codes[k] = 0;
  return (d.b_zero_point - (d.b_signed ? 0 : 128)) * sum;
}

inline void vnni_run(const ProductDesc& d, const CodeMatrix& a, const std::byte* packed,
                     const ProductResult& y, int64_t first, int64_t last, std::byte* scratch) {
  const int64_t row_bytes = dwords_of_k(d) * 4, y_bytes = y.row_step * code_bytes(d.output);
  for (int64_t m = first; m < last;) {
    const int64_t count = last - m < kVnniRows ? 1 : kVnniRows;
    int32_t terms[kVnniRows] = {};
    for (int64_t i = 0; i < count; ++i) terms[i] = copy_codes(d, a, m + i, scratch + i * row_bytes);
    if (count == 1) {
      vnni_tile<1>(d, scratch, terms, packed, y.data + m * y_bytes, y_bytes);
    } else {
      vnni_tile<kVnniRows>(d, scratch, terms, packed, y.data + m * y_bytes, y_bytes);
    }
    m += count;
  }
}

constexpr ProductKernels vnni_product(std::string_view name, Isa isa) {
  return {name, isa, vnni_packed_bytes, vnni_scratch_bytes, vnni_pack, vnni_run};
}

}  // namespace
}  // namespace kvant::backends::cpu
