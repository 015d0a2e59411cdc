// SPDX-License-Identifier: Apache-2.0
// An activation and the quantization behind it, v -> code(activation(v) * inverse_scale), as the sorted list
// of all floats where the code changes. A kernel finds the code by comparisons only, so it is the
// definition's on every device, whatever its exp is.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

// Plain data that kernels read from device memory. code(v) = codes[number of i with from[i] <= v]; cell(v) =
// round(fma(v, cells_per_unit, offset)) held within the cells, and first[cell] steps lie before the cell.
struct StepTable {
  static constexpr int kMostSteps = 1023, kCells = 1024;

  float cells_per_unit, offset;
  int32_t code_of_nan;
  int32_t count;
  float from[kMostSteps + 1];  // ascending; NaN behind the last
  uint16_t first[kCells];
  uint8_t codes[kMostSteps + 1];  // as bytes of the output's type
};

// False when the epilogue has no activation before codes, or one whose codes change more often than a table
// holds. Same epilogue, same bytes.
bool make_step_table(const Epilogue& epilogue, StepTable& table);

// As kernels compute it.
uint8_t code_by_steps(const StepTable& table, float v);

}  // namespace kvant::backends::cuda
