// SPDX-License-Identifier: Apache-2.0
// The epilogue over int32 sums that lie in memory, pixel after pixel with channels in order: for sums that
// another library made.
#pragma once

#include "backends/cpu/kernels/qconv/qconv.h"

namespace kvant::backends::cpu {

struct SumRows {
  const int32_t* sums;      // [pixel][channels]
  const int32_t* start;     // [channels], added to the sums
  const float* multiplier;  // [channels]
  const float* bias;        // [channels]
  const uint8_t* residual;  // [pixel][channels], nullptr when there is none
  uint8_t* y;               // [pixel][channels]
  int64_t channels;
};

// Pixels [first, last), for CPUs with AVX-512: y = table[epilogue(sums)], bit for bit as finish() and the
// table say.
void finish_rows_avx512(const Epilogue& e, const CodeTable* table, const SumRows& rows, int64_t first,
                        int64_t last);

}  // namespace kvant::backends::cpu
