// SPDX-License-Identifier: Apache-2.0
// Kernels that move data without changing it: Transpose, Concat, Slice, Split, Pad
// (fill, then copy), Expand, Tile, DepthToSpace, SpaceToDepth as copies between strided views; Gather;
// Resize.
#pragma once

#include <array>
#include <cstdint>

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

// y[i0,i1,...] = x[i0,i1,...] over `shape` (slowest axis first); strides in elements, of either sign, 0
// repeats. Elements of 1, 2, 4 or 8 bytes. Axes that lie one behind the other in both are joined.
struct CopyDesc {
  static constexpr int kMaxRank = 8;
  int32_t rank = 1;
  int32_t element_bytes = 1;
  std::array<int64_t, kMaxRank> shape{}, x_stride{}, y_stride{};
};
Launch copy_launch(const CopyDesc& desc, const void* x, void* y);

// Every element of y is the given one (its bytes in the low bytes of `bits`).
Launch fill_launch(int32_t element_bytes, uint64_t bits, int64_t count, void* y);

// Parts one behind the other: row r of y, from `offset` on, is row r of each part. Widths are in bytes.
struct JoinDesc {
  static constexpr int kMaxParts = 8;
  int32_t parts = 0;
  int64_t rows = 1, y_width = 0, offset = 0;
  std::array<int64_t, kMaxParts> width{};
};
Launch join_launch(const JoinDesc& desc, const std::array<const void*, JoinDesc::kMaxParts>& parts, void* y);

// y[o,i,:] = x[o,index[i],:], negative indices count from the end; x is [outer,extent,inner]. Indices are i32
// or i64 and were checked to be within [-extent, extent).
struct GatherDesc {
  int64_t outer = 1, extent = 1, inner = 1, indices = 1;
  int32_t element_bytes = 1;
  bool wide_index = true;  // i64
};
Launch gather_launch(const GatherDesc& desc, const void* x, const void* index, void* y);

}  // namespace kvant::backends::cuda
