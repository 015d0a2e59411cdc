// SPDX-License-Identifier: Apache-2.0
// Operators whose results are elements of their first input (or a padding value) at other places: Split,
// Slice, Pad, Gather, nearest Resize and their like. The operator itself, evaluated once over the elements'
// numbers, says where each comes from; what is copied at run time is the runs in which they come.
#include <algorithm>
#include <cstring>

#include "backends/cpu/operands.h"
#include "ops/ops.h"
#include "ops/strided_copy.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 26;  // numbered in 32 bits, and held while the map is made
constexpr int32_t kPadding = -1;

// `count` elements from `from` on, or of the padding value.
struct CopyRun {
  int32_t from, to, count;
};

struct MoveMap {
  std::vector<std::vector<CopyRun>> runs;  // by output
  std::vector<std::byte> padding;          // one element
};

bool pads_with_constant(const engine::NodeView& view) {
  return view.node.op == "Pad" && view.node.attributes.text("mode", "constant") == "constant";
}

void check_move(const engine::NodeView& view, const Operands& operands) {
  require(view, operands.constant(0) == nullptr, "x is constant");
  const int64_t count = element_count(operands.shape(0));
  require(view, count > 0 && count <= kMaxElements, "x is empty or too large");
  require(view, view.node.op != "Resize" || view.node.attributes.text("mode", "nearest") == "nearest",
          "only the nearest element is copied");
  for (size_t i = 1; i < view.node.inputs.size(); ++i) {
    if (operands.has(i)) operands.required(i, fmt::format("input {}", i));
  }
  for (size_t i = 0; i < view.outputs.size(); ++i) {
    require(view, view.outputs[i].dtype == operands.dtype(0), "x and y differ in type");
    require(view, element_count(output_shape(view, i)) <= kMaxElements, "the result is too large");
  }
}

std::vector<CopyRun> runs_of(const engine::NodeView& view, const Tensor& places, int64_t size) {
  std::vector<CopyRun> runs;
  const auto from = places.data<int32_t>();
  for (size_t i = 0; i < from.size(); ++i) {
    require(view, from[i] >= kPadding && from[i] < size, "an element comes from outside of x");
    const auto to = static_cast<int32_t>(i);
    if (!runs.empty()) {
      CopyRun& last = runs.back();
      const bool goes_on = from[i] == kPadding ? last.from == kPadding
                                               : last.from != kPadding && from[i] == last.from + last.count;
      if (goes_on) {
        ++last.count;
        continue;
      }
    }
    runs.push_back({from[i], to, 1});
  }
  return runs;
}

MoveMap move_map(const engine::NodeView& view, const Operands& operands) {
  check_move(view, operands);
  const size_t width = size_of(operands.dtype(0));
  MoveMap map{{}, std::vector<std::byte>(width, std::byte{0})};
  Tensor numbers(DType::Int32, operands.shape(0));
  int32_t next = 0;
  for (int32_t& number : numbers.mutable_data<int32_t>()) number = next++;
  const Tensor padding = Tensor::scalar<int32_t>(kPadding);
  std::vector<const Tensor*> inputs = {&numbers};
  for (size_t i = 1; i < view.node.inputs.size(); ++i) inputs.push_back(operands.constant(i));
  if (pads_with_constant(view)) {
    if (const Tensor* value = operands.constant(2)) {
      require(view, value->dtype() == operands.dtype(0) && value->size() == 1,
              "the padding is not one element");
      std::copy_n(value->raw(), width, map.padding.data());
    }
    inputs.resize(std::max<size_t>(3, inputs.size()), nullptr);
    inputs[2] = &padding;
  }
  const std::vector<Tensor> places = ops::standard().get(view.node.op).evaluate({view.node, inputs});
  require(view, places.size() >= view.outputs.size(), "an output is missing");
  for (size_t i = 0; i < view.outputs.size(); ++i) {
    require(view, places[i].shape() == output_shape(view, i), "the result has another shape");
    map.runs.push_back(runs_of(view, places[i], numbers.size()));
  }
  return map;
}

template <class Word>
void copy_words(const CopyRun& run, const Word* x, Word padding, Word* y) {
  y += run.to;
  if (run.from == kPadding) {
    std::fill_n(y, run.count, padding);
  } else if (run.count * sizeof(Word) >= 64) {
    std::memcpy(y, x + run.from, static_cast<size_t>(run.count) * sizeof(Word));
  } else {
    for (int32_t i = 0; i < run.count; ++i) y[i] = x[run.from + i];
  }
}

template <class Word>
void copy_runs(const MoveMap& map, const engine::RunArgs& args) {
  const auto* x = reinterpret_cast<const Word*>(args.inputs[0]);
  Word padding;
  std::memcpy(&padding, map.padding.data(), sizeof(Word));
  for (size_t i = 0; i < map.runs.size(); ++i) {
    const std::vector<CopyRun>& runs = map.runs[i];
    if (runs.empty()) continue;
    auto* y = reinterpret_cast<Word*>(args.outputs[i]);
    const int64_t elements = runs.back().to + runs.back().count;
    const int64_t grain = std::max<int64_t>(1, 16384 * static_cast<int64_t>(runs.size()) / elements);
    spread_range(args.team, static_cast<int64_t>(runs.size()), grain, [&](int64_t run, int64_t end) {
      for (; run < end; ++run) copy_words(runs[static_cast<size_t>(run)], x, padding, y);
    });
  }
}

std::vector<std::string> move_tactics(const engine::NodeView& view, std::string&) {
  move_map(view, Operands(view));
  return {"move"};
}

std::unique_ptr<engine::Step> move_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  require(view, tactic == "move", fmt::format("unknown tactic '{}'", tactic));
  const Operands operands(view, std::move(packed));
  return function_step(
      [map = move_map(view, operands), width = size_of(operands.dtype(0))](const engine::RunArgs& args) {
        ops::visit_word(width, [&]<class Word>() { copy_runs<Word>(map, args); });
      });
}

Binding moving(std::string_view op) { return {op, move_tactics, pack_constants, move_load}; }

}  // namespace

Binding bind_split() { return moving("Split"); }
Binding bind_slice() { return moving("Slice"); }
Binding bind_pad() { return moving("Pad"); }
Binding bind_gather() { return moving("Gather"); }
Binding bind_gather_elements() { return moving("GatherElements"); }
Binding bind_gather_nd() { return moving("GatherND"); }
Binding bind_expand() { return moving("Expand"); }
Binding bind_tile() { return moving("Tile"); }
Binding bind_nearest_resize() { return moving("Resize"); }  // bind_resize.cc has the rest
Binding bind_depth_to_space() { return moving("DepthToSpace"); }
Binding bind_space_to_depth() { return moving("SpaceToDepth"); }

}  // namespace kvant::backends::cpu
