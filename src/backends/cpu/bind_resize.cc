// SPDX-License-Identifier: Apache-2.0
// Resize: the nearest element is a copy (bind_move.cc); linear and cubic are weighted sums along one or two
// axes. They are made as the definition makes them (ops/resize.cc: in double, the last axis first), because
// interpolated codes often lie on a rounding tie.
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
  std::vector<double> weight;

  int count(int64_t q) const { return first[static_cast<size_t>(q) + 1] - first[static_cast<size_t>(q)]; }
  const int32_t* indices(int64_t q) const { return index.data() + first[static_cast<size_t>(q)]; }
  const double* weights(int64_t q) const { return weight.data() + first[static_cast<size_t>(q)]; }
};

// x is [outer, first.input, between, second.input, inner]. Without a first axis that has one element, which
// weighs 1.
struct ResizePlan {
  int64_t outer = 1, between = 1, inner = 1;
  AxisTaps first, second;
  int64_t slots = 1;  // rows of the first axis held at a time: row i in slot i % slots

  int64_t x_row() const { return between * second.input * inner; }
  int64_t y_row() const { return between * second.output * inner; }
};

AxisTaps taps_of(const engine::NodeView& view, const ops::ResizeRules& rules, const ops::ResizeAxis& axis) {
  AxisTaps table;
  table.input = axis.input, table.output = axis.output;
  table.first.push_back(0);
  for (const ops::ResizeTap& tap : ops::resize_taps(rules, axis)) {
    require(view, !tap.outside, "a result lies outside of x");
    for (size_t k = 0; k < tap.index.size(); ++k) {
      table.index.push_back(static_cast<int32_t>(tap.index[k]));
      table.weight.push_back(tap.weight[k]);
    }
    require(view, table.index.size() < (size_t{1} << 28), "the axes are too long");
    table.first.push_back(static_cast<int32_t>(table.index.size()));
  }
  return table;
}

// The least number of slots that holds all rows of any one result, neighbours being neighbours.
int64_t slots_for(const AxisTaps& axis) {
  int64_t slots = 1;
  for (int64_t q = 0; q < axis.output; ++q) {
    if (axis.count(q) == 0) continue;
    const auto [least, most] = std::minmax_element(axis.indices(q), axis.indices(q) + axis.count(q));
    slots = std::max<int64_t>(slots, *most - *least + 1);
  }
  return slots;
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
  plan.outer = extent(0, first);
  plan.inner = extent(second + 1, x.size());
  plan.second = taps_of(view, rules, axes[second]);
  if (first != second) {
    plan.first = taps_of(view, rules, axes[first]);
    plan.between = extent(first + 1, second);
  } else {
    plan.first.first = {0, 1}, plan.first.index = {0}, plan.first.weight = {1.0};
  }
  plan.slots = slots_for(plan.first);
  return plan;
}

// Along the second axis: x is [between, second.input, inner], y [between, second.output, inner].
void resize_row(const ResizePlan& plan, const ElementKernels& kernels, const float* x, double* y) {
  const AxisTaps& axis = plan.second;
  const int64_t inner = plan.inner;
  for (int64_t b = 0; b < plan.between; ++b, x += axis.input * inner) {
    for (int64_t q = 0; q < axis.output; ++q, y += inner) {
      if (inner > 1) {
        kernels.sum_reals(x, axis.indices(q), inner, axis.weights(q), axis.count(q), y, inner);
        continue;
      }
      double sum = 0;
      for (int k = 0; k < axis.count(q); ++k)
        sum += static_cast<double>(x[axis.indices(q)[k]]) * axis.weights(q)[k];
      *y = sum;
    }
  }
}

// What a thread has in scratch: rows resized along the second axis, which of them, and those of one result.
struct HeldRows {
  double* values;
  int64_t* held;
  const double** rows;

  static size_t bytes(const ResizePlan& plan) {
    const auto slots = static_cast<size_t>(plan.slots);
    const size_t size = slots * static_cast<size_t>(plan.y_row()) * sizeof(double) +
                        2 * slots * sizeof(int64_t) + most_taps(plan.first) * sizeof(const double*);
    return (size + 63) / 64 * 64;
  }
  static size_t most_taps(const AxisTaps& axis) {
    int most = 1;
    for (int64_t q = 0; q < axis.output; ++q) most = std::max(most, axis.count(q));
    return static_cast<size_t>(most);
  }
  HeldRows(const ResizePlan& plan, std::byte* scratch)
      : values(reinterpret_cast<double*>(scratch)),
        held(reinterpret_cast<int64_t*>(values + plan.slots * plan.y_row())),
        rows(reinterpret_cast<const double**>(held + plan.slots)) {}
};

void resize(const ResizePlan& plan, const ElementKernels& kernels, size_t scratch,
            const engine::RunArgs& args, int threads) {
  const auto* x = reinterpret_cast<const float*>(args.inputs[0]);
  auto* y = reinterpret_cast<float*>(args.outputs[0]);
  const int64_t row = plan.y_row(), rows = plan.outer * plan.first.output;
  spread(args.team, static_cast<int>(std::min<int64_t>(threads, rows)), [&](int thread, int used) {
    const HeldRows own(plan, args.scratch + static_cast<size_t>(thread) * scratch);
    std::fill_n(own.held, plan.slots, int64_t{-1});
    for (int64_t p = rows * thread / used; p < rows * (thread + 1) / used; ++p) {
      const int64_t outer = p / plan.first.output, at = p % plan.first.output;
      const int taps = plan.first.count(at);
      for (int k = 0; k < taps; ++k) {
        const int64_t source = outer * plan.first.input + plan.first.indices(at)[k];
        const int64_t slot = source % plan.slots;
        double* values = own.values + slot * row;
        if (own.held[slot] != source) {
          resize_row(plan, kernels, x + source * plan.x_row(), values);
          own.held[slot] = source;
        }
        own.rows[k] = values;
      }
      kernels.sum_rows(own.rows, plan.first.weights(at), taps, y + p * row, row);
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
  const size_t scratch = HeldRows::bytes(plan);
  return function_step([=, &kernels, plan = std::move(plan)](
                           const engine::RunArgs& args) { resize(plan, kernels, scratch, args, threads); },
                       scratch * static_cast<size_t>(threads));
}

}  // namespace

Binding bind_resize() { return {"Resize", resize_tactics, pack_constants, resize_load}; }

}  // namespace kvant::backends::cpu
