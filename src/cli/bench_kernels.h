// SPDX-License-Identifier: Apache-2.0
// `kvant bench kernels`: one convolution by every kernel that this CPU runs.
#pragma once

#include "cli/sampling.h"

namespace kvant::cli {

// --shape is HxWxC:K:KHxKW[:STRIDE[:PAD[:GROUP]]]; u8 codes in and out, random weights, warm caches.
Result bench_kernels(const Flags& flags, const SamplingOptions& sampling, Progress& progress);

}  // namespace kvant::cli
