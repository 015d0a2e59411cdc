// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/move/move.h"

#include <string>
#include <utility>

#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/move/move_params.h"

namespace kvant::backends::cuda {
namespace {

constexpr unsigned kThreads = 256;

// Axes that lie one behind the other in x and y are one.
CopyDesc joined_axes(const CopyDesc& desc) {
  CopyDesc joined = desc;
  joined.rank = 0;
  for (size_t axis = 0; axis < static_cast<size_t>(desc.rank); ++axis) {
    if (desc.shape[axis] == 1) continue;
    const auto last = static_cast<size_t>(joined.rank) - 1;
    if (joined.rank > 0 && joined.x_stride[last] == desc.shape[axis] * desc.x_stride[axis] &&
        joined.y_stride[last] == desc.shape[axis] * desc.y_stride[axis]) {
      joined.shape[last] *= desc.shape[axis];
      joined.x_stride[last] = desc.x_stride[axis];
      joined.y_stride[last] = desc.y_stride[axis];
    } else {
      const auto next = static_cast<size_t>(joined.rank++);
      joined.shape[next] = desc.shape[axis];
      joined.x_stride[next] = desc.x_stride[axis];
      joined.y_stride[next] = desc.y_stride[axis];
    }
  }
  return joined;
}

// Several neighbouring elements as one larger, where the last axis is dense on both sides.
void widen_elements(CopyDesc& desc, const void* x, const void* y) {
  const auto last = static_cast<size_t>(desc.rank) - 1;
  while (desc.rank > 0 && desc.element_bytes < 16 && desc.x_stride[last] == 1 && desc.y_stride[last] == 1 &&
         lies_at_multiples_of(static_cast<size_t>(2 * desc.element_bytes), {x, y})) {
    bool even = desc.shape[last] % 2 == 0;
    for (size_t axis = 0; axis < last; ++axis)
      even = even && desc.x_stride[axis] % 2 == 0 && desc.y_stride[axis] % 2 == 0;
    if (!even) return;
    desc.element_bytes *= 2;
    desc.shape[last] /= 2;
    for (size_t axis = 0; axis < last; ++axis) desc.x_stride[axis] /= 2, desc.y_stride[axis] /= 2;
  }
}

// So that neighbouring threads write neighbouring elements.
void put_dense_axis_of_y_last(CopyDesc& d) {
  const auto last = static_cast<size_t>(d.rank) - 1;
  for (size_t axis = 0; d.rank > 1 && axis < last; ++axis) {
    if (d.y_stride[axis] != 1 || d.y_stride[last] == 1) continue;
    std::swap(d.shape[axis], d.shape[last]);
    std::swap(d.x_stride[axis], d.x_stride[last]);
    std::swap(d.y_stride[axis], d.y_stride[last]);
  }
}

// [batch,] rows, columns with rows dense in y and columns dense in x: a transpose in tiles.
bool is_flip(const CopyDesc& d) {
  if (d.element_bytes != 1 && d.element_bytes != 4) return false;
  if (d.rank != 2 && d.rank != 3) return false;
  const auto rows = static_cast<size_t>(d.rank) - 1, columns = rows - 1;
  return d.x_stride[columns] == 1 && d.y_stride[rows] == 1 && d.shape[rows] >= 8 && d.shape[columns] >= 8 &&
         d.shape[rows] < 65535 * 32 && d.shape[columns] < INT32_MAX / 2 &&
         (d.rank == 2 || d.shape[0] <= 65535);
}

Launch flip_launch(const CopyDesc& d, const void* x, void* y) {
  const auto rows = static_cast<size_t>(d.rank) - 1, columns = rows - 1;
  FlipParams p{};
  p.rows = static_cast<int32_t>(d.shape[rows]), p.columns = static_cast<int32_t>(d.shape[columns]);
  p.x_row = d.x_stride[rows], p.y_column = d.y_stride[columns];
  if (d.rank == 3) p.x_batch = d.x_stride[0], p.y_batch = d.y_stride[0];
  p.x = static_cast<const uint8_t*>(x), p.y = static_cast<uint8_t*>(y);
  Launch launch = launch_over(d.element_bytes == 1 ? "flip_1" : "flip_4", 1, kThreads, p);
  launch.grid = {static_cast<unsigned>(blocks_for(p.columns, 32)),
                 static_cast<unsigned>(blocks_for(p.rows, 32)),
                 d.rank == 3 ? static_cast<unsigned>(d.shape[0]) : 1};
  launch.shared_bytes = static_cast<size_t>(32 * (32 * d.element_bytes + 4));
  return launch;
}

}  // namespace

Launch copy_launch(const CopyDesc& desc, const void* x, void* y) {
  KVANT_CHECK(desc.rank >= 0 && desc.rank <= CopyDesc::kMaxRank, "rank of a copy");
  CopyDesc d = joined_axes(desc);
  put_dense_axis_of_y_last(d);
  if (is_flip(d)) return flip_launch(d, x, y);
  widen_elements(d, x, y);
  CopyParams p{d, 1, static_cast<const uint8_t*>(x), static_cast<uint8_t*>(y)};
  for (size_t axis = 0; axis < static_cast<size_t>(d.rank); ++axis) p.count *= d.shape[axis];
  return launch_over("copy_" + std::to_string(d.element_bytes), p.count, kThreads, p);
}

Launch join_launch(const JoinDesc& desc, const std::array<const void*, JoinDesc::kMaxParts>& parts, void* y) {
  KVANT_CHECK(desc.parts >= 1 && desc.parts <= JoinDesc::kMaxParts, "parts of a tensor");
  const auto count = static_cast<size_t>(desc.parts);
  const auto joins = [&](int64_t unit) {
    bool fits = desc.y_width % unit == 0 && desc.offset % unit == 0 &&
                lies_at_multiples_of(static_cast<size_t>(unit), {y});
    for (size_t i = 0; i < count; ++i)
      fits = fits && desc.width[i] % unit == 0 && lies_at_multiples_of(static_cast<size_t>(unit), {parts[i]});
    return fits;
  };
  const int64_t unit = joins(16) ? 16 : joins(4) ? 4 : 1;
  JoinParams p{};
  p.parts = desc.parts;
  p.y_width = desc.y_width / unit, p.offset = desc.offset / unit;
  for (size_t i = 0; i < count; ++i) {
    p.part[i] = static_cast<const uint8_t*>(parts[i]);
    p.begin[i] = p.row_units, p.width[i] = desc.width[i] / unit;
    p.row_units += p.width[i];
  }
  p.count = desc.rows * p.row_units;
  p.y = static_cast<uint8_t*>(y);
  return launch_over("join_" + std::to_string(unit), p.count, kThreads, p);
}

Launch fill_launch(int32_t element_bytes, uint64_t bits, int64_t count, void* y) {
  return launch_over("fill", count, kThreads,
                     FillParams{element_bytes, bits, count, static_cast<uint8_t*>(y)});
}

Launch gather_launch(const GatherDesc& desc, const void* x, const void* index, void* y) {
  return launch_over("gather", desc.outer * desc.indices * desc.inner, kThreads,
                     GatherParams{desc, static_cast<const uint8_t*>(x), static_cast<const uint8_t*>(index),
                                  static_cast<uint8_t*>(y)});
}

}  // namespace kvant::backends::cuda
