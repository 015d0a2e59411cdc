// SPDX-License-Identifier: Apache-2.0
// The tiles of AVX-VNNI in EVEX encoding, for qconv_test.cc on CPUs with AVX-512.
#include "backends/cpu/kernels/qconv/tiles_vnni256.h"

namespace kvant::backends::cpu {

extern const DenseTiles kTiles6x16Evex;
extern const DepthwiseTiles kDepthwise32Evex;
constinit const DenseTiles kTiles6x16Evex = dense_tiles_vnni256();
constinit const DepthwiseTiles kDepthwise32Evex = depthwise_tiles_vnni256();

}  // namespace kvant::backends::cpu
