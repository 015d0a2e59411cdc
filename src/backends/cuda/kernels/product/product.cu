// SPDX-License-Identifier: Apache-2.0
// Products of two matrices of codes, both from device memory at any strides: 64x64 results a block, four by
// four a thread, dot4 over words of four terms. The sums of rows and columns give what the zero points
// contribute.
#include "backends/cuda/kernels/epilogue.cuh"
#include "backends/cuda/kernels/product/product_params.h"

namespace kvant::backends::cuda {
namespace device {

constexpr int kProductTile = 64, kProductWords = 16, kProductPitch = kProductWords + 1, kProductThreads = 256;

// 64 lines of 64 terms as signed bytes, zeros behind the ends.
KVANT_DEVICE void fetch_lines(uint32_t* to, const uint8_t* from, int64_t line_step, int64_t term_step,
                              int64_t lines, int64_t terms, uint32_t flip) {
  for (int i = thread_index(); i < kProductTile * kProductWords; i += kProductThreads) {
    // Neighbouring threads read along the dense direction.
    const int line = term_step == 1 ? i / kProductWords : i % kProductTile;
    const int word = term_step == 1 ? i % kProductWords : i / kProductTile;
    uint32_t value = 0;
    KVANT_UNROLL
    for (int j = 0; j < 4; ++j) {
      const int term = word * 4 + j;
      if (line < lines && term < terms) {
        const uint32_t code = from[line * line_step + term * term_step] ^ (flip & 255);
        value |= (code & 255) << (8 * j);
      }
    }
    to[line * kProductPitch + word] = value;
  }
}

KVANT_DEVICE void multiply_codes_of_matrices(const ProductParams& p) {
  const ProductDesc& d = p.desc;
  auto* a_tile = reinterpret_cast<uint32_t*>(shared_memory());
  uint32_t* b_tile = a_tile + kProductTile * kProductPitch;
  const int tx = thread_index() % 16, ty = thread_index() / 16;
  const int64_t m0 = static_cast<int64_t>(block_x()) * kProductTile;
  const int64_t n0 = static_cast<int64_t>(block_y()) * kProductTile;
  const uint8_t *a = p.a, *b = p.b;
  int64_t y_at = 0, batch = block_z();
  for (int axis = ProductDesc::kBatchRank - 1; axis >= 0; --axis) {
    const int64_t at = batch % d.batch[axis];
    batch /= d.batch[axis];
    a += at * d.a_batch[axis];
    b += at * d.b_batch[axis];
    y_at += at * d.y_batch[axis];
  }
  const uint32_t a_flip = d.a_signed ? 0 : 0x80, b_flip = d.b_signed ? 0 : 0x80;
  const auto za = static_cast<uint32_t>(d.a_zero_point - (d.a_signed ? 0 : 128));
  const auto zb = static_cast<uint32_t>(d.b_zero_point - (d.b_signed ? 0 : 128));
  int sums[4][4] = {}, a_sums[4] = {}, b_sums[4] = {};
  wait_for_previous();
  for (int64_t k0 = 0; k0 < d.k; k0 += 4 * kProductWords) {
    fetch_lines(a_tile, a + m0 * d.a_row + k0 * d.a_column, d.a_row, d.a_column, d.m - m0, d.k - k0, a_flip);
    fetch_lines(b_tile, b + n0 * d.b_column + k0 * d.b_row, d.b_column, d.b_row, d.n - n0, d.k - k0, b_flip);
    barrier();
    KVANT_UNROLL
    for (int word = 0; word < kProductWords; ++word) {
      uint32_t rows[4], columns[4];
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        rows[i] = a_tile[(ty + 16 * i) * kProductPitch + word];
        columns[i] = b_tile[(tx + 16 * i) * kProductPitch + word];
        a_sums[i] = dot4(rows[i], 0x01010101u, a_sums[i]);
        b_sums[i] = dot4(columns[i], 0x01010101u, b_sums[i]);
      }
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        KVANT_UNROLL
        for (int j = 0; j < 4; ++j) sums[i][j] = dot4(rows[i], columns[j], sums[i][j]);
      }
    }
    barrier();
  }
  let_next_start();
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) {
    KVANT_UNROLL
    for (int j = 0; j < 4; ++j) {
      const int64_t row = m0 + ty + 16 * i, column = n0 + tx + 16 * j;
      if (row >= d.m || column >= d.n) continue;
      const uint32_t exact = static_cast<uint32_t>(sums[i][j]) - zb * static_cast<uint32_t>(a_sums[i]) -
                             za * static_cast<uint32_t>(b_sums[j]) + static_cast<uint32_t>(d.k) * za * zb;
      const float v = multiply_rn(to_float(static_cast<int>(exact)), d.multiplier);
      const int64_t at = y_at + row * d.y_row + column * d.y_column;
      if (d.output == Code::F32) {
        store(p.y + 4 * at, v);
      } else {
        p.y[at] = static_cast<uint8_t>(code_of(d.out, v));
      }
    }
  }
}

}  // namespace device

KVANT_KERNEL(product_codes, 256, 2, ProductParams, device::multiply_codes_of_matrices)

}  // namespace kvant::backends::cuda
