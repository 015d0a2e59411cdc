// SPDX-License-Identifier: Apache-2.0
// The table of kernels: tiles of an instruction set joined with a driver.
#include "backends/cpu/kernels/qconv/qconv.h"

#include "backends/cpu/kernels/qconv/tiles.h"

namespace kvant::backends::cpu {
namespace {

template <const DenseTiles& tiles>
QConvKernel dense(std::string_view name, Isa isa) {
  return {
      name,
      isa,
      dense_why_not,
      [](const QConvDesc& d) { return dense_packed_bytes(tiles, d); },
      [](const QConvDesc& d, const QConvWeights& w, std::byte* packed) { dense_pack(tiles, d, w, packed); },
      [](const QConvDesc& d) { return dense_scratch_bytes(tiles, d); },
      [](const QConvDesc& d, const QConvPointers& p, int thread, int threads) {
        dense_run(tiles, d, p, thread, threads);
      },
      [](const QConvDesc& d, const std::byte* packed, int thread, int threads) {
        return dense_first_reads(tiles, d, packed, thread, threads);
      }};
}

template <const DepthwiseTiles& tiles>
QConvKernel depthwise(std::string_view name, Isa isa) {
  return {name,
          isa,
          depthwise_why_not,
          [](const QConvDesc& d) { return depthwise_packed_bytes(tiles, d); },
          [](const QConvDesc& d, const QConvWeights& w, std::byte* packed) {
            depthwise_pack(tiles, d, w, packed);
          },
          [](const QConvDesc& d) { return depthwise_scratch_bytes(tiles, d); },
          [](const QConvDesc& d, const QConvPointers& p, int thread, int threads) {
            depthwise_run(tiles, d, p, thread, threads);
          },
          [](const QConvDesc& d, const std::byte* packed, int, int) {
            return depthwise_first_reads(tiles, d, packed);
          }};
}

template <const ColumnsTiles& tiles>
QConvKernel depthwise_columns(std::string_view name, Isa isa) {
  return {
      name,
      isa,
      columns_why_not,
      [](const QConvDesc& d) { return columns_packed_bytes(tiles, d); },
      [](const QConvDesc& d, const QConvWeights& w, std::byte* packed) { columns_pack(tiles, d, w, packed); },
      columns_scratch_bytes,
      [](const QConvDesc& d, const QConvPointers& p, int thread, int threads) {
        columns_run(tiles, d, p, thread, threads);
      },
      [](const QConvDesc& d, const std::byte* packed, int, int) {
        return std::span<const std::byte>(packed, columns_packed_bytes(tiles, d));
      }};
}

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
