// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include "ops/squeeze_excite.h"

namespace kvant::ops {

ir::OpDef q_global_average_pool();
ir::OpDef q_conv();
ir::OpDef q_mul();

namespace {

constexpr size_t kConvInputs = 6, kConvResidual = 4, kConvTable = 5, kMostInputs = 9;

ir::OpDef definition_of(ExcitePart part) {
  if (part == ExcitePart::Pool) return q_global_average_pool();
  return part == ExcitePart::Scale ? q_mul() : q_conv();
}

bool is_conv(ExcitePart part) { return part == ExcitePart::Reduce || part == ExcitePart::Expand; }

ir::Type part_type(const ir::InferArgs& args, ExcitePart part, const ir::Type& x, const ir::Type& other) {
  const ir::Node node = excite_part(args.node, part);
  std::vector<ir::Type> types = {x};
  if (part == ExcitePart::Scale) types.push_back(other);
  if (is_conv(part)) {
    types.resize(node.inputs.size());
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != ir::kNone) types[i] = args.inputs[excite_input(part, i)];
    }
  }
  const std::vector<const Tensor*> constants(types.size(), nullptr);
  return definition_of(part).infer({node, types, constants}).at(0);
}

Tensor part_value(const ir::EvalArgs& args, ExcitePart part, const Tensor& x, const Tensor* other) {
  const ir::Node node = excite_part(args.node, part);
  std::vector<const Tensor*> inputs = {&x};
  if (part == ExcitePart::Scale) inputs.push_back(other);
  if (is_conv(part)) {
    inputs.resize(node.inputs.size(), nullptr);
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != ir::kNone) inputs[i] = args.inputs[excite_input(part, i)];
    }
  }
  return definition_of(part).evaluate({node, inputs}).at(0);
}

std::vector<ir::Type> infer_squeeze_excite(const ir::InferArgs& args) { return {excite_types(args)[3]}; }

std::vector<Tensor> evaluate_squeeze_excite(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Tensor pooled = part_value(args, ExcitePart::Pool, x, nullptr);
  const Tensor hidden = part_value(args, ExcitePart::Reduce, pooled, nullptr);
  const Tensor gate = part_value(args, ExcitePart::Expand, hidden, nullptr);
  return {part_value(args, ExcitePart::Scale, x, &gate)};
}

// The parts' attributes with their prefixes, whose names an OpDef only refers to.
std::vector<ir::AttributeDef> attributes_of_all_parts() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const ExcitePart part : kExciteParts) {
      for (const ir::AttributeDef& attribute : definition_of(part).attributes)
        result.push_back(std::string(excite_prefix(part)) + std::string(attribute.name));
    }
    return result;
  }();
  std::vector<ir::AttributeDef> all;
  for (const ExcitePart part : kExciteParts) {
    for (ir::AttributeDef attribute : definition_of(part).attributes) {
      attribute.name = names[all.size()];
      all.push_back(attribute);
    }
  }
  return all;
}

}  // namespace

std::string_view excite_prefix(ExcitePart part) {
  constexpr std::string_view kPrefixes[] = {"pool_", "reduce_", "expand_", "scale_"};
  return kPrefixes[static_cast<size_t>(part)];
}

std::string_view excite_op(ExcitePart part) { return definition_of(part).name; }

ir::Node excite_part(const ir::Node& whole, ExcitePart part) {
  ir::Node node;
  node.op = excite_op(part);
  node.name = whole.name;
  const std::string_view prefix = excite_prefix(part);
  for (const auto& [name, value] : whole.attributes) {
    if (name.starts_with(prefix)) node.attributes.set(name.substr(prefix.size()), value);
  }
  node.inputs = {0};
  if (part == ExcitePart::Scale) node.inputs.push_back(0);
  if (is_conv(part)) {
    node.inputs.resize(kConvInputs, 0);
    node.inputs[kConvResidual] = ir::kNone;
    const size_t table = excite_input(part, kConvTable);
    if (table >= whole.inputs.size() || whole.inputs[table] == ir::kNone) node.inputs[kConvTable] = ir::kNone;
  }
  node.outputs = {0};
  return node;
}

std::array<ir::Type, 4> excite_types(const ir::InferArgs& args) {
  std::array<ir::Type, 4> types;
  types[0] = part_type(args, ExcitePart::Pool, args.inputs[0], {});
  types[1] = part_type(args, ExcitePart::Reduce, types[0], {});
  types[2] = part_type(args, ExcitePart::Expand, types[1], {});
  types[3] = part_type(args, ExcitePart::Scale, args.inputs[0], types[2]);
  return types;
}

ir::OpDef q_squeeze_excite() {
  return {.name = "QSqueezeExcite",
          .min_inputs = 7,
          .max_inputs = kMostInputs,
          .attributes = attributes_of_all_parts(),
          .traits = ir::Trait::Internal,
          .infer = infer_squeeze_excite,
          .evaluate = evaluate_squeeze_excite};
}

}  // namespace kvant::ops
