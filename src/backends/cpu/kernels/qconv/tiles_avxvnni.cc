// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/qconv/tiles_vnni256.h"

namespace kvant::backends::cpu {

constinit const DenseTiles kTiles6x16AvxVnni = dense_tiles_vnni256();
constinit const DepthwiseTiles kDepthwise32AvxVnni = depthwise_tiles_vnni256();

}  // namespace kvant::backends::cpu
