// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/node_epilogue.h"

#include "backends/cpu/binding.h"

namespace kvant::backends::cpu {

Code code_of(const engine::NodeView& view, DType dtype) {
  switch (dtype) {
    case DType::UInt8:
      return Code::U8;
    case DType::Int8:
      return Code::I8;
    case DType::Float32:
      return Code::F32;
    default:
      fail("cpu: {}: element type {} where u8, i8 or f32 belongs", view.node.op, name(dtype));
  }
}

bool is_signed_code(const engine::NodeView& view, DType dtype) {
  const Code code = code_of(view, dtype);
  require(view, code != Code::F32, "f32 where codes (u8 or i8) belong");
  return code == Code::I8;
}

int32_t code_attribute(const engine::NodeView& view, std::string_view name, int64_t fallback, Code code) {
  const int64_t value = view.node.attributes.integer(name, fallback);
  const int64_t low = code == Code::I8 ? -128 : 0, high = code == Code::I8 ? 127 : code == Code::U8 ? 255 : 0;
  if (value < low || value > high) {
    fail("cpu: {}: attribute {} is {}, outside [{}, {}]", view.node.op, name, value, low, high);
  }
  return static_cast<int32_t>(value);
}

void read_clamp(const engine::NodeView& view, Code code, int32_t& low, int32_t& high) {
  low = code_attribute(view, "low", code == Code::I8 ? -128 : 0, code);
  high = code_attribute(view, "high", code == Code::I8 ? 127 : 255, code);
  require(view, low <= high, "attribute low is above attribute high");
}

Epilogue node_epilogue(const engine::NodeView& view, size_t residual_input) {
  const ir::Attributes& attributes = view.node.attributes;
  require(view, view.outputs.size() == 1, "one output belongs here");
  Epilogue e;
  const DType result = view.outputs[0].dtype;
  const std::string output = attributes.text("output", name(result));
  if (view.has(residual_input + 1)) {  // the table's codes may be of the other type
    require(view, output == "u8" || output == "i8", "attribute output is not the type of a table's codes");
    e.output = output == "i8" ? Code::I8 : Code::U8;
  } else {
    require(view, output == name(result), "attribute output is not the type of the result");
    e.output = code_of(view, result);
  }
  const std::string activation = attributes.text("activation", "");
  const auto known = activation_named(activation);
  if (!known) fail("cpu: {}: unknown activation '{}'", view.node.op, activation);
  e.activation = *known;
  e.alpha = attributes.real("alpha", 0.0f);
  e.beta = attributes.real("beta", 0.0f);
  if (e.codes()) {
    e.zero_point = code_attribute(view, "y_zero_point", 0, e.output);
    read_clamp(view, e.output, e.low, e.high);
    e.inverse_scale = attributes.real("inverse_scale", 1.0f);
  }
  if (view.has(residual_input)) {
    e.residual = code_of(view, view.inputs[residual_input].dtype);
    require(view, input_shape(view, residual_input) == output_shape(view),
            "residual and result differ in shape");
    e.residual_multiplier = attributes.real("residual_multiplier", 1.0f);
    e.residual_zero_point = code_attribute(view, "residual_zero_point", 0, e.residual);
  }
  add_curve(e);
  return e;
}

}  // namespace kvant::backends::cpu
