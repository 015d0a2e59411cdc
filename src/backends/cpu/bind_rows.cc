// SPDX-License-Identifier: Apache-2.0
// Softmax and LayerNormalization, and their forms with codes as the result. Along another axis than the last
// a softmax takes some of its columns at a time as rows.
#include <algorithm>

#include "backends/cpu/kernels/rows/rows.h"
#include "backends/cpu/node_epilogue.h"
#include "backends/cpu/onednn.h"
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kColumnsTogether = 32;

struct Rows {
  bool normalizes = false;
  int64_t count = 0, length = 0;
  int64_t inner = 1;  // a row's elements lie so far apart, and so many rows side by side
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
  rows.length = element_count(Shape(x.begin() + static_cast<std::ptrdiff_t>(axis), x.end()));
  if (!rows.normalizes) {
    rows.inner = element_count(Shape(x.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.end()));
    rows.length = x[axis];
  }
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

// Columns [first, first + count) of a block of rows.length x rows.inner, each a row for the kernel.
template <class Word>
void softmax_of_columns(const RowKernels& k, const Rows& rows, const float* x, Word* y, int64_t first,
                        int64_t count, float* scratch) {
  float *work = scratch, *in = work + rows.length;
  auto* out = reinterpret_cast<Word*>(in + count * rows.length);
  for (int64_t i = 0; i < rows.length; ++i) {
    for (int64_t j = 0; j < count; ++j) in[j * rows.length + i] = x[i * rows.inner + first + j];
  }
  for (int64_t j = 0; j < count; ++j) {
    k.softmax(rows.out, in + j * rows.length, reinterpret_cast<std::byte*>(out + j * rows.length),
              rows.length, work);
  }
  for (int64_t i = 0; i < rows.length; ++i) {
    for (int64_t j = 0; j < count; ++j) y[i * rows.inner + first + j] = out[j * rows.length + i];
  }
}

std::unique_ptr<engine::Step> columns_step(const Rows& rows, const RowKernels& k, int threads) {
  const int64_t together = std::min(kColumnsTogether, rows.inner);
  const auto floats = static_cast<size_t>((2 * together + 1) * rows.length);
  const size_t scratch_bytes = (floats * 4 + 63) / 64 * 64;
  return function_step(
      [=, &k](const engine::RunArgs& args) {
        const int64_t blocks = (rows.inner + together - 1) / together, all = rows.count / rows.inner * blocks;
        spread(args.team, rows.count * rows.length < 2048 ? 1 : threads, [&](int thread, int used) {
          auto* scratch =
              reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * scratch_bytes);
          const int64_t last = all * (thread + 1) / used;
          for (int64_t block = all * thread / used; block < last; ++block) {
            const int64_t outer = block / blocks * rows.length * rows.inner,
                          first = block % blocks * together;
            const int64_t count = std::min(together, rows.inner - first);
            const float* x = reinterpret_cast<const float*>(args.inputs[0]) + outer;
            if (rows.out.output == Code::F32) {
              softmax_of_columns(k, rows, x, reinterpret_cast<float*>(args.outputs[0]) + outer, first, count,
                                 scratch);
            } else {
              softmax_of_columns(k, rows, x, reinterpret_cast<uint8_t*>(args.outputs[0]) + outer, first,
                                 count, scratch);
            }
          }
        });
      },
      scratch_bytes * static_cast<size_t>(threads));
}

std::unique_ptr<engine::Step> rows_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  Operands operands(view, std::move(packed));
  const Rows rows = describe_rows(view, operands);
  const RowKernels& k = kernels_of(view, row_kernels(), rows_prefix(view), tactic);
  const int threads = threads_of(view);
  if (rows.inner > 1) return columns_step(rows, k, threads);
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
