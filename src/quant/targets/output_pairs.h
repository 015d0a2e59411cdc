// SPDX-License-Identifier: Apache-2.0
// The Q/DQ pair behind a weighted layer: onnxruntime computes a convolution in integers only when a Q of the
// input's type reads its result, and nothing else does. TensorRT, OpenVINO and kvant's engine fuse the
// addition and the activation behind it instead, which such a pair would split off (qdq-rules.md 5.4, 6.4).
//
//   Conv ─ Relu | Clip | Flatten ... ─ Q(s)  <=>  Conv ─ Q(s) ─ DQ(s) ─ Relu | ... ─ Q(s)   exact: they
//   commute Conv ─ y ─ Add | SiLU | ...              <=>  Conv ─ y ─ Q(s_y) ─ DQ(s_y) ─ Add ...     one
//   rounding more
//
// The exact form is put behind Add, Mul and average pools of quantized tensors too: onnxruntime computes
// those on codes then.
#pragma once

#include <string>
#include <vector>

#include "quant/targets/target.h"

namespace kvant::quant {

// Adds the missing pairs. The scale comes, in this order, from the Q behind a commuting chain, from another Q
// of the same tensor, from `ranges` (by the tensor's name), or from the model's metadata (kOutputScalesKey).
// A result without any stays float and is reported.
void add_output_pairs(ir::Graph& graph, const CalibrationTable& ranges, TargetReport& report);
// Results of convolutions that have none of these but a range.
std::vector<std::string> outputs_without_scale(const ir::Graph& graph);

// Takes away the pairs that add_output_pairs() made (the metadata lists them) and, in models from elsewhere,
// pairs between a weighted layer and the activation, norm or addition that would fuse into it; of an addition
// with two such branches the shorter one keeps its pair. The metadata keeps the scales.
void drop_output_pairs(ir::Graph& graph, TargetReport& report);
// The layers whose pairs that would take away, by name.
std::vector<std::string> splitting_pairs(const ir::Graph& graph);

}  // namespace kvant::quant
