// SPDX-License-Identifier: Apache-2.0
// Float convolutions and products of matrices: 64x64 results a block, four by four a thread, terms in steps
// of 16 through shared memory.
#include "backends/cuda/kernels/activation/activation.cuh"
#include "backends/cuda/kernels/real/real_params.h"

namespace kvant::backends::cuda {
namespace device {

constexpr int kRealTile = 64, kRealTerms = 16, kRealPitch = kRealTile + 1, kRealThreads = 256;

// a(line, term) and b(line, term) give 0 outside of their matrices; finish(row, column, sum) takes the
// results.
template <class A, class B, class Finish>
KVANT_DEVICE void multiply_tiles_of_reals(int64_t terms, const A& a, const B& b, const Finish& finish) {
  auto* a_tile = reinterpret_cast<float*>(shared_memory());
  float* b_tile = a_tile + kRealTerms * kRealPitch;
  const int tx = thread_index() % 16, ty = thread_index() / 16;
  float sums[4][4] = {};
  for (int64_t first = 0; first < terms; first += kRealTerms) {
    for (int i = thread_index(); i < kRealTile * kRealTerms; i += kRealThreads) {
      const int line = i / kRealTerms, term = i % kRealTerms;
      a_tile[term * kRealPitch + line] = a(line, first + term);
      b_tile[term * kRealPitch + line] = b(line, first + term);
    }
    barrier();
    KVANT_UNROLL
    for (int term = 0; term < kRealTerms; ++term) {
      float rows[4], columns[4];
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        rows[i] = a_tile[term * kRealPitch + ty + 16 * i];
        columns[i] = b_tile[term * kRealPitch + tx + 16 * i];
      }
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        KVANT_UNROLL
        for (int j = 0; j < 4; ++j) sums[i][j] = fma_rn(rows[i], columns[j], sums[i][j]);
      }
    }
    barrier();
  }
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) {
    KVANT_UNROLL
    for (int j = 0; j < 4; ++j) finish(ty + 16 * i, tx + 16 * j, sums[i][j]);
  }
}

// grid: x tiles of pixels, y tiles of channels of each group.
KVANT_DEVICE void real_conv(const RealConvParams& p) {
  const int column_tiles = (p.group_k + kRealTile - 1) / kRealTile;
  const int group = static_cast<int>(block_y()) / column_tiles;
  const int first_column = static_cast<int>(block_y()) % column_tiles * kRealTile;
  const int64_t first_row = static_cast<int64_t>(block_x()) * kRealTile;
  const int64_t rows = static_cast<int64_t>(p.n) * p.ho * p.wo;
  const int window = p.kh * p.kw, channels = p.group * p.group_k;
  const int64_t terms = static_cast<int64_t>(p.group_c) * window;
  wait_for_previous();
  const auto a = [&](int line, int64_t term) {
    const int64_t row = first_row + line;
    if (row >= rows || term >= terms) return 0.0f;
    const int c = static_cast<int>(term / window), tap = static_cast<int>(term % window);
    const int64_t image = row / (p.ho * p.wo);
    const int h = static_cast<int>(row / p.wo % p.ho) * p.stride_h - p.top + tap / p.kw * p.dilation_h;
    const int w = static_cast<int>(row % p.wo) * p.stride_w - p.left + tap % p.kw * p.dilation_w;
    if (h < 0 || h >= p.h || w < 0 || w >= p.w_in) return 0.0f;
    return p.x[((image * p.h + h) * p.w_in + w) * p.group * p.group_c + group * p.group_c + c];
  };
  const auto b = [&](int line, int64_t term) {
    const int column = first_column + line;
    if (column >= p.group_k || term >= terms) return 0.0f;
    return p.w[(static_cast<int64_t>(group) * p.group_k + column) * terms + term];
  };
  const auto finish = [&](int line, int column_line, float sum) {
    const int64_t row = first_row + line;
    const int column = first_column + column_line;
    if (row >= rows || column >= p.group_k) return;
    const int64_t k = static_cast<int64_t>(group) * p.group_k + column, at = row * channels + k;
    if (p.bias != nullptr) sum = add_rn(sum, p.bias[k]);
    if (p.residual != nullptr) sum = add_rn(sum, p.residual[at]);
    p.y[at] = activate_real(p.activation, sum, p.alpha, p.beta);
  };
  multiply_tiles_of_reals(terms, a, b, finish);
}

KVANT_DEVICE void real_product(const RealProductParams& p) {
  const RealProductDesc& d = p.desc;
  const int64_t m0 = static_cast<int64_t>(block_x()) * kRealTile;
  const int64_t n0 = static_cast<int64_t>(block_y()) * kRealTile;
  const float *a_from = p.a, *b_from = p.b;
  float* y = p.y;
  int64_t batch = block_z();
  for (int axis = RealProductDesc::kBatchRank - 1; axis >= 0; --axis) {
    const int64_t at = batch % d.batch[axis];
    batch /= d.batch[axis];
    a_from += at * d.a_batch[axis];
    b_from += at * d.b_batch[axis];
    y += at * d.y_batch[axis];
  }
  wait_for_previous();
  const auto a = [&](int line, int64_t term) {
    return m0 + line < d.m && term < d.k ? a_from[(m0 + line) * d.a_row + term * d.a_column] : 0.0f;
  };
  const auto b = [&](int line, int64_t term) {
    return n0 + line < d.n && term < d.k ? b_from[(n0 + line) * d.b_column + term * d.b_row] : 0.0f;
  };
  const auto finish = [&](int row, int column, float sum) {
    if (m0 + row < d.m && n0 + column < d.n) y[(m0 + row) * d.y_row + (n0 + column) * d.y_column] = sum;
  };
  multiply_tiles_of_reals(d.k, a, b, finish);
}

}  // namespace device

KVANT_KERNEL(real_conv, 256, 2, RealConvParams, device::real_conv)
KVANT_KERNEL(real_product, 256, 2, RealProductParams, device::real_product)

}  // namespace kvant::backends::cuda
