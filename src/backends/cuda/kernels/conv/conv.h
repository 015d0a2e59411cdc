// SPDX-License-Identifier: Apache-2.0
// Integer convolution of channels-last codes (QConv; QGemm is the case h = 1, w = rows, c = K, k = N of a 1x1
// window): dense, grouped, depthwise, stems. Every tactic gives the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cuda/kernels/conv/conv_shape.h"
#include "backends/cuda/kernels/epilogue.h"
#include "backends/cuda/kernels/launch.h"

namespace kvant::backends::cuda {

struct ConvDesc {
  ConvShape shape;
  bool x_signed = false;     // codes of x are i8
  int32_t x_zero_point = 0;  // within the range of x's codes
  Epilogue epilogue;         // of integer output when a table follows
  bool table = false;        // y = table[byte of the epilogue's code]
  // Elements from one pixel to the next; 0: as many as channels. A result with a larger pitch is written
  // into a slice of a wider tensor (Concat in place); multiples of 16 are the fastest.
  int64_t x_pitch = 0, y_pitch = 0, residual_pitch = 0;
};

// As in the graph; host pointers.
struct ConvWeights {
  const int8_t* w;
  const float* multiplier;         // [k]
  const float* bias;               // [k]
  const uint8_t* table = nullptr;  // [256], with ConvDesc::table
};

// Device addresses. Tensors start at multiples of 16 bytes unless a pitch says that they are slices, then at
// multiples of the element size; `packed` at a multiple of 256.
struct ConvPointers {
  const void* packed = nullptr;
  const void* x = nullptr;
  const void* residual = nullptr;  // nullptr when there is none
  void* y = nullptr;
  void *scratch = nullptr, *counters = nullptr;  // of conv_room()
};

// Tactics that can run it on compute capability `sm` (80, 90...), the likely best first by a cost model.
// Empty: none, and `why` says which constraint failed.
std::vector<std::string> conv_tactics(const ConvDesc& desc, int sm, std::string& why);

// Constants as the tactic reads them: weights, multipliers, biases, corrections for the zero point, the
// tables of the activation and of codes. Fails (Error) on an unknown tactic or one that cannot run it.
size_t conv_packed_bytes(const ConvDesc& desc, std::string_view tactic);
void pack_conv(const ConvDesc& desc, std::string_view tactic, const ConvWeights& weights, std::byte* packed);

// Where the tactic's blocks meet; none for most.
Room conv_room(const ConvDesc& desc, std::string_view tactic);

// The one kernel that computes it.
Launch conv_launch(const ConvDesc& desc, std::string_view tactic, const ConvPointers& pointers);

}  // namespace kvant::backends::cuda
