// SPDX-License-Identifier: Apache-2.0
// Softmax and layer normalization: a warp has a row; where its elements lie apart, a thread has it. Sums are
// in double, as the operators' are, so the float that is rounded to a code is the definition's.
#include "backends/cuda/kernels/epilogue.cuh"
#include "backends/cuda/kernels/rows/rows_params.h"

#if !defined(__CUDACC__)
#include <cmath>
#endif

namespace kvant::backends::cuda {
namespace device {

constexpr int kRowWarps = 4;

KVANT_DEVICE double warp_sum(double value) {
  for (int mask = 16; mask > 0; mask >>= 1) value += shuffle_xor(value, mask);
  return value;
}
KVANT_DEVICE float warp_max(float value) {
  for (int mask = 16; mask > 0; mask >>= 1) {
    const float other = shuffle_xor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}

KVANT_DEVICE void store_row_element(const RowsParams& p, int64_t at, float value) {
  if (p.out.output == Code::F32) {
    store(p.y + 4 * at, value);
  } else {
    p.y[at] = static_cast<uint8_t>(code_of(p.out.out, divide_rn(value, p.out.scale)));
  }
}

KVANT_DEVICE void softmax(const RowsParams& p) {
  const int64_t row = static_cast<int64_t>(block_x()) * kRowWarps + thread_index() / 32;
  const int lane = thread_index() % 32;
  wait_for_previous();
  let_next_start();
  if (row >= p.rows) return;
  const float* x = p.x + row * p.columns;
  float largest = -__builtin_inff();
  for (int64_t i = lane; i < p.columns; i += 32) largest = x[i] > largest ? x[i] : largest;
  largest = warp_max(largest);
  double sum = 0;
  for (int64_t i = lane; i < p.columns; i += 32)
    sum += exp(static_cast<double>(x[i]) - static_cast<double>(largest));
  sum = warp_sum(sum);
  for (int64_t i = lane; i < p.columns; i += 32) {
    const double value = exp(static_cast<double>(x[i]) - static_cast<double>(largest)) / sum;
    store_row_element(p, row * p.columns + i, static_cast<float>(value));
  }
}

// Neighbouring threads have rows whose elements are neighbours in memory.
KVANT_DEVICE void softmax_across(const RowsParams& p) {
  const int64_t row = static_cast<int64_t>(block_x()) * block_threads() + thread_index();
  wait_for_previous();
  let_next_start();
  if (row >= p.rows) return;
  const int64_t first = row / p.inner * p.columns * p.inner + row % p.inner;
  float largest = -__builtin_inff();
  for (int64_t i = 0; i < p.columns; ++i) {
    const float x = p.x[first + i * p.inner];
    largest = x > largest ? x : largest;
  }
  double sum = 0;
  for (int64_t i = 0; i < p.columns; ++i)
    sum += exp(static_cast<double>(p.x[first + i * p.inner]) - static_cast<double>(largest));
  for (int64_t i = 0; i < p.columns; ++i) {
    const int64_t at = first + i * p.inner;
    const double value = exp(static_cast<double>(p.x[at]) - static_cast<double>(largest)) / sum;
    store_row_element(p, at, static_cast<float>(value));
  }
}

KVANT_DEVICE void layer_norm(const RowsParams& p) {
  const int64_t row = static_cast<int64_t>(block_x()) * kRowWarps + thread_index() / 32;
  const int lane = thread_index() % 32;
  wait_for_previous();
  let_next_start();
  if (row >= p.rows) return;
  const float* x = p.x + row * p.columns;
  const auto columns = static_cast<double>(p.columns);
  double sum = 0, squares = 0;
  for (int64_t i = lane; i < p.columns; i += 32) sum += static_cast<double>(x[i]);
  const double mean = warp_sum(sum) / columns;
  for (int64_t i = lane; i < p.columns; i += 32) {
    const double rest = static_cast<double>(x[i]) - mean;
    squares += rest * rest;
  }
  const double factor = 1.0 / sqrt(warp_sum(squares) / columns + static_cast<double>(p.epsilon));
  for (int64_t i = lane; i < p.columns; i += 32) {
    double value = (static_cast<double>(x[i]) - mean) * factor * static_cast<double>(p.gain[i]);
    if (p.bias != nullptr) value += static_cast<double>(p.bias[i]);
    store_row_element(p, row * p.columns + i, static_cast<float>(value));
  }
}

}  // namespace device

KVANT_KERNEL(rows_softmax, 128, 1, RowsParams, device::softmax)
KVANT_KERNEL(rows_softmax_across, 128, 1, RowsParams, device::softmax_across)
KVANT_KERNEL(rows_layer_norm, 128, 1, RowsParams, device::layer_norm)

}  // namespace kvant::backends::cuda
