// SPDX-License-Identifier: Apache-2.0
// The parameter structs of the kernels that move data, shared by host and device.
#pragma once

#include "backends/cuda/kernels/move/move.h"

namespace kvant::backends::cuda {

struct CopyParams {
  CopyDesc desc;
  int64_t count;
  const uint8_t* x;
  uint8_t* y;
};

struct FillParams {
  int32_t element_bytes;
  uint64_t bits;
  int64_t count;
  uint8_t* y;
};

// y[b][column][row] = x[b][row][column], in tiles.
struct FlipParams {
  int32_t rows, columns;
  int64_t x_batch, x_row, y_batch, y_column;  // elements from one to the next
  const uint8_t* x;
  uint8_t* y;
};

// Widths, begins and the offset count units that the kernel's elements are.
struct JoinParams {
  int32_t parts;
  int64_t count, row_units;  // of all parts together
  int64_t y_width, offset;
  std::array<int64_t, JoinDesc::kMaxParts> begin, width;
  std::array<const uint8_t*, JoinDesc::kMaxParts> part;
  uint8_t* y;
};

struct GatherParams {
  GatherDesc desc;
  const uint8_t* x;
  const uint8_t* index;
  uint8_t* y;
};

}  // namespace kvant::backends::cuda
