// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/qconv/slab.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/qconv/packed.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kChunkBytes = 160 * 1024;
constexpr int64_t kSlack = 64;  // runs are read in whole dwords, past their end

int64_t window_rows(const ConvShape& s, int64_t rows) {
  return (rows - 1) * s.stride_h + (s.kh - 1) * s.dilation_h + 1;
}

}  // namespace

Slab::Slab(const QConvDesc& desc, int element, bool copy) : desc_(desc), element_(element), copy_(copy) {
  const ConvShape& s = desc.shape;
  columns_ = (s.wo - 1) * s.stride_w + (s.kw - 1) * s.dilation_w + 1;
  pixel_bytes_ = s.c * element;
  row_bytes_ = copy ? columns_ * pixel_bytes_ : s.w * s.c;
  const int64_t step = std::max<int64_t>(1, row_bytes_ * s.stride_h);
  rows_per_chunk_ = std::clamp<int64_t>(kChunkBytes / step, 1, s.ho);
}

bool Slab::readable_in_place(const QConvDesc& desc, int element, int64_t run_bytes) {
  const ConvShape& s = desc.shape;
  return element == 1 && !desc.x_signed && run_bytes % 4 == 0 && s.top == 0 && s.left == 0 &&
         window_rows(s, s.ho) <= s.h && (s.wo - 1) * s.stride_w + (s.kw - 1) * s.dilation_w + 1 <= s.w;
}

size_t Slab::scratch_bytes() const {
  if (!copy_) return 0;
  const int64_t bytes = window_rows(desc_.shape, rows_per_chunk_) * row_bytes_ + kSlack;
  return static_cast<size_t>((bytes + 63) / 64 * 64);
}

const std::byte* Slab::prepare(const uint8_t* x, int64_t image, int64_t row, int64_t rows,
                               std::byte* scratch) const {
  const ConvShape& s = desc_.shape;
  x += image * s.h * s.w * s.c;
  if (!copy_) return reinterpret_cast<const std::byte*>(x + row * s.stride_h * row_bytes_);
  const int64_t first = row * s.stride_h - s.top;
  const int64_t count = window_rows(s, rows);
  for (int64_t i = 0; i < count; ++i) copy_row(x, first + i, scratch + i * row_bytes_);
  return scratch;
}

void Slab::copy_row(const uint8_t* x, int64_t y, std::byte* out) const {
  const ConvShape& s = desc_.shape;
  const int64_t left = std::min(s.left, columns_);
  const int64_t inside = y < 0 || y >= s.h ? 0 : std::clamp<int64_t>(columns_ - left, 0, s.w);
  const int64_t before = inside == 0 ? 0 : left;
  fill(before * s.c, out);
  if (inside > 0) convert(x + y * s.w * s.c, inside * s.c, out + before * pixel_bytes_);
  fill((columns_ - before - inside) * s.c, out + (before + inside) * pixel_bytes_);
}

void Slab::convert(const uint8_t* x, int64_t count, std::byte* out) const {
  if (element_ == 2) {
    int16_t* o = reinterpret_cast<int16_t*>(out);
    const int flip = desc_.x_signed ? 0x80 : 0;
    const int zero = unsigned_zero_point(desc_);
    for (int64_t i = 0; i < count; ++i) o[i] = static_cast<int16_t>((x[i] ^ flip) - zero);
  } else if (desc_.x_signed) {
    uint8_t* o = reinterpret_cast<uint8_t*>(out);
    for (int64_t i = 0; i < count; ++i) o[i] = x[i] ^ 0x80;
  } else {
    std::memcpy(out, x, static_cast<size_t>(count));
  }
}

void Slab::fill(int64_t count, std::byte* out) const {
  const int code = element_ == 2 ? 0 : unsigned_zero_point(desc_);
  std::memset(out, code, static_cast<size_t>(count * element_));
}

QConvDesc flattened(const QConvDesc& desc) {
  const ConvShape& s = desc.shape;
  const bool flat = s.pointwise() && s.stride_h == 1 && s.stride_w == 1 && s.top == 0 && s.left == 0 &&
                    s.ho == s.h && s.wo == s.w;
  QConvDesc result = desc;
  if (!flat) return result;
  // Rows of a length that every tile divides, when there is one, so that chunks and threads can share them
  // out.
  const int64_t pixels = s.n * s.h * s.w;
  int64_t width = pixels;
  for (int64_t candidate : {56, 28, 14, 48, 32, 24, 16}) {
    if (pixels % candidate == 0 && pixels >= 8 * candidate) {
      width = candidate;
      break;
    }
  }
  result.shape.n = 1;
  result.shape.h = result.shape.ho = pixels / width;
  result.shape.w = result.shape.wo = width;
  return result;
}

}  // namespace kvant::backends::cpu
