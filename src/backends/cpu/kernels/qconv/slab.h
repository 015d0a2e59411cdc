// SPDX-License-Identifier: Apache-2.0
// The window of input rows that a thread works on. Where the input can be read in place (no padding, u8,
// dword-sized runs) it is; else rows are copied into scratch with their border, as u8 codes or as int16
// without zero point.
#pragma once

#include "backends/cpu/kernels/qconv/qconv.h"

namespace kvant::backends::cpu {

class Slab {
 public:
  // `element`: 1 or 2, see DenseTiles. `copy`: false only if reading in place is right.
  Slab(const QConvDesc& desc, int element, bool copy);

  // True when no border and no conversion is needed, and a run of `run_bytes` may be read in dwords.
  static bool readable_in_place(const QConvDesc& desc, int element, int64_t run_bytes);

  // Output rows that are handled together: as many as keep the window within a share of the L2 cache.
  int64_t rows_per_chunk() const { return rows_per_chunk_; }
  size_t scratch_bytes() const;
  // Makes the input of output rows [row, row + rows) of image `image` readable; returns the first tap of the
  // first one.
  const std::byte* prepare(const uint8_t* x, int64_t image, int64_t row, int64_t rows,
                           std::byte* scratch) const;

  int64_t row_bytes() const { return row_bytes_; }      // from input row to input row
  int64_t pixel_bytes() const { return pixel_bytes_; }  // from input pixel to input pixel

 private:
  void copy_row(const uint8_t* x, int64_t y, std::byte* out) const;
  void convert(const uint8_t* x, int64_t count, std::byte* out) const;
  void fill(int64_t count, std::byte* out) const;

  const QConvDesc& desc_;
  int element_;
  bool copy_;
  int64_t columns_;  // input pixels of a window row, border included
  int64_t pixel_bytes_, row_bytes_, rows_per_chunk_;
};

// For a pointwise convolution with stride 1 all pixels lie in one row: the same convolution as n = h = ho
// = 1.
QConvDesc flattened(const QConvDesc& desc);

}  // namespace kvant::backends::cpu
