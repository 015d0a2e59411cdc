// SPDX-License-Identifier: Apache-2.0
// The host side of warpgroup_gemm.cuh: which convolutions it can take, and their tensor maps.
#pragma once

#include <string>
#include <vector>

#include "backends/cuda/kernels/conv/conv_params.h"
#include "backends/cuda/kernels/conv/conv_tactic.h"

namespace kvant::backends::cuda {

std::vector<ConvTactic> warpgroup_tactics();
// "" when the tactic can run it. Codes outside of the image are zero, which has to be the zero point there.
std::string why_not_warpgroup(const ConvDesc& desc);
// Parameters with the maps of x (conv.x, conv.x_pitch) and of the packed weights (conv.w, conv.row_k). Fails
// (Error) when x does not start at a multiple of 16.
void set_warpgroup_params(const ConvDesc& desc, const ConvTactic& tactic, const ConvParams& conv,
                          Launch& launch);

}  // namespace kvant::backends::cuda
