// SPDX-License-Identifier: Apache-2.0
// The end of every integer kernel: from exact sums of four neighbouring channels to codes or floats in
// memory. Formulas: docs/lowered-ops.md.
#pragma once

#include "backends/cuda/kernels/activation/activation.cuh"
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

// The descriptor Epilogue with addresses, as kernels take it.
struct EpilogueParams {
  const float* multiplier;  // of each channel, as the next two
  const float* bias;
  const int32_t* offset;   // added to the sum: what a zero point other than 0 contributes
  const StepTable* steps;  // with an activation before codes
  const uint8_t* table;    // 256 codes that take the place of codes; nullptr: none
  const uint8_t* residual;
  uint8_t* y;
  int64_t y_pitch, residual_pitch;  // elements from one pixel to the next
  Epilogue form;
  bool vector_y, vector_residual;  // four channels lie at a multiple of their size
};

namespace device {

// The constants of four channels.
struct ChannelConstants {
  float multiplier[4], bias[4];
  int offset[4];
};

KVANT_DEVICE ChannelConstants channel_constants(const EpilogueParams& e, int64_t channel, int count) {
  ChannelConstants c;
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int64_t k = channel + (i < count ? i : 0);
    c.multiplier[i] = load_constant<float>(e.multiplier + k);
    c.bias[i] = load_constant<float>(e.bias + k);
    c.offset[i] = load_constant<int32_t>(e.offset + k);
  }
  return c;
}

// Codes of the residual minus its zero point, or its floats.
KVANT_DEVICE void load_residual(const EpilogueParams& e, int64_t pixel, int64_t channel, int count,
                                float (&r)[4]) {
  const int64_t at = pixel * e.residual_pitch + channel;
  if (e.form.residual == Code::F32) {
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) r[i] = load<float>(e.residual + 4 * (at + (i < count ? i : 0)));
    return;
  }
  uint32_t word = 0;
  if (e.vector_residual && count == 4) {
    word = load<uint32_t>(e.residual + at);
  } else {
    for (int i = 0; i < count; ++i) word |= static_cast<uint32_t>(e.residual[at + i]) << (8 * i);
  }
  const bool is_signed = e.form.residual == Code::I8;
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int bits = static_cast<int>(word >> (8 * i) & 255);
    const int code = is_signed ? static_cast<int8_t>(bits) : bits;
    r[i] = to_float(code - e.form.residual_zero_point);
  }
}

// clamp(round_even(v) + zero_point, low, high), in an order that cannot overflow.
KVANT_DEVICE int code_of(const CodeRange& range, float v) {
  const int q = round_to_int(v), low = range.low - range.zero_point, high = range.high - range.zero_point;
  return (q < low ? low : q > high ? high : q) + range.zero_point;
}

KVANT_DEVICE void store_codes(uint8_t* y, uint32_t word, bool vector, int count) {
  if (vector && count == 4) {
    store<uint32_t>(y, word);
  } else {
    for (int i = 0; i < count; ++i) y[i] = static_cast<uint8_t>(word >> (8 * i));
  }
}

KVANT_DEVICE uint32_t looked_up(const uint8_t* table, uint32_t word) {
  uint32_t result = 0;
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i)
    result |= static_cast<uint32_t>(load_constant<uint8_t>(table + (word >> (8 * i) & 255))) << (8 * i);
  return result;
}

// `count` of four channels from `channel` on, of one pixel.
KVANT_DEVICE void finish_channels(const EpilogueParams& e, const ChannelConstants& c, int64_t pixel,
                                  int64_t channel, int count, const int (&sums)[4]) {
  float v[4];
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) {
    const auto sum = static_cast<uint32_t>(sums[i]) + static_cast<uint32_t>(c.offset[i]);
    v[i] = fma_rn(to_float(static_cast<int>(sum)), c.multiplier[i], c.bias[i]);
  }
  if (e.form.residual != Code::None) {
    float r[4];
    load_residual(e, pixel, channel, count, r);
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) v[i] = fma_rn(r[i], e.form.residual_multiplier, v[i]);
  }
  const int64_t at = pixel * e.y_pitch + channel;
  if (e.form.output == Code::F32) {
    KVANT_NO_UNROLL
    for (int i = 0; i < count; ++i) {
      const float value = i == 0 ? v[0] : i == 1 ? v[1] : i == 2 ? v[2] : v[3];
      store<float>(e.y + 4 * (at + i), activate_real(e.form.activation, value, e.form.alpha, e.form.beta));
    }
    return;
  }
  uint32_t word = 0;
  if (e.form.activation == Activation::None) {
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(code_of(e.form.out, v[i]) & 255) << (8 * i);
  } else {
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(code_by_steps(e.steps, v[i]) & 255) << (8 * i);
  }
  if (e.table != nullptr) word = looked_up(e.table, word);
  store_codes(e.y + at, word, e.vector_y, count);
}

}  // namespace device
}  // namespace kvant::backends::cuda
