// SPDX-License-Identifier: Apache-2.0
// Tiles of an instruction set joined with their driver.
#pragma once

#include "backends/cpu/kernels/qconv/tiles.h"

namespace kvant::backends::cpu {

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

}  // namespace kvant::backends::cpu
