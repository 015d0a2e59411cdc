// SPDX-License-Identifier: Apache-2.0
// What the lifting of integer operators shares: a DequantizeLinear in front of an operand.
#pragma once

#include "formats/onnx/draft.h"

namespace kvant::formats {

// Fails unless the first `count` inputs are all there.
void require_inputs(const Draft& node, size_t count);

// `value` (scale or zero point, or kNone) as a scalar where it has one element; as it is where it has one for
// each channel. Fails if it has more than one dimension; `what` begins the sentence.
ir::ValueId scalar_or_vector(Importing& graph, ir::ValueId value, const std::string& what);

// DequantizeLinear of `codes`. Scale and zero point have one element or one for each index of `axis`; without
// a scale (kNone) it is 1: the result is codes - zero_point.
ir::ValueId dequantized(Importing& graph, ir::ValueId codes, ir::ValueId scale, ir::ValueId zero_point,
                        int64_t axis, const std::string& what);

}  // namespace kvant::formats
