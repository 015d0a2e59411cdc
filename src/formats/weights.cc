// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include "formats/model.h"

namespace kvant::formats {
namespace {

// Infinity is a legal mask, bound or padding where these read it; NaN is legal nowhere.
constexpr std::array<std::string_view, 11> kTakeInfinity{"Add", "Clip", "Concat", "Expand", "Greater", "Less",
                                                         "Max", "Min",  "Pad",    "Sub",    "Where"};

// Index of the first element that is NaN (or, if `finite`, infinite too), or -1.
int64_t first_bad(const Tensor& tensor, bool finite) {
  int64_t found = -1;
  const auto search = [&](const auto& values, auto widen) {
    const auto bad = [&](auto x) { return finite ? !std::isfinite(widen(x)) : std::isnan(widen(x)); };
    const auto it = std::find_if(values.begin(), values.end(), bad);
    if (it != values.end()) found = it - values.begin();
  };
  switch (tensor.dtype()) {
    case DType::Float32:
      search(tensor.data<float>(), [](float x) { return x; });
      break;
    case DType::Float64:
      search(tensor.data<double>(), [](double x) { return x; });
      break;
    case DType::Float16:
      search(tensor.data<Half>(), [](Half x) { return static_cast<float>(x); });
      break;
    case DType::BFloat16:
      search(tensor.data<BFloat16>(), [](BFloat16 x) { return static_cast<float>(x); });
      break;
    default:
      break;
  }
  return found;
}

}  // namespace

void require_finite_weights(const ir::Graph& graph) {
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    const bool finite = std::find(kTakeInfinity.begin(), kTakeInfinity.end(), node.op) == kTakeInfinity.end();
    for (const ir::ValueId input : node.inputs) {
      const Tensor* tensor = graph.constant(input);
      const int64_t at = tensor != nullptr ? first_bad(*tensor, finite) : -1;
      if (at < 0) continue;
      fail("weight '{}' of {} '{}' holds {} at element {}; the model is damaged or its training diverged",
           graph.value(input).name, node.op, node.name, tensor->to_floats()[static_cast<size_t>(at)], at);
    }
  }
}

}  // namespace kvant::formats
