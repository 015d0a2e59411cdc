// SPDX-License-Identifier: Apache-2.0
// Kernels that move data: copies between strided views, tiled transposes, fills, gathers.
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/move/move_params.h"

namespace kvant::backends::cuda {
namespace device {

KVANT_DEVICE int64_t item_of_thread() {
  return static_cast<int64_t>(block_x()) * block_threads() + thread_index();
}

template <class T>
KVANT_DEVICE void copy_elements(const CopyParams& p) {
  const int64_t item = item_of_thread();
  wait_for_previous();
  let_next_start();
  if (item >= p.count) return;
  int64_t rest = item, x = 0, y = 0;
  for (int axis = p.desc.rank - 1; axis >= 0; --axis) {
    const int64_t size = p.desc.shape[axis], next = rest / size, at = rest - next * size;
    rest = next;
    x += at * p.desc.x_stride[axis];
    y += at * p.desc.y_stride[axis];
  }
  store(p.y + y * static_cast<int64_t>(sizeof(T)), load<T>(p.x + x * static_cast<int64_t>(sizeof(T))));
}

// 32x32 elements through shared memory, so that both sides are read and written along rows.
template <class T>
KVANT_DEVICE void flip_tiles(const FlipParams& p) {
  constexpr int kTile = 32, kRowsAtOnce = 8, kPitch = kTile + 4 / static_cast<int>(sizeof(T));
  auto* tile = reinterpret_cast<T*>(shared_memory());
  const int lane = thread_index() % kTile, line = thread_index() / kTile;
  const int column0 = static_cast<int>(block_x()) * kTile, row0 = static_cast<int>(block_y()) * kTile;
  const auto* x = p.x + static_cast<int64_t>(block_z()) * p.x_batch * static_cast<int64_t>(sizeof(T));
  auto* y = p.y + static_cast<int64_t>(block_z()) * p.y_batch * static_cast<int64_t>(sizeof(T));
  wait_for_previous();
  let_next_start();
  for (int i = line; i < kTile; i += kRowsAtOnce) {
    if (row0 + i < p.rows && column0 + lane < p.columns)
      tile[i * kPitch + lane] =
          load<T>(x + ((row0 + i) * p.x_row + column0 + lane) * static_cast<int64_t>(sizeof(T)));
  }
  barrier();
  for (int i = line; i < kTile; i += kRowsAtOnce) {
    if (column0 + i < p.columns && row0 + lane < p.rows)
      store(y + ((column0 + i) * p.y_column + row0 + lane) * static_cast<int64_t>(sizeof(T)),
            tile[lane * kPitch + i]);
  }
}

KVANT_DEVICE void store_bits(uint8_t* y, int64_t at, int element_bytes, uint64_t bits) {
  switch (element_bytes) {
    case 1:
      y[at] = static_cast<uint8_t>(bits);
      break;
    case 2:
      store(y + 2 * at, static_cast<uint16_t>(bits));
      break;
    case 4:
      store(y + 4 * at, static_cast<uint32_t>(bits));
      break;
    default:
      store(y + 8 * at, bits);
  }
}

KVANT_DEVICE uint64_t load_bits(const uint8_t* x, int64_t at, int element_bytes) {
  switch (element_bytes) {
    case 1:
      return x[at];
    case 2:
      return load<uint16_t>(x + 2 * at);
    case 4:
      return load<uint32_t>(x + 4 * at);
    default:
      return load<uint64_t>(x + 8 * at);
  }
}

template <class T>
KVANT_DEVICE void join_parts(const JoinParams& p) {
  const int64_t item = item_of_thread();
  wait_for_previous();
  let_next_start();
  if (item >= p.count) return;
  const int64_t row = item / p.row_units, column = item - row * p.row_units;
  const uint8_t* part = nullptr;
  int64_t begin = 0, width = 0;
  KVANT_UNROLL
  for (int i = 0; i < JoinDesc::kMaxParts; ++i) {
    if (i >= p.parts || column < p.begin[i]) continue;
    part = p.part[i];
    begin = p.begin[i];
    width = p.width[i];
  }
  constexpr auto kBytes = static_cast<int64_t>(sizeof(T));
  store(p.y + (row * p.y_width + p.offset + column) * kBytes,
        load<T>(part + (row * width + column - begin) * kBytes));
}

KVANT_DEVICE void fill(const FillParams& p) {
  const int64_t item = item_of_thread();
  wait_for_previous();
  let_next_start();
  if (item < p.count) store_bits(p.y, item, p.element_bytes, p.bits);
}

KVANT_DEVICE void gather(const GatherParams& p) {
  const GatherDesc& d = p.desc;
  const int64_t item = item_of_thread();
  wait_for_previous();
  let_next_start();
  if (item >= d.outer * d.indices * d.inner) return;
  const int64_t inner = item % d.inner, i = item / d.inner % d.indices, outer = item / d.inner / d.indices;
  int64_t index = d.wide_index ? load<int64_t>(p.index + 8 * i) : load<int32_t>(p.index + 4 * i);
  if (index < 0) index += d.extent;
  const int64_t from = (outer * d.extent + index) * d.inner + inner;
  store_bits(p.y, item, d.element_bytes, load_bits(p.x, from, d.element_bytes));
}

}  // namespace device

KVANT_KERNEL(copy_1, 256, 1, CopyParams, device::copy_elements<uint8_t>)
KVANT_KERNEL(copy_2, 256, 1, CopyParams, device::copy_elements<uint16_t>)
KVANT_KERNEL(copy_4, 256, 1, CopyParams, device::copy_elements<uint32_t>)
KVANT_KERNEL(copy_8, 256, 1, CopyParams, device::copy_elements<uint64_t>)
KVANT_KERNEL(copy_16, 256, 1, CopyParams, device::copy_elements<device::Vector16>)
KVANT_KERNEL(flip_1, 256, 1, FlipParams, device::flip_tiles<uint8_t>)
KVANT_KERNEL(flip_4, 256, 1, FlipParams, device::flip_tiles<uint32_t>)
KVANT_KERNEL(join_1, 256, 1, JoinParams, device::join_parts<uint8_t>)
KVANT_KERNEL(join_4, 256, 1, JoinParams, device::join_parts<uint32_t>)
KVANT_KERNEL(join_16, 256, 1, JoinParams, device::join_parts<device::Vector16>)
KVANT_KERNEL(fill, 256, 1, FillParams, device::fill)
KVANT_KERNEL(gather, 256, 1, GatherParams, device::gather)

}  // namespace kvant::backends::cuda
