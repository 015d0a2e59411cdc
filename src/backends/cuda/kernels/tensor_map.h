// SPDX-License-Identifier: Apache-2.0
// What the tensor memory accelerator of sm_90 is told of a tensor of bytes: its place, dimensions and the box
// that one copy moves. A kernel has a TensorMap among its parameters (at a multiple of 128 bytes). On the
// host that is this plain description, which the emulator reads as it stands; before the driver starts the
// kernel the device encodes it in place (cuTensorMapEncodeTiled, cuTensorMapEncodeIm2col).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace kvant::backends::cuda {

// How 16-byte chunks of rows of that many bytes are exchanged in shared memory, so that eight neighbouring
// rows lie in different banks; numbers of CUtensorMapSwizzle.
enum class Swizzle : uint8_t { None = 0, Bytes32 = 1, Bytes64 = 2, Bytes128 = 3 };

inline constexpr int kMostTensorRank = 5;

// Dimension 0 is the fastest. Bytes outside of the tensor read as zero.
struct TensorMapForm {
  const void* address = nullptr;               // a multiple of 16
  uint64_t strides[kMostTensorRank - 1] = {};  // bytes, of dimension 1...; multiples of 16 below 2^40
  uint32_t dims[kMostTensorRank] = {};
  uint16_t box[kMostTensorRank] = {};                // tiled: up to 256 of each dimension
  uint8_t steps[kMostTensorRank] = {1, 1, 1, 1, 1};  // from one element to the next, 1...8
  uint8_t rank = 2;
  Swizzle swizzle = Swizzle::None;
  // im2col, for rank 4 [n,h,w,c]: a copy moves `channels` of `pixels` pixels that follow each other in the
  // box of first taps, which reaches from `lower` (w, h) to dims - 1 + `upper`, and the tap's offset is added
  // to each.
  bool im2col = false;
  int8_t lower[2] = {}, upper[2] = {};
  uint16_t channels = 0, pixels = 0;

  // Of dimension i that a tiled copy moves.
  int elements(int i) const { return i == 0 ? box[0] : (box[i] + steps[i] - 1) / steps[i]; }
  // Bytes that a copy writes to shared memory and announces to its barrier.
  int64_t copied_bytes() const {
    if (im2col) return int64_t{channels} * pixels;
    int64_t bytes = 1;
    for (int i = 0; i < rank; ++i) bytes *= elements(i);
    return bytes;
  }
};

struct alignas(128) TensorMap {
  unsigned char bytes[128] = {};

  TensorMap() = default;
  explicit TensorMap(const TensorMapForm& form) { std::memcpy(bytes, &form, sizeof form); }
  TensorMapForm form() const {
    TensorMapForm form;
    std::memcpy(static_cast<void*>(&form), bytes, sizeof form);
    return form;
  }
};
static_assert(sizeof(TensorMapForm) <= sizeof(TensorMap) && std::is_trivially_copyable_v<TensorMapForm>);
static_assert(std::is_trivially_copyable_v<TensorMap>);

}  // namespace kvant::backends::cuda
