// SPDX-License-Identifier: Apache-2.0
// What is in a graph, in numbers: for inspect, reports and the zoo's tests.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace kvant::ir {

// Learned numbers: elements of the constants that are weights, biases or normalization parameters, each
// constant once; integer weights behind a DequantizeLinear too. Not counted: running means and variances,
// scales and zero points of Q/DQ, Clip bounds, shapes, scalars.
int64_t count_parameters(const Graph& graph);

// Multiply-accumulates of Conv, ConvTranspose, Gemm, MatMul and the lowered forms of them, for one sample: an
// unknown leading dimension counts as 1, a known one as it is. Bias and other operators count nothing (the
// convention of the published tables). Needs types; nothing when the shape of such a node is not known.
std::optional<int64_t> count_macs(const Graph& graph);
// Of one node; 0 for operators that count nothing.
std::optional<int64_t> count_macs(const Graph& graph, const Node& node);

std::map<std::string, int64_t> count_operators(const Graph& graph);

struct QdqSummary {
  int64_t activation_pairs = 0;              // DQs of tensors that are not constant
  int64_t weight_pairs = 0;                  // DQs of constants
  std::vector<std::string> quantized_nodes;  // all data inputs (and the weight, where there is one) read a DQ
  std::vector<std::string> float_nodes;      // the others, Q, DQ and their Clip excepted
};

// Nodes in topological order; unnamed ones by their first output.
QdqSummary summarize_qdq(const Graph& graph);

}  // namespace kvant::ir
