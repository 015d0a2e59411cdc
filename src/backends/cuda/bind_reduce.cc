// SPDX-License-Identifier: Apache-2.0
// ReduceMean, ReduceSum, ReduceMax and ReduceMin of floats.
#include <algorithm>

#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/reduce/reduce.h"

namespace kvant::backends::cuda {
namespace {

constexpr std::pair<std::string_view, Reduction> kReductions[] = {{"ReduceMean", Reduction::Mean},
                                                                  {"ReduceSum", Reduction::Sum},
                                                                  {"ReduceMax", Reduction::Max},
                                                                  {"ReduceMin", Reduction::Min}};

std::vector<char> goes_away(const engine::NodeView& view, const Operands& operands) {
  const size_t rank = operands.shape(0).size();
  std::vector<char> goes(rank, 0);
  const std::vector<int64_t> axes =
      operands.has(1) ? operands.required(1, "the list of axes").to_ints() : std::vector<int64_t>{};
  if (axes.empty() && view.node.attributes.integer("noop_with_empty_axes", 0) == 0) goes.assign(rank, 1);
  for (const int64_t axis : axes) goes[static_cast<size_t>(normalize_axis(axis, rank))] = 1;
  return goes;
}

// Axes of a kind that lie one behind the other are one; `length` is of the axis inside.
void add_axis(const engine::NodeView& view, int64_t length, int64_t stride, int32_t& count,
              std::array<int64_t, ReduceDesc::kMaxRank>& shape,
              std::array<int64_t, ReduceDesc::kMaxRank>& strides) {
  const auto last = static_cast<size_t>(count) - 1;
  if (count > 0 && strides[last] == length * stride) {
    shape[last] *= length;
    strides[last] = stride;
    return;
  }
  require(view, count < ReduceDesc::kMaxRank, "axes that stay and go take turns too often");
  shape[static_cast<size_t>(count)] = length;
  strides[static_cast<size_t>(count++)] = stride;
}

ReduceDesc describe_reduction(const engine::NodeView& view, const Operands& operands) {
  const Shape& x = operands.shape(0);
  require(view, operands.dtype(0) == DType::Float32 && view.outputs.at(0).dtype == DType::Float32,
          "only f32");
  require(view, element_count(x) > 0, "x is empty");
  ReduceDesc d;
  const auto* known =
      std::ranges::find(kReductions, view.node.op, &std::pair<std::string_view, Reduction>::first);
  require(view, known != std::end(kReductions), "not a reduction");
  d.kind = known->second;
  const std::vector<char> goes = goes_away(view, operands);
  const std::vector<int64_t> strides = strides_of(x);
  int64_t results = 1;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!goes[i]) results *= x[i];
    if (x[i] == 1) continue;
    if (goes[i]) {
      add_axis(view, x[i], strides[i], d.reduced, d.reduced_shape, d.reduced_stride);
    } else {
      add_axis(view, x[i], strides[i], d.kept, d.kept_shape, d.kept_stride);
    }
  }
  require(view, element_count(output_shape(view)) == results, "the result has not the reduced shape");
  return d;
}

std::vector<std::string> reduction_tactics(const engine::NodeView& view, int, std::string&) {
  describe_reduction(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> reduction_load(const engine::NodeView& view, std::string_view tactic,
                                             std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const ReduceDesc d = describe_reduction(view, operands);
  return launch_step(operands.take(), [d](const Places& p, const auto& launch) {
    launch(reduce_launch(d, p.in(0), p.out()));
  });
}

Binding reduction(std::string_view op) { return {op, reduction_tactics, pack_constants, reduction_load}; }

}  // namespace

Binding bind_reduce_mean() { return reduction("ReduceMean"); }
Binding bind_reduce_sum() { return reduction("ReduceSum"); }
Binding bind_reduce_max() { return reduction("ReduceMax"); }
Binding bind_reduce_min() { return reduction("ReduceMin"); }

}  // namespace kvant::backends::cuda
