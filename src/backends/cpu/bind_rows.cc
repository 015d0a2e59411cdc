// SPDX-License-Identifier: Apache-2.0
// Softmax and LayerNormalization over the last axes, and their forms with codes as the result. Along other
// axes they are oneDNN's.
#include "backends/cpu/kernels/rows/rows.h"
#include "backends/cpu/node_epilogue.h"
#include "backends/cpu/onednn.h"
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

struct Rows {
  bool normalizes = false;
  int64_t count = 0, length = 0;
  float epsilon = 0;
  RowOutput out;
};

Rows describe_rows(const engine::NodeView& view, const Operands& operands) {
  const ir::Attributes& attributes = view.node.attributes;
  Rows rows;
  rows.normalizes = view.node.op.ends_with("LayerNormalization");
  const Shape& x = operands.shape(0);
  require(view, operands.dtype(0) == DType::Float32 && operands.constant(0) == nullptr,
          "x is not f32 at run time");
  require(view, x == output_shape(view) && !x.empty() && element_count(x) > 0, "x and y differ in shape");
  for (size_t i = 1; i < view.node.outputs.size(); ++i)
    require(view, view.node.outputs[i] == ir::kNone, "means and deviations are left to the reference");
  auto axis = static_cast<size_t>(normalize_axis(attributes.integer("axis", -1), x.size()));
  require(view,
          rows.normalizes ||
              element_count(Shape(x.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.end())) == 1,
          "the axis is not the last one");
  rows.length = element_count(Shape(x.begin() + static_cast<std::ptrdiff_t>(axis), x.end()));
  rows.count = element_count(x) / rows.length;
  rows.out.output = code_of(view, view.outputs.at(0).dtype);
  if (rows.out.output != Code::F32) {
    rows.out.scale = attributes.real("y_scale", 1.0f);
    require(view, rows.out.scale > 1e-7f && rows.out.scale < 1e30f, "y_scale is absurd");
    rows.out.zero_point = code_attribute(view, "y_zero_point", 0, rows.out.output);
    read_clamp(view, rows.out.output, rows.out.low, rows.out.high);
  }
  if (rows.normalizes) {
    rows.epsilon = attributes.real("epsilon", 1e-5f);
    for (const size_t i : {size_t{1}, size_t{2}}) {
      if (i == 2 && !operands.has(2)) continue;
      require(view, operands.dtype(i) == DType::Float32 && element_count(operands.shape(i)) == rows.length,
              "scale and bias have not one value for each element of a row");
    }
  }
  return rows;
}

std::string rows_prefix(const engine::NodeView& view) {
  const std::string kind = view.node.op.ends_with("Softmax") ? "softmax" : "layer_norm";
  return view.node.op[0] == 'Q' ? "q" + kind : kind;
}

std::vector<std::string> rows_tactics(const engine::NodeView& view, std::string&) {
  describe_rows(view, Operands(view));
  return isa_tactics(row_kernels(), rows_prefix(view));
}

std::unique_ptr<engine::Step> rows_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  Operands operands(view, std::move(packed));
  const Rows rows = describe_rows(view, operands);
  const RowKernels& k = kernels_of(view, row_kernels(), rows_prefix(view), tactic);
  const int threads = threads_of(view);
  const size_t row_scratch = static_cast<size_t>((rows.length * 4 + 63) / 64 * 64);
  return function_step(
      [=, &k, gain = operands.take(1), bias = operands.take(2),
       has_bias = operands.has(2)](const engine::RunArgs& args) {
        const auto* x = reinterpret_cast<const float*>(args.inputs[0]);
        LayerNormDesc norm{rows.epsilon, nullptr, nullptr, rows.out};
        if (rows.normalizes) {
          norm.gain = reinterpret_cast<const float*>(Operands::pointer(gain, args, 1));
          norm.bias = has_bias ? reinterpret_cast<const float*>(Operands::pointer(bias, args, 2)) : nullptr;
        }
        const int64_t y_bytes = rows.length * code_bytes(rows.out.output);
        spread(args.team, rows.count * rows.length < 2048 ? 1 : threads, [&](int thread, int used) {
          auto* scratch = reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * row_scratch);
          const int64_t last = rows.count * (thread + 1) / used;
          for (int64_t row = rows.count * thread / used; row < last; ++row) {
            std::byte* y = args.outputs[0] + row * y_bytes;
            if (rows.normalizes) {
              k.layer_norm(norm, x + row * rows.length, y, rows.length, scratch);
            } else {
              k.softmax(rows.out, x + row * rows.length, y, rows.length, scratch);
            }
          }
        });
      },
      row_scratch * static_cast<size_t>(threads));
}

// Own kernels where they can, else oneDNN's.
template <Binding (*other)()>
Binding rows_or(std::string_view op) {
  return {op,
          [](const engine::NodeView& view, std::string& why) {
            try {
              return rows_tactics(view, why);
            } catch (const Error&) {
              return other().tactics(view, why);
            }
          },
          pack_constants,
          [](const engine::NodeView& view, std::string_view tactic, std::vector<Tensor> packed) {
            const bool foreign = tactic.find("onednn") != std::string_view::npos;
            return foreign ? other().load(view, tactic, std::move(packed))
                           : rows_load(view, tactic, std::move(packed));
          }};
}

}  // namespace

Binding bind_softmax() { return rows_or<onednn_softmax>("Softmax"); }
Binding bind_layer_normalization() { return rows_or<onednn_layer_normalization>("LayerNormalization"); }
Binding bind_qsoftmax() { return {"QSoftmax", rows_tactics, pack_constants, rows_load}; }
Binding bind_qlayer_normalization() {
  return {"QLayerNormalization", rows_tactics, pack_constants, rows_load};
}

}  // namespace kvant::backends::cpu
