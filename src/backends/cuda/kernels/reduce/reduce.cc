// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/reduce/reduce.h"

#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/reduce/reduce_params.h"

namespace kvant::backends::cuda {

Launch reduce_launch(const ReduceDesc& desc, const void* x, void* y) {
  ReduceParams p{desc, 1, 1, 1, static_cast<const float*>(x), static_cast<float*>(y)};
  for (size_t i = 0; i < static_cast<size_t>(desc.kept); ++i) p.results *= desc.kept_shape[i];
  for (size_t i = 0; i < static_cast<size_t>(desc.reduced); ++i) p.terms *= desc.reduced_shape[i];
  // A warp for each result where its terms are neighbours; a thread where results are.
  const bool results_are_neighbours =
      desc.kept > 0 && desc.kept_stride[static_cast<size_t>(desc.kept - 1)] == 1;
  p.lanes = results_are_neighbours && p.results >= 32 ? 1 : 32;
  return launch_over("reduce_reals", p.results * p.lanes, 256, p);
}

}  // namespace kvant::backends::cuda
