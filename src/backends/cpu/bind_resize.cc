// SPDX-License-Identifier: Apache-2.0
// Resize: the nearest element is a copy (bind_move.cc); linear and cubic are weighted sums along one or two
// axes, of which the first is summed into a row of scratch.
#include <algorithm>

#include "backends/cpu/operands.h"
#include "ops/resize_axis.h"

namespace kvant::backends::cpu {

Binding bind_nearest_resize();  // bind_move.cc

namespace {

constexpr size_t kResizeScales = 2, kResizeSizes = 3;
constexpr int64_t kResizeMost = int64_t{1} << 31;  // elements

// What each output coordinate of an axis is made of: elements [first[q], first[q + 1]) of the other two.
struct AxisTaps {
  int64_t input = 1, output = 1;
  std::vector<int32_t> first, index;
  std::vector<float> weight;

  int count(int64_t q) const { return first[static_cast<size_t>(q) + 1] - first[static_cast<size_t>(q)]; }
};

// x is [outer, first.input, between, second.input, inner].
struct ResizePlan {
  int64_t outer = 1, between = 1, inner = 1;
  bool two = false;  // axes; else only the second, with between = 1
  AxisTaps first, second;

  int64_t row() const { return between * second.input * inner; }  // of what is summed along the first axis
};

AxisTaps taps_of(const engine::NodeView& view, const ops::ResizeRules& rules, const ops::ResizeAxis& axis) {
  AxisTaps table;
  table.input = axis.input, table.output = axis.output;
  table.first.push_back(0);
  for (const ops::ResizeTap& tap : ops::resize_taps(rules, axis)) {
    require(view, !tap.outside, "a result lies outside of x");
    for (size_t k = 0; k < tap.index.size(); ++k) {
      if (tap.weight[k] == 0.0) continue;
      table.index.push_back(static_cast<int32_t>(tap.index[k]));
      table.weight.push_back(static_cast<float>(tap.weight[k]));
    }
    require(view, table.index.size() < (size_t{1} << 28), "the axes are too long");
    table.first.push_back(static_cast<int32_t>(table.index.size()));
  }
  return table;
}

ResizePlan describe_resize(const engine::NodeView& view, const Operands& operands) {
  const Shape &x = operands.shape(0), &y = output_shape(view);
  require(view, operands.constant(0) == nullptr, "x is constant");
  require(view, operands.dtype(0) == DType::Float32 && view.outputs.at(0).dtype == DType::Float32,
          "only f32 is interpolated");
  require(view, y.size() == x.size() && element_count(x) > 0 && element_count(x) < kResizeMost,
          "x is empty, too large or has another rank than y");
  const ops::ResizeRules rules = ops::parse_resize_rules(view.node.attributes);
  require(view, rules.coordinates != ops::CoordinateMode::TfCropAndResize, "tf_crop_and_resize");
  const Tensor* scales =
      operands.has(kResizeScales) ? &operands.required(kResizeScales, "the list of scales") : nullptr;
  const Tensor* sizes =
      operands.has(kResizeSizes) ? &operands.required(kResizeSizes, "the list of sizes") : nullptr;
  const std::vector<ops::ResizeAxis> axes = ops::resize_axes(view.node.attributes, x, scales, sizes);
  std::vector<size_t> changed;
  for (size_t i = 0; i < axes.size(); ++i) {
    require(view, axes[i].output == y[i], "the result has another shape");
    if (axes[i].input != axes[i].output || axes[i].scale != 1.0) changed.push_back(i);
  }
  require(view, changed.size() == 1 || changed.size() == 2, "not one or two axes are resized");
  require(view, element_count(y) > 0 && element_count(y) < kResizeMost, "y is empty or too large");
  const auto extent = [&](size_t from, size_t to) {
    return element_count(
        Shape(x.begin() + static_cast<std::ptrdiff_t>(from), x.begin() + static_cast<std::ptrdiff_t>(to)));
  };
  ResizePlan plan;
  const size_t first = changed.front(), second = changed.back();
  plan.two = first != second;
  plan.outer = extent(0, first);
  plan.inner = extent(second + 1, x.size());
  plan.second = taps_of(view, rules, axes[second]);
  if (plan.two) {
    plan.first = taps_of(view, rules, axes[first]);
    plan.between = extent(first + 1, second);
  }
  return plan;
}

// One row: x and y are [second.input, inner] and [second.output, inner].
void resize_row(const AxisTaps& axis, int64_t inner, const ElementKernels& kernels, const float* x,
                float* y) {
  for (int64_t q = 0; q < axis.output; ++q, y += inner) {
    const int32_t from = axis.first[static_cast<size_t>(q)];
    const int32_t* index = axis.index.data() + from;
    const float* weight = axis.weight.data() + from;
    if (inner == 1) {
      float sum = 0;
      for (int k = 0; k < axis.count(q); ++k) sum += x[index[k]] * weight[k];
      *y = sum;
    } else {
      kernels.weighted_f32(x, index, inner, weight, axis.count(q), y, inner);
    }
  }
}

void resize(const ResizePlan& plan, const ElementKernels& kernels, size_t scratch_row,
            const engine::RunArgs& args, int threads) {
  const auto* x = reinterpret_cast<const float*>(args.inputs[0]);
  auto* y = reinterpret_cast<float*>(args.outputs[0]);
  const int64_t row = plan.row(), y_row = plan.between * plan.second.output * plan.inner;
  const int64_t rows = plan.outer * plan.first.output;
  spread(args.team, static_cast<int>(std::min<int64_t>(threads, rows)), [&](int thread, int used) {
    auto* sums = reinterpret_cast<float*>(args.scratch + static_cast<size_t>(thread) * scratch_row);
    for (int64_t p = rows * thread / used; p < rows * (thread + 1) / used; ++p) {
      const int64_t outer = p / plan.first.output, at = p % plan.first.output;
      const float* from = x + outer * plan.first.input * row;
      if (plan.two) {
        const int32_t tap = plan.first.first[static_cast<size_t>(at)];
        kernels.weighted_f32(from, plan.first.index.data() + tap, row, plan.first.weight.data() + tap,
                             plan.first.count(at), sums, row);
        from = sums;
      }
      for (int64_t b = 0; b < plan.between; ++b) {
        resize_row(plan.second, plan.inner, kernels, from + b * plan.second.input * plan.inner,
                   y + p * y_row + b * plan.second.output * plan.inner);
      }
    }
  });
}

bool is_nearest(const engine::NodeView& view) {
  return view.node.attributes.text("mode", "nearest") == "nearest";
}

std::vector<std::string> resize_tactics(const engine::NodeView& view, std::string& why) {
  if (is_nearest(view)) return bind_nearest_resize().tactics(view, why);
  describe_resize(view, Operands(view));
  return isa_tactics("resize");
}

std::unique_ptr<engine::Step> resize_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  if (is_nearest(view)) return bind_nearest_resize().load(view, tactic, std::move(packed));
  const ElementKernels& kernels = kernels_of(view, "resize", tactic);
  ResizePlan plan = describe_resize(view, Operands(view, std::move(packed)));
  const int threads = threads_of(view);
  const size_t row = plan.two ? (static_cast<size_t>(plan.row()) * sizeof(float) + 63) / 64 * 64 : 0;
  return function_step([=, &kernels, plan = std::move(plan)](
                           const engine::RunArgs& args) { resize(plan, kernels, row, args, threads); },
                       row * static_cast<size_t>(threads));
}

}  // namespace

Binding bind_resize() { return {"Resize", resize_tactics, pack_constants, resize_load}; }

}  // namespace kvant::backends::cpu
