// SPDX-License-Identifier: Apache-2.0
// The table of kernels.
#include "backends/cpu/kernels/qconv/qconv.h"

#include "backends/cpu/kernels/qconv/make_kernel.h"

namespace kvant::backends::cpu {
namespace {

QConvKernel qconv_depthwise_columns_avx512vnni() {
  return depthwise_columns<kColumns64Avx512vnni>("qconv_u8s8_depthwise_columns_avx512vnni", Isa::Avx512vnni);
}
QConvKernel qconv_depthwise_64_avx512vnni() {
  return depthwise<kDepthwise64Avx512vnni>("qconv_u8s8_depthwise_64_avx512vnni", Isa::Avx512vnni);
}
QConvKernel qconv_7x64_avx512vnni() {
  return dense<kTiles7x64Avx512vnni>("qconv_u8s8_7x64_avx512vnni", Isa::Avx512vnni);
}
QConvKernel qconv_14x32_avx512vnni() {
  return dense<kTiles14x32Avx512vnni>("qconv_u8s8_14x32_avx512vnni", Isa::Avx512vnni);
}
QConvKernel qconv_32x32_amx() { return kQConvAmx; }
QConvKernel qconv_depthwise_32_avxvnni() {
  return depthwise<kDepthwise32AvxVnni>("qconv_u8s8_depthwise_32_avxvnni", Isa::AvxVnni);
}
QConvKernel qconv_6x16_avxvnni() { return dense<kTiles6x16AvxVnni>("qconv_u8s8_6x16_avxvnni", Isa::AvxVnni); }
QConvKernel qconv_depthwise_16_avx2() {
  return depthwise<kDepthwise16Avx2>("qconv_s16s16_depthwise_16_avx2", Isa::Avx2);
}
QConvKernel qconv_6x16_avx2() { return dense<kTiles6x16Avx2>("qconv_s16s16_6x16_avx2", Isa::Avx2); }
QConvKernel qconv_depthwise_plain() {
  return depthwise<kDepthwisePlain>("qconv_s16s16_depthwise_plain", Isa::None);
}
QConvKernel qconv_4x16_plain() { return dense<kTiles4x16Plain>("qconv_s16s16_4x16_plain", Isa::None); }

}  // namespace

std::span<const QConvKernel> qconv_kernels() {
  static const QConvKernel kernels[] = {
#define KVANT_ENTRY(function) function(),
#include "backends/cpu/kernels/qconv/kernels.inc"
#undef KVANT_ENTRY
  };
  return kernels;
}

}  // namespace kvant::backends::cpu
