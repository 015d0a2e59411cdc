// SPDX-License-Identifier: Apache-2.0
// Reductions of floats: a warp has a result, or a thread has.
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/reduce/reduce_params.h"

namespace kvant::backends::cuda {
namespace device {

// Where the element of number `item` over these axes lies.
KVANT_DEVICE int64_t place_over_axes(int64_t item, int axes, const int64_t* shape, const int64_t* stride) {
  int64_t at = 0;
  for (int axis = axes - 1; axis >= 0; --axis) {
    const int64_t next = item / shape[axis];
    at += (item - next * shape[axis]) * stride[axis];
    item = next;
  }
  return at;
}

KVANT_DEVICE double join_reduced(Reduction kind, double a, double b) {
  switch (kind) {
    case Reduction::Max:
      return b > a || b != b ? b : a;  // a NaN stays
    case Reduction::Min:
      return b < a || b != b ? b : a;
    default:
      return a + b;
  }
}

KVANT_DEVICE void reduce(const ReduceParams& p) {
  const ReduceDesc& d = p.desc;
  const int64_t item = static_cast<int64_t>(block_x()) * block_threads() + thread_index();
  const int64_t result = item / p.lanes;
  wait_for_previous();
  let_next_start();
  if (result >= p.results) return;
  const float* from = p.x + place_over_axes(result, d.kept, d.kept_shape.data(), d.kept_stride.data());
  const double infinity = static_cast<double>(__builtin_inff());
  double value = d.kind == Reduction::Max ? -infinity : d.kind == Reduction::Min ? infinity : 0.0;
  for (int64_t term = item % p.lanes; term < p.terms; term += p.lanes) {
    const int64_t at = place_over_axes(term, d.reduced, d.reduced_shape.data(), d.reduced_stride.data());
    value = join_reduced(d.kind, value, static_cast<double>(from[at]));
  }
  if (p.lanes > 1) {
    for (int mask = 16; mask > 0; mask >>= 1) value = join_reduced(d.kind, value, shuffle_xor(value, mask));
    if (item % p.lanes != 0) return;
  }
  if (d.kind == Reduction::Mean) value = value / static_cast<double>(p.terms);
  p.y[result] = static_cast<float>(value);
}

}  // namespace device

KVANT_KERNEL(reduce_reals, 256, 1, ReduceParams, device::reduce)

}  // namespace kvant::backends::cuda
