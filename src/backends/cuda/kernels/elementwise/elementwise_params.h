// SPDX-License-Identifier: Apache-2.0
// The parameter structs of the elementwise kernels, shared by host and device.
#pragma once

#include "backends/cuda/kernels/elementwise/elementwise.h"

namespace kvant::backends::cuda {

struct CodePairParams {
  CodePairDesc desc;
  int64_t count;
  const uint8_t* a;
  const uint8_t* b;
  uint8_t* y;
  int64_t channels, image;  // of a broadcast b: elements of a pixel and of an image
  bool vector;              // all three lie at multiples of 4
};

struct AddRealParams {
  AddRealDesc desc;
  int64_t count;
  const uint8_t* a;
  const float* b;
  uint8_t* y;
  bool vector;  // a and y lie at multiples of 4
};

struct ScaleParams {
  float scale;
  int32_t zero_point;
  CodeRange out;
  bool is_signed;
  int64_t count;
  const uint8_t* x;
  uint8_t* y;
  bool vector;
};

struct LookUpParams {
  int64_t element_bytes, count;
  const uint8_t* table;
  const uint8_t* x;
  uint8_t* y;
  bool vector;
};

struct RealParams {
  Activation activation;
  Unary unary;
  float alpha, beta;
  int64_t count;
  const float* x;
  float* y;
};

struct BinaryParams {
  BinaryDesc desc;
  int64_t count;
  const float* a;
  const float* b;
  float* y;
};

}  // namespace kvant::backends::cuda
