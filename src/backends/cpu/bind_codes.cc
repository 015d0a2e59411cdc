// SPDX-License-Identifier: Apache-2.0
// QAdd, QMul, QLut, QuantizeLinear and DequantizeLinear: element by element over codes.
#include "backends/cpu/node_epilogue.h"
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kGrain = 4096;

CodeRange result_range(const engine::NodeView& view) {
  CodeRange range;
  const Code code = is_signed_code(view, view.outputs.at(0).dtype) ? Code::I8 : Code::U8;
  range.zero_point = code_attribute(view, "y_zero_point", 0, code);
  read_clamp(view, code, range.low, range.high);
  return range;
}

struct CodePair {
  CodePairDesc desc;
  int64_t rows = 1, length = 0;  // b is used anew for each of `rows` rows of `length`
  int64_t rows_per_b = 1;        // rows that share b's row; b has rows / rows_per_b of them
};

CodePair describe_pair(const engine::NodeView& view, const Operands& operands) {
  const ir::Attributes& attributes = view.node.attributes;
  CodePair pair;
  CodePairDesc& d = pair.desc;
  d.a_signed = is_signed_code(view, operands.dtype(0));
  d.b_signed = is_signed_code(view, operands.dtype(1));
  d.a_zero_point = code_attribute(view, "a_zero_point", 0, d.a_signed ? Code::I8 : Code::U8);
  d.b_zero_point = code_attribute(view, "b_zero_point", 0, d.b_signed ? Code::I8 : Code::U8);
  d.out = result_range(view);
  const bool add = view.node.op == "QAdd";
  d.a_multiplier = attributes.real(add ? "a_multiplier" : "multiplier", 1.0f);
  d.b_multiplier = attributes.real("b_multiplier", 1.0f);
  const Shape &a = operands.shape(0), &b = operands.shape(1);
  require(view, output_shape(view) == a, "the result has not the shape of a");
  const bool per_channel = !add && a != b;
  if (per_channel) {
    require(view, a.size() == 4 && b == Shape{a[0], 1, 1, a[3]},
            fmt::format("b is [{}] where [{}] or a row of channels belongs", to_string(b), to_string(a)));
    pair.length = a[3], pair.rows = a[0] * a[1] * a[2], pair.rows_per_b = a[1] * a[2];
  } else {
    require(view, a == b, fmt::format("a is [{}] and b is [{}]", to_string(a), to_string(b)));
    pair.length = element_count(a);
  }
  return pair;
}

std::string prefix_of(const engine::NodeView& view) {
  if (view.node.op == "QAdd") return "qadd";
  if (view.node.op == "QMul") return "qmul";
  return view.node.op == "QuantizeLinear" ? "quantize" : "dequantize";
}

std::vector<std::string> pair_tactics(const engine::NodeView& view, std::string&) {
  describe_pair(view, Operands(view));
  return isa_tactics(prefix_of(view));
}

std::unique_ptr<engine::Step> pair_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  Operands operands(view, std::move(packed));
  const CodePair pair = describe_pair(view, operands);
  const ElementKernels& kernels = kernels_of(view, prefix_of(view), tactic);
  const auto fn = view.node.op == "QAdd" ? kernels.qadd : kernels.qmul;
  return function_step([=, a = operands.take(0), b = operands.take(1)](const engine::RunArgs& args) {
    const auto* x = reinterpret_cast<const uint8_t*>(Operands::pointer(a, args, 0));
    const auto* z = reinterpret_cast<const uint8_t*>(Operands::pointer(b, args, 1));
    auto* y = reinterpret_cast<uint8_t*>(args.outputs[0]);
    if (pair.rows == 1) {
      spread_range(args.team, pair.length, kGrain,
                   [&](int64_t i, int64_t end) { fn(pair.desc, x + i, z + i, y + i, end - i); });
      return;
    }
    spread_range(args.team, pair.rows, kGrain / pair.length + 1, [&](int64_t row, int64_t end) {
      for (; row < end; ++row) {
        fn(pair.desc, x + row * pair.length, z + row / pair.rows_per_b * pair.length, y + row * pair.length,
           pair.length);
      }
    });
  });
}

// ---- QuantizeLinear, DequantizeLinear with one scale.
// ---------------------------------------------------------------

struct Linear {
  float scale = 1;
  CodeRange range;
  bool is_signed = false;
  int64_t count = 0;
};

Linear describe_linear(const engine::NodeView& view, const Operands& operands) {
  const bool quantizes = view.node.op == "QuantizeLinear";
  const Tensor& scale = operands.required(1, "the scale");
  require(view, scale.dtype() == DType::Float32 && scale.size() == 1,
          "only one f32 scale for the whole tensor");
  const DType codes = quantizes ? view.outputs.at(0).dtype : operands.dtype(0);
  const DType reals = quantizes ? operands.dtype(0) : view.outputs.at(0).dtype;
  require(view, reals == DType::Float32, "only f32 on the float side");
  Linear result;
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

std::vector<std::string> linear_tactics(const engine::NodeView& view, std::string&) {
  describe_linear(view, Operands(view));
  return isa_tactics(prefix_of(view));
}

std::unique_ptr<engine::Step> linear_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  Operands operands(view, std::move(packed));
  const Linear d = describe_linear(view, operands);
  const ElementKernels& kernels = kernels_of(view, prefix_of(view), tactic);
  const bool quantizes = view.node.op == "QuantizeLinear";
  return function_step([=, &kernels, x = operands.take(0)](const engine::RunArgs& args) {
    const std::byte* from = Operands::pointer(x, args, 0);
    spread_range(args.team, d.count, kGrain, [&](int64_t i, int64_t end) {
      if (quantizes) {
        kernels.quantize(d.scale, d.range, reinterpret_cast<const float*>(from) + i,
                         reinterpret_cast<uint8_t*>(args.outputs[0]) + i, end - i);
      } else {
        kernels.dequantize(d.scale, d.range.zero_point, d.is_signed,
                           reinterpret_cast<const uint8_t*>(from) + i,
                           reinterpret_cast<float*>(args.outputs[0]) + i, end - i);
      }
    });
  });
}

// ---- QLut.
// ----------------------------------------------------------------------------------------------------------

void check_lut(const engine::NodeView& view, const Operands& operands) {
  is_signed_code(view, operands.dtype(0));
  const Tensor& table = operands.required(1, "the table");
  code_of(view, table.dtype());
  require(view, table.size() == 256 && table.dtype() == view.outputs.at(0).dtype,
          "the table has not 256 results");
  require(view, operands.shape(0) == output_shape(view), "x and y differ in shape");
}

std::vector<std::string> lut_tactics(const engine::NodeView& view, std::string&) {
  check_lut(view, Operands(view));
  return isa_tactics("qlut");
}

std::unique_ptr<engine::Step> lut_load(const engine::NodeView& view, std::string_view tactic,
                                       std::vector<Tensor> packed) {
  const ElementKernels& kernels = kernels_of(view, "qlut", tactic);
  Operands operands(view, std::move(packed));
  check_lut(view, operands);
  const int64_t count = element_count(operands.shape(0));
  return function_step(
      [count, &kernels, x = operands.take(0), table = *operands.take(1)](const engine::RunArgs& args) {
        const auto* from = reinterpret_cast<const uint8_t*>(Operands::pointer(x, args, 0));
        spread_range(args.team, count, kGrain, [&](int64_t i, int64_t end) {
          if (table.dtype() == DType::Float32) {
            const float* values = table.data<float>().data();
            for (float* y = reinterpret_cast<float*>(args.outputs[0]); i < end; ++i) y[i] = values[from[i]];
          } else {
            kernels.look_up(reinterpret_cast<const uint8_t*>(table.raw()), from + i,
                            reinterpret_cast<uint8_t*>(args.outputs[0]) + i, end - i);
          }
        });
      });
}

}  // namespace

Binding bind_qadd() { return {"QAdd", pair_tactics, pack_constants, pair_load}; }
Binding bind_qmul() { return {"QMul", pair_tactics, pack_constants, pair_load}; }
Binding bind_quantize() { return {"QuantizeLinear", linear_tactics, pack_constants, linear_load}; }
Binding bind_dequantize() { return {"DequantizeLinear", linear_tactics, pack_constants, linear_load}; }
Binding bind_qlut() { return {"QLut", lut_tactics, pack_constants, lut_load}; }

}  // namespace kvant::backends::cpu
