// SPDX-License-Identifier: Apache-2.0
// Operators whose results are elements of their first input at other places: Split, Slice, Gather, nearest
// Resize and their like. The operator itself, evaluated once over the elements' numbers, says where each
// comes from; the card gathers by that table, in pieces as long as the runs allow.
#include <numeric>

#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/move/move.h"
#include "ops/ops.h"

namespace kvant::backends::cuda {
namespace {

constexpr int64_t kMaxMoved = int64_t{1}
                              << 26;  // elements: numbered in 32 bits, and held while the map is made

struct Gathering {
  GatherDesc desc;
  Tensor index;
};

void check_moving(const engine::NodeView& view, const Operands& operands) {
  require(view, operands.constant(0) == nullptr, "x is constant");
  const int64_t count = element_count(operands.shape(0));
  require(view, count > 0 && count <= kMaxMoved, "x is empty or too large");
  require(view, view.node.op != "Resize" || view.node.attributes.text("mode", "nearest") == "nearest",
          "only the nearest element is copied");
  const size_t bytes = size_of(operands.dtype(0));
  require(view, bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8, "elements of another size");
  for (size_t i = 1; i < view.node.inputs.size(); ++i) {
    if (operands.has(i)) operands.required(i, fmt::format("input {}", i));
  }
  for (size_t i = 0; i < view.outputs.size(); ++i) {
    require(view, view.outputs[i].dtype == operands.dtype(0), "x and y differ in type");
    require(view, element_count(output_shape(view, i)) <= kMaxMoved, "the result is too large");
  }
}

// Elements that always move together: the greatest common divisor of where runs begin and how long they are.
int64_t piece_of(std::span<const int32_t> from, int64_t size) {
  int64_t piece = size;
  for (size_t begin = 0; begin < from.size();) {
    size_t end = begin + 1;
    while (end < from.size() && from[end] == from[end - 1] + 1) ++end;
    piece = std::gcd(std::gcd(piece, int64_t{from[begin]}), static_cast<int64_t>(end - begin));
    begin = end;
  }
  return piece;
}

std::vector<Gathering> gatherings(const engine::NodeView& view, const Operands& operands) {
  check_moving(view, operands);
  Tensor numbered(DType::Int32, operands.shape(0));
  const std::span<int32_t> number = numbered.mutable_data<int32_t>();
  std::iota(number.begin(), number.end(), 0);
  std::vector<const Tensor*> inputs = {&numbered};
  for (size_t i = 1; i < view.node.inputs.size(); ++i) inputs.push_back(operands.constant(i));
  const std::vector<Tensor> places = ops::standard().get(view.node.op).evaluate({view.node, inputs});
  require(view, places.size() >= view.outputs.size(), "an output is missing");
  std::vector<Gathering> result;
  for (size_t i = 0; i < view.outputs.size(); ++i) {
    require(view, places[i].shape() == output_shape(view, i), "the result has another shape");
    const std::span<const int32_t> from = places[i].data<int32_t>();
    for (const int32_t at : from)
      require(view, at >= 0 && at < numbered.size(), "an element comes from outside of x");
    Gathering g;
    g.desc.inner = piece_of(from, numbered.size());
    g.desc.extent = numbered.size() / g.desc.inner;
    g.desc.indices = places[i].size() / g.desc.inner;
    g.desc.element_bytes = static_cast<int32_t>(size_of(operands.dtype(0)));
    g.desc.wide_index = false;
    g.index = Tensor(DType::Int32, {g.desc.indices});
    for (int64_t j = 0; j < g.desc.indices; ++j) {
      g.index.mutable_data<int32_t>()[static_cast<size_t>(j)] =
          static_cast<int32_t>(from[static_cast<size_t>(j * g.desc.inner)] / g.desc.inner);
    }
    result.push_back(std::move(g));
  }
  return result;
}

std::vector<std::string> moving_tactics(const engine::NodeView& view, int, std::string&) {
  gatherings(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> moving_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  std::vector<Gathering> made = gatherings(view, Operands(view, std::move(packed)));
  // The tables stand behind the node's inputs among the constants.
  const size_t first = view.node.inputs.size();
  std::vector<std::optional<Tensor>> constants(first);
  std::vector<GatherDesc> descs;
  for (Gathering& g : made) {
    constants.emplace_back(std::move(g.index));
    descs.push_back(g.desc);
  }
  return launch_step(std::move(constants), [descs, first](const Places& p, const auto& launch) {
    for (size_t i = 0; i < descs.size(); ++i) {
      if (p.out(i) != nullptr) launch(gather_launch(descs[i], p.in(0), p.in(first + i), p.out(i)));
    }
  });
}

Binding moved(std::string_view op) { return {op, moving_tactics, pack_constants, moving_load}; }

}  // namespace

Binding bind_split() { return moved("Split"); }
Binding bind_slice() { return moved("Slice"); }
Binding bind_gather() { return moved("Gather"); }
Binding bind_gather_elements() { return moved("GatherElements"); }
Binding bind_gather_nd() { return moved("GatherND"); }
Binding bind_expand() { return moved("Expand"); }
Binding bind_tile() { return moved("Tile"); }
Binding bind_nearest_resize() { return moved("Resize"); }  // bind_resize.cc has the rest
Binding bind_depth_to_space() { return moved("DepthToSpace"); }
Binding bind_space_to_depth() { return moved("SpaceToDepth"); }

}  // namespace kvant::backends::cuda
