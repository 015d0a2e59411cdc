// SPDX-License-Identifier: Apache-2.0
// The definitions, operation by operation as ops/softmax.cc and ops/layer_normalization.cc have them.
#include "backends/cpu/kernels/rows/rows.h"

#include <cmath>

namespace kvant::backends::cpu {

// Tables of functions, not functions that make them: nothing of a file compiled for instructions that this
// CPU lacks may run before it is chosen.
#define KVANT_ENTRY(table) extern const RowKernels table;
#include "backends/cpu/kernels/rows/kernels.inc"
#undef KVANT_ENTRY

std::span<const RowKernels> row_kernels() {
  static const RowKernels kernels[] = {
#define KVANT_ENTRY(table) table,
#include "backends/cpu/kernels/rows/kernels.inc"
#undef KVANT_ENTRY
  };
  return kernels;
}

ExactSoftmax::ExactSoftmax(const float* x, int64_t n) : x_(x), largest_(x[0]), sum_(0) {
  for (int64_t i = 1; i < n; ++i) largest_ = largest_ < x[i] ? x[i] : largest_;
  for (int64_t i = 0; i < n; ++i) sum_ += std::exp(x[i] - largest_);
}

float ExactSoftmax::at(int64_t i) const { return static_cast<float>(std::exp(x_[i] - largest_) / sum_); }

ExactLayerNorm::ExactLayerNorm(const LayerNormDesc& desc, const float* x, int64_t n) : desc_(desc), x_(x) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  mean_ = sum / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean_) * (x[i] - mean_);
  factor_ = 1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(desc.epsilon));
}

float ExactLayerNorm::at(int64_t i) const {
  double y = (x_[i] - mean_) * factor_ * static_cast<double>(desc_.gain[i]);
  if (desc_.bias != nullptr) y += static_cast<double>(desc_.bias[i]);
  return static_cast<float>(y);
}

}  // namespace kvant::backends::cpu
