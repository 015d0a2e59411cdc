// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/dense_product.h"

#include <algorithm>
#include <cstring>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define KVANT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KVANT_CLONES
#endif

namespace kvant::quant {
namespace {

constexpr int64_t kRows = 4, kLane = 16, kColumns = 2 * kLane, kDepth = 256;

// Sixteen floats as the compiler's own vector; aligned as floats are.
typedef float Lane __attribute__((vector_size(kLane * sizeof(float)), aligned(4), may_alias));

// c[4 x 32] += a[4 x depth] * panel[depth x 32]; rows of c are `stride` apart, those of a `a_stride`.
KVANT_CLONES void multiply_tile(const float* a, int64_t a_stride, const float* panel, int64_t depth, float* c,
                                int64_t stride) {
  Lane sum[kRows][2];
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t j = 0; j < 2; ++j) sum[r][j] = *reinterpret_cast<const Lane*>(c + r * stride + j * kLane);
  }
  for (int64_t k = 0; k < depth; ++k) {
    const Lane left = *reinterpret_cast<const Lane*>(panel + k * kColumns);
    const Lane right = *reinterpret_cast<const Lane*>(panel + k * kColumns + kLane);
    for (int64_t r = 0; r < kRows; ++r) {
      const float x = a[r * a_stride + k];
      sum[r][0] += x * left;
      sum[r][1] += x * right;
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t j = 0; j < 2; ++j) *reinterpret_cast<Lane*>(c + r * stride + j * kLane) = sum[r][j];
  }
}

// The rows [first, last) of one block of depth: `panels` holds b's block in panels of 32 columns, padded with
// 0.
void multiply_rows(const float* a, int64_t a_stride, const float* panels, int64_t depth, float* c,
                   int64_t columns, int64_t first, int64_t last) {
  float edge_c[kRows * kColumns];
  std::vector<float> edge_a(static_cast<size_t>(kRows * depth));
  for (int64_t column = 0; column < columns; column += kColumns) {
    const float* panel = panels + column * depth;
    const int64_t width = std::min(kColumns, columns - column);
    for (int64_t row = first; row < last; row += kRows) {
      const int64_t height = std::min(kRows, last - row);
      float* out = c + row * columns + column;
      const float* in = a + row * a_stride;
      if (height == kRows && width == kColumns) {
        multiply_tile(in, a_stride, panel, depth, out, columns);
        continue;
      }
      std::fill_n(edge_c, kRows * kColumns, 0.0f);
      std::fill(edge_a.begin(), edge_a.end(), 0.0f);
      for (int64_t r = 0; r < height; ++r) {
        std::copy_n(out + r * columns, width, edge_c + r * kColumns);
        std::copy_n(in + r * a_stride, depth, edge_a.data() + r * depth);
      }
      multiply_tile(edge_a.data(), depth, panel, depth, edge_c, kColumns);
      for (int64_t r = 0; r < height; ++r) std::copy_n(edge_c + r * kColumns, width, out + r * columns);
    }
  }
}

}  // namespace

void add_product(const float* a, const float* b, float* c, int64_t rows, int64_t depth, int64_t columns,
                 ThreadPool& pool) {
  const int64_t padded = (columns + kColumns - 1) / kColumns * kColumns;
  std::vector<float> panels(static_cast<size_t>(padded * std::min(depth, kDepth)));
  for (int64_t begin = 0; begin < depth; begin += kDepth) {
    const int64_t block = std::min(kDepth, depth - begin);
    for (int64_t column = 0; column < padded; column += kColumns) {
      float* panel = panels.data() + column * block;
      const int64_t width = std::min(kColumns, columns - column);
      for (int64_t k = 0; k < block; ++k) {
        std::copy_n(b + (begin + k) * columns + column, width, panel + k * kColumns);
        std::fill(panel + k * kColumns + width, panel + (k + 1) * kColumns, 0.0f);
      }
    }
    const int64_t tiles = (rows + kRows - 1) / kRows;
    pool.parallel_for(tiles, [&](int64_t first, int64_t last) {
      multiply_rows(a + begin, depth, panels.data(), block, c, columns, first * kRows,
                    std::min(last * kRows, rows));
    });
  }
}

}  // namespace kvant::quant
