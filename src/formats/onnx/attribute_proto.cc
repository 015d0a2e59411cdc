// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/attribute_proto.h"

namespace kvant::formats {
namespace {

// ONNX's numbers of attribute kinds.
enum Kind {
  kUndefined = 0,
  kReal = 1,
  kInteger = 2,
  kText = 3,
  kTensor = 4,
  kGraph = 5,
  kReals = 6,
  kIntegers = 7,
  kTexts = 8,
  kTensors = 9,
  kGraphs = 10,
  kSparseTensor = 11,
  kSparseTensors = 12,
  kType = 13,
  kTypes = 14
};

// The kind told, or (files of IR version 1 do not tell it) the field that is there.
int kind_of(const kvant_onnx::AttributeProto& proto) {
  if (proto.type() != kUndefined) return proto.type();
  if (proto.has_f()) return kReal;
  if (proto.has_i()) return kInteger;
  if (proto.has_s()) return kText;
  if (proto.has_t()) return kTensor;
  if (proto.has_g() || proto.graphs_size() > 0) return kGraph;
  if (proto.floats_size() > 0) return kReals;
  if (proto.strings_size() > 0) return kTexts;
  return kIntegers;
}

ir::Attribute to_attribute(const kvant_onnx::AttributeProto& proto, ExternalData& external,
                           const std::string& what) {
  const std::string& name = proto.name();
  if (!proto.ref_attr_name().empty()) {
    fail("{}: attribute '{}' refers to a function's attribute; inline the model's functions first", what,
         name);
  }
  switch (kind_of(proto)) {
    case kReal:
      return proto.f();
    case kInteger:
      return proto.i();
    case kText:
      return proto.s();
    case kTensor:
      return to_tensor(proto.t(), external, fmt::format("{}: attribute '{}'", what, name));
    case kReals:
      return std::vector<float>(proto.floats().begin(), proto.floats().end());
    case kIntegers:
      return std::vector<int64_t>(proto.ints().begin(), proto.ints().end());
    case kTexts:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    case kGraph:
    case kGraphs:
      fail("{} holds a subgraph ('{}'), which kvant does not support; export the model without control flow",
           what, name);
    case kSparseTensor:
    case kSparseTensors:
      fail("{}: attribute '{}' is a sparse tensor, which kvant does not support", what, name);
    default:
      fail("{}: attribute '{}' is of kind {}, which kvant does not support", what, name, kind_of(proto));
  }
}

struct Writer {
  kvant_onnx::AttributeProto& proto;

  void operator()(int64_t value) { proto.set_type(kInteger), proto.set_i(value); }
  void operator()(float value) { proto.set_type(kReal), proto.set_f(value); }
  void operator()(const std::string& value) { proto.set_type(kText), proto.set_s(value); }
  void operator()(const std::vector<int64_t>& values) {
    proto.set_type(kIntegers);
    for (const int64_t value : values) proto.add_ints(value);
  }
  void operator()(const std::vector<float>& values) {
    proto.set_type(kReals);
    for (const float value : values) proto.add_floats(value);
  }
  void operator()(const std::vector<std::string>& values) {
    proto.set_type(kTexts);
    for (const std::string& value : values) proto.add_strings(value);
  }
  void operator()(const Tensor& value) {
    proto.set_type(kTensor);
    from_tensor(value, "", *proto.mutable_t());
  }
};

}  // namespace

ir::Attributes to_attributes(const kvant_onnx::NodeProto& node, ExternalData& external,
                             const std::string& what) {
  ir::Attributes attributes;
  for (const kvant_onnx::AttributeProto& proto : node.attribute()) {
    if (attributes.has(proto.name())) fail("{} has the attribute '{}' twice", what, proto.name());
    attributes.set(proto.name(), to_attribute(proto, external, what));
  }
  return attributes;
}

void from_attribute(const std::string& name, const ir::Attribute& value, kvant_onnx::AttributeProto& proto) {
  proto.set_name(name);
  std::visit(Writer{proto}, value);
}

}  // namespace kvant::formats
