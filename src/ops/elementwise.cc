// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

namespace kvant::ops {
namespace {

std::string_view describe(DTypes set) {
  switch (set) {
    case DTypes::Floats:
      return "floats (f32, f64, f16, bf16)";
    case DTypes::Numbers:
      return "numbers";
    case DTypes::SignedNumbers:
      return "floats and signed integers";
    case DTypes::Integers:
      return "integers";
    case DTypes::UnsignedIntegers:
      return "unsigned integers";
    case DTypes::Bools:
      return "bool";
    case DTypes::All:
      return "any type";
  }
  return "";
}

// Strides of `operand` against `shape`, right-aligned; 0 where the operand is repeated.
std::vector<int64_t> broadcast_strides(const Shape& operand, const Shape& shape) {
  const std::vector<int64_t> own = strides_of(operand);
  std::vector<int64_t> strides(shape.size(), 0);
  const size_t lead = shape.size() - operand.size();
  for (size_t d = 0; d < operand.size(); ++d) strides[lead + d] = operand[d] == 1 ? 0 : own[d];
  return strides;
}

}  // namespace

void require_dtype(std::string_view op, DTypes set, DType dtype) {
  if (!contains(set, dtype)) fail("{} takes {}, not {}", op, describe(set), name(dtype));
}

void require_same_dtype(std::string_view op, DType a, DType b) {
  if (a != b) fail("{} needs inputs of one element type, got {} and {}; insert a Cast", op, name(a), name(b));
}

Broadcast plan_broadcast(std::span<const Shape> operands) {
  Broadcast plan;
  for (const Shape& operand : operands) plan.shape = broadcast(plan.shape, operand);
  std::vector<std::vector<int64_t>> full;
  for (const Shape& operand : operands) full.push_back(broadcast_strides(operand, plan.shape));
  plan.strides.resize(operands.size());
  for (size_t d = 0; d < plan.shape.size(); ++d) {
    const int64_t extent = plan.shape[d];
    if (extent == 1) continue;
    bool merges = !plan.extents.empty();
    for (size_t k = 0; k < full.size() && merges; ++k) merges = plan.strides[k].back() == full[k][d] * extent;
    if (merges) {
      plan.extents.back() *= extent;
      for (size_t k = 0; k < full.size(); ++k) plan.strides[k].back() = full[k][d];
      continue;
    }
    plan.extents.push_back(extent);
    for (size_t k = 0; k < full.size(); ++k) plan.strides[k].push_back(full[k][d]);
  }
  if (plan.extents.empty()) {
    plan.extents.push_back(1);
    for (auto& strides : plan.strides) strides.push_back(0);
  }
  return plan;
}

}  // namespace kvant::ops
