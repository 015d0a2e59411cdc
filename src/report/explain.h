// SPDX-License-Identifier: Apache-2.0
// What became of each layer and each Q/DQ of a model in a plan, and why.
#pragma once

#include <string>
#include <vector>

#include "engine/plan/plan.h"
#include "ir/graph.h"

namespace kvant::report {

struct ExplainedLayer {
  std::string name, op;
  std::string precision;           // "int8", "int8 to float32", "float32 to int8", "float32" ...
  std::string kernel;              // backend and tactic; "view" where it only shares memory
  std::string reason;              // what was fused, or why it is no integer kernel
  std::vector<std::string> nodes;  // of the model, that it computes
};

struct PairFate {
  std::string node;  // QuantizeLinear or DequantizeLinear
  std::string fate;  // fused, folded, moved, erased, separate
  std::string into;  // the layer that does its work; "" for erased
  std::string reason;
};

struct Explanation {
  std::vector<ExplainedLayer> layers;  // in the plan's order
  std::vector<PairFate> qdq;           // in the model's
};

// `plan` was built from `model`, whose types are inferred.
Explanation explain(const ir::Graph& model, const engine::Plan& plan);

}  // namespace kvant::report
