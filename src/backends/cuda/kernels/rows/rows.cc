// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/rows/rows.h"

#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/rows/rows_params.h"

namespace kvant::backends::cuda {
namespace {

Launch rows_launch(std::string_view kernel, const RowsParams& params) {
  return launch_over(kernel, params.rows * 32, 128, params);
}

}  // namespace

Launch softmax_launch(const RowOutput& out, int64_t rows, int64_t columns, int64_t inner, const void* x,
                      void* y) {
  const RowsParams p{
      out, 0, rows, columns, static_cast<const float*>(x), nullptr, nullptr, static_cast<uint8_t*>(y), inner};
  return inner == 1 ? rows_launch("rows_softmax", p) : launch_over("rows_softmax_across", rows, 128, p);
}

Launch layer_norm_launch(const LayerNormDesc& desc, const void* x, const void* gain, const void* bias,
                         void* y) {
  return rows_launch("rows_layer_norm",
                     RowsParams{desc.out, desc.epsilon, desc.rows, desc.columns, static_cast<const float*>(x),
                                static_cast<const float*>(gain), static_cast<const float*>(bias),
                                static_cast<uint8_t*>(y), 1});
}

}  // namespace kvant::backends::cuda
