// SPDX-License-Identifier: Apache-2.0
// Resize: the nearest element as a gather (bind_move.cc), weighted sums of floats along one or two axes.
#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/resize/resize.h"
#include "ops/resize_axis.h"

namespace kvant::backends::cuda {

Binding bind_nearest_resize();  // bind_move.cc

namespace {

constexpr int64_t kMaxTableEntries = int64_t{1} << 22;

struct AxisTable {
  int64_t input = 1, output = 1;
  int32_t taps = 1;
  Tensor index{DType::Int32, {1, 1}}, weight{DType::Float64, {1, 1}};
};

// An axis that stays as it is: one tap of weight 1.
AxisTable unchanged() {
  AxisTable table;
  table.index.mutable_data<int32_t>()[0] = 0;
  table.weight.mutable_data<double>()[0] = 1.0;
  return table;
}

AxisTable table_of(const engine::NodeView& view, const ops::ResizeRules& rules, const ops::ResizeAxis& axis) {
  require(view, axis.output <= kMaxTableEntries, "the result is too large");
  const std::vector<ops::ResizeTap> taps = ops::resize_taps(rules, axis);
  AxisTable table;
  table.input = axis.input, table.output = axis.output;
  size_t most = 1;
  for (const ops::ResizeTap& tap : taps) most = std::max(most, tap.index.size());
  require(view, axis.output * static_cast<int64_t>(most) <= kMaxTableEntries, "its tables are too large");
  table.taps = static_cast<int32_t>(most);
  table.index = Tensor(DType::Int32, {axis.output, table.taps});
  table.weight = Tensor(DType::Float64, {axis.output, table.taps});
  const auto index = table.index.mutable_data<int32_t>();
  const auto weight = table.weight.mutable_data<double>();
  for (size_t i = 0; i < taps.size(); ++i) {
    for (size_t k = 0; k < most; ++k) {
      const bool there = k < taps[i].index.size() && !taps[i].outside;
      index[i * most + k] = there ? static_cast<int32_t>(taps[i].index[k]) : kNoTap;
      weight[i * most + k] = there ? taps[i].weight[k] : 0.0;
    }
    if (taps[i].outside) index[i * most] = kOutside;
  }
  return table;
}

struct Resizing {
  ResizeDesc desc;
  AxisTable first = unchanged(), second = unchanged();
};

Resizing describe_resizing(const engine::NodeView& view, const Operands& operands) {
  const Shape &x = operands.shape(0), &y = output_shape(view);
  require(view, operands.dtype(0) == DType::Float32 && view.outputs.at(0).dtype == DType::Float32,
          "only f32");
  require(view, element_count(x) > 0 && y.size() == x.size(), "x is empty or y has another rank");
  const ops::ResizeRules rules = ops::parse_resize_rules(view.node.attributes);
  require(view, rules.coordinates != ops::CoordinateMode::TfCropAndResize, "tf_crop_and_resize");
  const Tensor* scales = operands.has(2) ? &operands.required(2, "the list of scales") : nullptr;
  const Tensor* sizes = operands.has(3) ? &operands.required(3, "the list of sizes") : nullptr;
  const std::vector<ops::ResizeAxis> axes = ops::resize_axes(view.node.attributes, x, scales, sizes);
  std::vector<size_t> changed;
  for (size_t i = 0; i < axes.size(); ++i) {
    require(view, axes[i].output == y[i], "the result has another shape");
    if (axes[i].input != axes[i].output || axes[i].scale != 1.0) changed.push_back(i);
  }
  require(view, !changed.empty() && changed.size() <= 2, "not one or two axes are resized");
  Resizing r;
  const size_t second = changed.back(), first = changed.front();
  const auto count = [&](size_t from, size_t to) {
    return element_count(
        Shape(x.begin() + static_cast<std::ptrdiff_t>(from), x.begin() + static_cast<std::ptrdiff_t>(to)));
  };
  r.second = table_of(view, rules, axes[second]);
  r.desc.outer = count(0, first);
  r.desc.inner = count(second + 1, x.size());
  if (first != second) {
    r.first = table_of(view, rules, axes[first]);
    r.desc.between = count(first + 1, second);
  }
  r.desc.first_input = r.first.input, r.desc.first_output = r.first.output, r.desc.first_taps = r.first.taps;
  r.desc.second_input = r.second.input, r.desc.second_output = r.second.output;
  r.desc.second_taps = r.second.taps;
  r.desc.extrapolation = rules.extrapolation;
  return r;
}

bool is_nearest(const engine::NodeView& view) {
  return view.node.attributes.text("mode", "nearest") == "nearest";
}

std::vector<std::string> resize_tactics(const engine::NodeView& view, int sm, std::string& why) {
  if (is_nearest(view)) return bind_nearest_resize().tactics(view, sm, why);
  require(view, view.constants.empty() || view.constants[0] == nullptr, "x is constant");
  describe_resizing(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> resize_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  if (is_nearest(view)) return bind_nearest_resize().load(view, tactic, std::move(packed));
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Resizing r = describe_resizing(view, Operands(view, std::move(packed)));
  // The tables stand behind the node's inputs among the constants.
  const size_t first = view.node.inputs.size();
  std::vector<std::optional<Tensor>> constants(first);
  for (Tensor* table : {&r.first.index, &r.first.weight, &r.second.index, &r.second.weight})
    constants.emplace_back(std::move(*table));
  return launch_step(std::move(constants), [desc = r.desc, first](const Places& p, const auto& launch) {
    launch(resize_launch(desc, {p.in(first), p.in(first + 1), p.in(first + 2), p.in(first + 3)}, p.in(0),
                         p.out()));
  });
}

}  // namespace

Binding bind_resize() { return {"Resize", resize_tactics, pack_constants, resize_load}; }

}  // namespace kvant::backends::cuda
