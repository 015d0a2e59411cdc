// SPDX-License-Identifier: Apache-2.0
// QAdd, QAddReal, QMul, QLut, QuantizeLinear and DequantizeLinear: element by element over codes.
#include "backends/cuda/parts.h"
#include "tensor/quantize.h"

namespace kvant::backends::cuda {
CodePair describe_pair(const engine::NodeView& view, const Operands& operands) {
  require(view, view.outputs.size() == 1 && view.node.inputs.size() == 2, "two operands and one result");
  const bool add = view.node.op == "QAdd";
  CodePair pair;
  CodePairDesc& d = pair.desc;
  d.a_signed = is_signed_code(view, operands.dtype(0));
  d.b_signed = is_signed_code(view, operands.dtype(1));
  d.a_zero_point = code_attribute(view, "a_zero_point", 0, d.a_signed ? Code::I8 : Code::U8);
  d.b_zero_point = code_attribute(view, "b_zero_point", 0, d.b_signed ? Code::I8 : Code::U8);
  d.out = range_of(view, is_signed_code(view, view.outputs[0].dtype) ? Code::I8 : Code::U8);
  d.a_multiplier = view.node.attributes.real(add ? "a_multiplier" : "multiplier", 1.0f);
  d.b_multiplier = view.node.attributes.real("b_multiplier", 1.0f);
  const Shape &a = operands.shape(0), &b = operands.shape(1);
  require(view, output_shape(view) == a, "the result has not the shape of a");
  pair.count = element_count(a);
  pair.per_channel = !add && a != b;
  if (pair.per_channel) {
    require(view, a.size() == 4 && b == Shape{a[0], 1, 1, a[3]},
            fmt::format("b is [{}] where [{}] or a row of channels belongs", to_string(b), to_string(a)));
    pair.n = a[0], pair.pixels = a[1] * a[2], pair.c = a[3];
  } else {
    require(view, a == b, fmt::format("a is [{}] and b is [{}]", to_string(a), to_string(b)));
  }
  return pair;
}

namespace {

std::vector<std::string> pair_tactics(const engine::NodeView& view, int, std::string&) {
  describe_pair(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> pair_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const CodePair pair = describe_pair(view, operands);
  const bool add = view.node.op == "QAdd";
  return launch_step(operands.take(), [pair, add](const Places& p, const auto& launch) {
    if (add) {
      launch(add_codes_launch(pair.desc, pair.count, p.in(0), p.in(1), p.out()));
    } else if (pair.per_channel) {
      launch(multiply_channels_launch(pair.desc, pair.n, pair.pixels, pair.c, p.in(0), p.in(1), p.out()));
    } else {
      launch(multiply_codes_launch(pair.desc, pair.count, p.in(0), p.in(1), p.out()));
    }
  });
}

AddRealDesc describe_add_real(const engine::NodeView& view, const Operands& operands) {
  require(view, view.outputs.size() == 1 && view.node.inputs.size() == 2, "two operands and one result");
  require(view, operands.dtype(1) == DType::Float32, "b is not f32");
  const Shape &a = operands.shape(0), &b = operands.shape(1);
  require(view, a == b && output_shape(view) == a,
          fmt::format("a is [{}], b [{}] and the result [{}]", to_string(a), to_string(b),
                      to_string(output_shape(view))));
  AddRealDesc d;
  d.a_signed = is_signed_code(view, operands.dtype(0));
  d.a_zero_point = code_attribute(view, "a_zero_point", 0, d.a_signed ? Code::I8 : Code::U8);
  d.a_scale = view.node.attributes.real("a_scale", 1.0f);
  d.y_scale = view.node.attributes.real("y_scale", 1.0f);
  require(view, d.y_scale > 0, "y_scale is not above 0");
  d.out = range_of(view, is_signed_code(view, view.outputs[0].dtype) ? Code::I8 : Code::U8);
  return d;
}

std::vector<std::string> add_real_tactics(const engine::NodeView& view, int, std::string&) {
  describe_add_real(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> add_real_load(const engine::NodeView& view, std::string_view tactic,
                                            std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const AddRealDesc d = describe_add_real(view, operands);
  const int64_t count = element_count(output_shape(view));
  return launch_step(operands.take(), [d, count](const Places& p, const auto& launch) {
    launch(add_real_launch(d, count, p.in(0), p.in(1), p.out()));
  });
}

struct LinearCodes {
  float scale = 1;
  CodeRange range;
  bool is_signed = false;
  int64_t count = 0;
};

// Q or DQ with one scale.
LinearCodes describe_linear(const engine::NodeView& view, const Operands& operands) {
  const bool quantizes = view.node.op == "QuantizeLinear";
  const Tensor& scale = operands.required(1, "the scale");
  require(view, scale.dtype() == DType::Float32 && scale.size() == 1,
          "only one f32 scale for the whole tensor");
  const DType codes = quantizes ? view.outputs.at(0).dtype : operands.dtype(0);
  const DType reals = quantizes ? operands.dtype(0) : view.outputs.at(0).dtype;
  require(view, reals == DType::Float32, "only f32 on the float side");
  LinearCodes result;
  result.is_signed = is_signed_code(view, codes);
  result.scale = scale.to_floats()[0];
  const IntRange range = code_range(codes);
  result.range = {0, range.low, range.high};
  if (operands.has(2)) {
    const Tensor& zero_point = operands.required(2, "the zero point");
    require(view, zero_point.dtype() == codes && zero_point.size() == 1, "the zero point is not one code");
    result.range.zero_point = static_cast<int32_t>(zero_point.to_ints()[0]);
  }
  require(view, operands.shape(0) == output_shape(view), "x and y differ in shape");
  result.count = element_count(operands.shape(0));
  return result;
}

std::vector<std::string> linear_tactics(const engine::NodeView& view, int, std::string&) {
  describe_linear(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> linear_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const LinearCodes d = describe_linear(view, operands);
  const bool quantizes = view.node.op == "QuantizeLinear";
  return launch_step(operands.take(), [d, quantizes](const Places& p, const auto& launch) {
    launch(quantizes
               ? quantize_launch(d.scale, d.range, d.count, p.in(0), p.out())
               : dequantize_launch(d.scale, d.range.zero_point, d.is_signed, d.count, p.in(0), p.out()));
  });
}

int64_t table_element_bytes(const engine::NodeView& view, const Operands& operands) {
  is_signed_code(view, operands.dtype(0));
  const Tensor& table = operands.required(1, "the table");
  code_of(view, table.dtype());
  require(view, table.size() == 256 && table.dtype() == view.outputs.at(0).dtype,
          "the table has not 256 results");
  require(view, operands.shape(0) == output_shape(view), "x and y differ in shape");
  return static_cast<int64_t>(size_of(table.dtype()));
}

std::vector<std::string> table_tactics(const engine::NodeView& view, int, std::string&) {
  table_element_bytes(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> table_load(const engine::NodeView& view, std::string_view tactic,
                                         std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const int64_t bytes = table_element_bytes(view, operands), count = element_count(output_shape(view));
  return launch_step(operands.take(), [bytes, count](const Places& p, const auto& launch) {
    launch(look_up_launch(bytes, count, p.in(1), p.in(0), p.out()));
  });
}

}  // namespace

Binding bind_qadd() { return {"QAdd", pair_tactics, pack_constants, pair_load}; }
Binding bind_qadd_real() { return {"QAddReal", add_real_tactics, pack_constants, add_real_load}; }
Binding bind_qmul() { return {"QMul", pair_tactics, pack_constants, pair_load}; }
Binding bind_quantize() { return {"QuantizeLinear", linear_tactics, pack_constants, linear_load}; }
Binding bind_dequantize() { return {"DequantizeLinear", linear_tactics, pack_constants, linear_load}; }
Binding bind_qlut() { return {"QLut", table_tactics, pack_constants, table_load}; }

}  // namespace kvant::backends::cuda
