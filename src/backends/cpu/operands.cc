// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {

std::vector<Tensor> pack_constants(const engine::NodeView& view, std::string_view) {
  std::vector<int64_t> places;
  std::vector<Tensor> packed(1);
  for (size_t i = 0; i < view.constants.size(); ++i) {
    if (view.constants[i] == nullptr) continue;
    places.push_back(static_cast<int64_t>(i));
    packed.push_back(*view.constants[i]);
  }
  packed[0] = Tensor::vector(places);
  return packed;
}

Operands::Operands(const engine::NodeView& view) : view_(view), constants_(view.node.inputs.size()) {
  for (size_t i = 0; i < view.constants.size() && i < constants_.size(); ++i) {
    if (view.constants[i] != nullptr) constants_[i] = *view.constants[i];
  }
}

Operands::Operands(const engine::NodeView& view, std::vector<Tensor> packed)
    : view_(view), constants_(view.node.inputs.size()) {
  require(view,
          !packed.empty() && packed[0].dtype() == DType::Int64 &&
              packed[0].size() + 1 == static_cast<int64_t>(packed.size()),
          "the packed constants are not in the form that this version writes");
  const std::vector<int64_t> places = packed[0].to_ints();
  for (size_t i = 0; i < places.size(); ++i) {
    require(view, places[i] >= 0 && places[i] < static_cast<int64_t>(constants_.size()),
            "a packed constant belongs to no input");
    constants_[static_cast<size_t>(places[i])] = std::move(packed[i + 1]);
  }
}

const Tensor& Operands::required(size_t i, std::string_view what) const {
  require(view_, constant(i) != nullptr, fmt::format("{} is not constant", what));
  return *constant(i);
}

DType Operands::dtype(size_t i) const {
  if (constant(i) != nullptr) return constant(i)->dtype();
  require(view_, view_.has(i) && i < view_.inputs.size(), fmt::format("input {} is missing", i));
  return view_.inputs[i].dtype;
}

const Shape& Operands::shape(size_t i) const {
  return constant(i) != nullptr ? constant(i)->shape() : input_shape(view_, i);
}

std::vector<std::string> isa_tactics(std::string_view prefix) {
  return isa_tactics(element_kernels(), prefix);
}

const ElementKernels& kernels_of(const engine::NodeView& view, std::string_view prefix,
                                 std::string_view tactic) {
  return kernels_of(view, element_kernels(), prefix, tactic);
}

}  // namespace kvant::backends::cpu
