// SPDX-License-Identifier: Apache-2.0
// The loops' packed form on vpmaddwd: four rows by sixteen columns at a time.
#include <immintrin.h>

#include "backends/cpu/kernels/product/loops.h"

namespace kvant::backends::cpu {
namespace {

constexpr int kRowsOfTile = 4;

size_t scratch_of_tile(const ProductDesc& d) { return kRowsOfTile * loop_scratch_bytes(d); }

template <int M>
void product_tile(const ProductDesc& d, const int16_t* rows, int64_t row_length, const std::byte* packed,
                  std::byte* y, int64_t y_bytes) {
  const int64_t pairs = up(d.k, 2) / 2;
  for (int64_t n = 0; n < d.n; n += kLoopColumns) {
    const auto* w =
        reinterpret_cast<const __m256i*>(reinterpret_cast<const int16_t*>(packed) + n * pairs * 2);
    __m256i low[M], high[M];
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) low[m] = high[m] = _mm256_setzero_si256();
    for (int64_t p = 0; p < pairs; ++p, w += 2) {
      const __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
        int32_t pair;
        std::memcpy(&pair, rows + m * row_length + 2 * p, 4);
        const __m256i codes = _mm256_set1_epi32(pair);
        low[m] = _mm256_add_epi32(low[m], _mm256_madd_epi16(codes, w0));
        high[m] = _mm256_add_epi32(high[m], _mm256_madd_epi16(codes, w1));
      }
    }
    for (int m = 0; m < M; ++m) {
      alignas(32) int32_t acc[kLoopColumns];
      _mm256_store_si256(reinterpret_cast<__m256i*>(acc), low[m]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(acc + 8), high[m]);
      for (int64_t j = 0; j < std::min(kLoopColumns, d.n - n); ++j)
        finish_element(d, acc[j], y + m * y_bytes, n + j);
    }
  }
}

void product_rows(const ProductDesc& d, const CodeMatrix& a, const std::byte* packed, const ProductResult& y,
                  int64_t first, int64_t last, std::byte* scratch) {
  auto* rows = reinterpret_cast<int16_t*>(scratch);
  const int64_t length = up(d.k, 2), y_bytes = y.row_step * code_bytes(d.output);
  for (int64_t m = first; m < last;) {
    const int64_t count = last - m < kRowsOfTile ? 1 : kRowsOfTile;
    for (int64_t i = 0; i < count; ++i) {
      int16_t* row = rows + i * length;
      row[length - 1] = 0;
      for (int64_t k = 0; k < d.k; ++k)
        row[k] = centred_code(a.data[(m + i) * a.row_step + k * a.column_step], d.a_signed, d.a_zero_point);
    }
    if (count == 1) {
      product_tile<1>(d, rows, length, packed, y.data + m * y_bytes, y_bytes);
    } else {
      product_tile<kRowsOfTile>(d, rows, length, packed, y.data + m * y_bytes, y_bytes);
    }
    m += count;
  }
}

}  // namespace

extern const ProductKernels product_kernels_avx2;
constinit const ProductKernels product_kernels_avx2 = {"avx2",          Isa::Avx2, loop_packed_bytes,
                                                       scratch_of_tile, loop_pack, product_rows};

}  // namespace kvant::backends::cpu
