// SPDX-License-Identifier: Apache-2.0
// Pools over channels-last tensors. A thread has four channels of one result; or, for large windows, the
// eight warps of a block share the taps of 32 times four channels.
#include "backends/cuda/kernels/epilogue.cuh"
#include "backends/cuda/kernels/pool/pool_params.h"

namespace kvant::backends::cuda {
namespace device {

// What is added up over the taps of a window, for each kind of pool.
struct MaxOfCodes {
  using Value = int32_t;
  static constexpr bool kCodes = true;
  static KVANT_DEVICE Value start(const PoolParams& p) { return p.is_signed ? -128 : 0; }
  static KVANT_DEVICE Value join(Value a, Value b) { return a > b ? a : b; }
  static KVANT_DEVICE int code(const PoolParams&, Value v, float) { return v; }
};
struct AverageOfCodes {
  using Value = int32_t;
  static constexpr bool kCodes = true;
  static KVANT_DEVICE Value start(const PoolParams&) { return 0; }
  static KVANT_DEVICE Value join(Value a, Value b) { return a + b; }
  static KVANT_DEVICE int code(const PoolParams& p, Value v, float count) {
    return code_of(p.out, multiply_rn(to_float(v), divide_rn(p.multiplier, count)));
  }
};
struct MaxOfReals {
  using Value = float;
  static constexpr bool kCodes = false;
  static KVANT_DEVICE Value start(const PoolParams&) { return -__builtin_inff(); }
  static KVANT_DEVICE Value join(Value a, Value b) { return b > a || b != b ? b : a; }
  static KVANT_DEVICE float real(Value v, float) { return v; }
};
struct AverageOfReals {
  using Value = double;
  static constexpr bool kCodes = false;
  static KVANT_DEVICE Value start(const PoolParams&) { return 0; }
  static KVANT_DEVICE Value join(Value a, Value b) { return a + b; }
  static KVANT_DEVICE float real(Value v, float count) { return static_cast<float>(v / count); }
};

// One result: its image, the place of its window, the number of taps that an average divides by.
struct PoolPlace {
  int image, top, left;
  float count;
};

KVANT_DEVICE int taps_inside(int start, int taps, int dilation, int size) {
  const int first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
  const int end = size - start <= 0 ? 0 : (size - start - 1) / dilation + 1;
  const int last = end < taps ? end : taps;
  return last > first ? last - first : 0;
}

KVANT_DEVICE PoolPlace pool_place(const PoolParams& p, int64_t result) {
  const int column = static_cast<int>(result % p.wo), row = static_cast<int>(result / p.wo % p.ho);
  PoolPlace place;
  place.image = static_cast<int>(result / p.wo / p.ho);
  place.top = row * p.stride_h - p.top;
  place.left = column * p.stride_w - p.left;
  int count;
  if (p.count_include_pad) {  // the window may start before the image, but not before its padding
    count = taps_inside(place.top + p.top, p.kh, p.dilation_h, p.h + p.top + p.bottom) *
            taps_inside(place.left + p.left, p.kw, p.dilation_w, p.w + p.left + p.right);
  } else {
    count =
        taps_inside(place.top, p.kh, p.dilation_h, p.h) * taps_inside(place.left, p.kw, p.dilation_w, p.w);
  }
  place.count = to_float(count < 1 ? 1 : count);
  return place;
}

// Joins every `step`-th tap of the window, from `first` on.
template <class Kind>
KVANT_DEVICE void join_taps(const PoolParams& p, const PoolPlace& place, int channel, int count, int first,
                            int step, typename Kind::Value (&values)[4]) {
  constexpr int kBytes = Kind::kCodes ? 1 : 4;
  for (int tap = first; tap < p.kh * p.kw; tap += step) {
    const int h = place.top + tap / p.kw * p.dilation_h, w = place.left + tap % p.kw * p.dilation_w;
    if (h < 0 || h >= p.h || w < 0 || w >= p.w) continue;
    const uint8_t* from =
        p.x + (((static_cast<int64_t>(place.image) * p.h + h) * p.w + w) * p.c + channel) * kBytes;
    if constexpr (Kind::kCodes) {
      uint32_t word = 0;
      if (p.vector) {
        word = load<uint32_t>(from);
      } else {
        for (int i = 0; i < count; ++i) word |= static_cast<uint32_t>(from[i]) << (8 * i);
      }
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int bits = static_cast<int>(word >> (8 * i) & 255);
        values[i] = Kind::join(values[i], (p.is_signed ? static_cast<int8_t>(bits) : bits) - p.x_zero_point);
      }
    } else {
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (i < count)
          values[i] = Kind::join(values[i], static_cast<typename Kind::Value>(load<float>(from + 4 * i)));
      }
    }
  }
}

template <class Kind>
KVANT_DEVICE void store_result(const PoolParams& p, const PoolPlace& place, int64_t result, int channel,
                               int count, const typename Kind::Value (&values)[4]) {
  const int64_t at = result * p.c + channel;
  if constexpr (Kind::kCodes) {
    uint32_t word = 0;
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i)
      word |= static_cast<uint32_t>(Kind::code(p, values[i], place.count) & 255) << (8 * i);
    store_codes(p.y + at, word, p.vector, count);
  } else {
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i < count) store(p.y + 4 * (at + i), Kind::real(values[i], place.count));
    }
  }
}

template <class Kind>
KVANT_DEVICE void pool(const PoolParams& p) {
  const int quads = (p.c + 3) / 4;
  const int64_t item = static_cast<int64_t>(block_x()) * block_threads() + thread_index();
  wait_for_previous();
  let_next_start();
  if (item >= static_cast<int64_t>(p.n) * p.ho * p.wo * quads) return;
  const int channel = static_cast<int>(item % quads) * 4, count = p.c - channel < 4 ? p.c - channel : 4;
  const int64_t result = item / quads;
  const PoolPlace place = pool_place(p, result);
  typename Kind::Value values[4];
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) values[i] = Kind::start(p);
  join_taps<Kind>(p, place, channel, count, 0, 1, values);
  store_result<Kind>(p, place, result, channel, count, values);
}

constexpr int kPoolWarps = 8;

template <class Kind>
KVANT_DEVICE void shared_pool(const PoolParams& p) {
  const int strips = (p.c + 127) / 128, lane = thread_index() % 32, warp = thread_index() / 32;
  const int64_t result = block_x() / strips;
  const int channel = static_cast<int>(block_x() % strips) * 128 + lane * 4;
  const int left = p.c - channel, count = left < 0 ? 0 : left < 4 ? left : 4;
  wait_for_previous();
  let_next_start();
  const PoolPlace place = pool_place(p, result);
  typename Kind::Value values[4];
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) values[i] = Kind::start(p);
  if (count > 0) join_taps<Kind>(p, place, channel, count, warp, kPoolWarps, values);
  auto* all = reinterpret_cast<typename Kind::Value*>(shared_memory());
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) all[(warp * 4 + i) * 32 + lane] = values[i];
  barrier();
  if (warp != 0 || count == 0) return;
  for (int other = 1; other < kPoolWarps; ++other) {
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) values[i] = Kind::join(values[i], all[(other * 4 + i) * 32 + lane]);
  }
  store_result<Kind>(p, place, result, channel, count, values);
}

}  // namespace device

KVANT_KERNEL(pool_max_codes, 128, 1, PoolParams, device::pool<device::MaxOfCodes>)
KVANT_KERNEL(pool_max_reals, 128, 1, PoolParams, device::pool<device::MaxOfReals>)
KVANT_KERNEL(pool_average_codes, 128, 1, PoolParams, device::pool<device::AverageOfCodes>)
KVANT_KERNEL(pool_average_reals, 128, 1, PoolParams, device::pool<device::AverageOfReals>)
KVANT_KERNEL(pool_max_codes_shared, 256, 1, PoolParams, device::shared_pool<device::MaxOfCodes>)
KVANT_KERNEL(pool_max_reals_shared, 256, 1, PoolParams, device::shared_pool<device::MaxOfReals>)
KVANT_KERNEL(pool_average_codes_shared, 256, 1, PoolParams, device::shared_pool<device::AverageOfCodes>)
KVANT_KERNEL(pool_average_reals_shared, 256, 1, PoolParams, device::shared_pool<device::AverageOfReals>)

}  // namespace kvant::backends::cuda
