// SPDX-License-Identifier: Apache-2.0
// Integer convolution over channels-last codes, as an implicit GEMM: exact int32 sums, then the epilogue. A
// product of matrices [M,K] x [N,K]^T is the case h = 1, w = M, c = K, k = N of a 1x1 window.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "backends/cpu/kernels/epilogue.h"
#include "base/cpu.h"

namespace kvant::backends::cpu {

// x is [n,h,w,c], y is [n,ho,wo,k], weights are [k,kh,kw,c/group].
struct ConvShape {
  int64_t n = 1, h = 1, w = 1, c = 1, k = 1;
  int64_t kh = 1, kw = 1, stride_h = 1, stride_w = 1;
  int64_t top = 0, left = 0;  // padding before; what comes after follows from ho and wo
  int64_t dilation_h = 1, dilation_w = 1, group = 1;
  int64_t ho = 1, wo = 1;

  int64_t group_c() const { return c / group; }
  int64_t group_k() const { return k / group; }
  bool depthwise() const { return group == c && group == k && group > 1; }
  bool pointwise() const { return kh == 1 && kw == 1; }
};

using CodeTable = std::array<uint8_t, 256>;

struct QConvDesc {
  ConvShape shape;
  bool x_signed = false;     // codes of x are i8
  int32_t x_zero_point = 0;  // within the range of x's codes
  Epilogue epilogue;
  std::shared_ptr<const CodeTable> table;  // codes go through it at last: y = table[byte]; may be absent
};

// Weights in ONNX's order of values, before packing.
struct QConvWeights {
  const int8_t* w;
  const float* multiplier;  // [k]
  const float* bias;        // [k]
};

struct QConvPointers {
  const std::byte* packed;
  const uint8_t* x;
  const uint8_t* residual;  // nullptr when there is none
  uint8_t* y;
  std::byte* scratch;  // threads * scratch_bytes(), 64-byte aligned
  // What the step after this one reads first on this thread; brought near while this one computes.
  std::span<const std::byte> after = {};
};

// One way to run a QConv. All functions are pure; none allocates.
struct QConvKernel {
  std::string_view name;
  Isa isa;
  // Why it cannot run this convolution; "" when it can.
  std::string (*why_not)(const QConvDesc& desc);
  size_t (*packed_bytes)(const QConvDesc& desc);
  void (*pack)(const QConvDesc& desc, const QConvWeights& weights, std::byte* packed);
  // Scratch of one thread, a multiple of 64.
  size_t (*scratch_bytes)(const QConvDesc& desc);
  // The share of thread `thread` of `threads`; shares are disjoint and need no synchronisation.
  void (*run)(const QConvDesc& desc, const QConvPointers& pointers, int thread, int threads);
  // The bytes of `packed` that a thread reads first.
  std::span<const std::byte> (*first_reads)(const QConvDesc& desc, const std::byte* packed, int thread,
                                            int threads);
};

// All kernels that this build has, best first (kernels.inc). The caller filters by isa and why_not().
std::span<const QConvKernel> qconv_kernels();

}  // namespace kvant::backends::cpu
