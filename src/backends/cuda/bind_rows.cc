// SPDX-License-Identifier: Apache-2.0
// Softmax over any axis and LayerNormalization over the last ones, and their forms with codes as the result.
#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/rows/rows.h"

namespace kvant::backends::cuda {
namespace {

struct RowsDesc {
  bool normalizes = false;
  LayerNormDesc norm;  // rows, columns and result of both
  int64_t inner = 1;   // elements from one of a row to the next
};

RowsDesc describe_rows(const engine::NodeView& view, const Operands& operands) {
  const ir::Attributes& attributes = view.node.attributes;
  RowsDesc d;
  d.normalizes = view.node.op.ends_with("LayerNormalization");
  const Shape& x = operands.shape(0);
  require(view, operands.dtype(0) == DType::Float32 && operands.constant(0) == nullptr,
          "x is not f32 at run time");
  require(view, x == output_shape(view) && !x.empty() && element_count(x) > 0, "x and y differ in shape");
  for (size_t i = 1; i < view.node.outputs.size(); ++i)
    require(view, view.node.outputs[i] == ir::kNone, "means and deviations are left to the host");
  const auto axis = static_cast<std::ptrdiff_t>(normalize_axis(attributes.integer("axis", -1), x.size()));
  d.inner = d.normalizes ? 1 : element_count(Shape(x.begin() + axis + 1, x.end()));
  d.norm.columns = element_count(Shape(x.begin() + axis, x.end())) / d.inner;
  d.norm.rows = element_count(x) / d.norm.columns;
  RowOutput& out = d.norm.out;
  out.output = code_of(view, view.outputs.at(0).dtype);
  if (out.output != Code::F32) {
    out.scale = attributes.real("y_scale", 1.0f);
    require(view, out.scale > 1e-7f && out.scale < 1e30f, "y_scale is absurd");
    out.out = range_of(view, out.output);
  }
  if (!d.normalizes) return d;
  d.norm.epsilon = attributes.real("epsilon", 1e-5f);
  for (const size_t i : {size_t{1}, size_t{2}}) {
    if (i == 2 && !operands.has(2)) continue;
    require(view, operands.dtype(i) == DType::Float32 && element_count(operands.shape(i)) == d.norm.columns,
            "scale and bias have not one value for each element of a row");
  }
  return d;
}

std::vector<std::string> rows_tactics(const engine::NodeView& view, int, std::string&) {
  describe_rows(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> rows_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const RowsDesc d = describe_rows(view, operands);
  return launch_step(operands.take(), [d](const Places& p, const auto& launch) {
    if (d.normalizes) {
      launch(layer_norm_launch(d.norm, p.in(0), p.in(1), p.in(2), p.out()));
    } else {
      launch(softmax_launch(d.norm.out, d.norm.rows, d.norm.columns, d.inner, p.in(0), p.out()));
    }
  });
}

Binding rows(std::string_view op) { return {op, rows_tactics, pack_constants, rows_load}; }

}  // namespace

Binding bind_softmax() { return rows("Softmax"); }
Binding bind_layer_normalization() { return rows("LayerNormalization"); }
Binding bind_qsoftmax() { return rows("QSoftmax"); }
Binding bind_qlayer_normalization() { return rows("QLayerNormalization"); }

}  // namespace kvant::backends::cuda
