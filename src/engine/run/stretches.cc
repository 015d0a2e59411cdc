// SPDX-License-Identifier: Apache-2.0
#include "engine/run/stretches.h"

#include <algorithm>
#include <set>

namespace kvant::engine {
namespace {

class Splitter {
 public:
  Splitter(const Plan& plan, std::span<const size_t> memory_of)
      : plan_(plan), memory_of_(memory_of), roots_(storage_roots(plan)) {}

  Stretches split() {
    for (const ir::ValueId input : plan_.graph.inputs().first(plan_.input_count)) valid_[input] = {kHost};
    for (size_t i = 0; i < plan_.steps.size(); ++i) add(i);
    for (const ir::ValueId output : plan_.graph.outputs()) {
      const ir::ValueId id = root(output);
      if (valid_.contains(id)) bring(id, kHost, result_.results);
    }
    return std::move(result_);
  }

 private:
  ir::ValueId root(ir::ValueId id) const { return roots_[static_cast<size_t>(id)]; }

  void add(size_t index) {
    const bool view = plan_.steps[index].backend == kView;
    auto& list = result_.stretches;
    if (list.empty() || (!view && memory_of_[index] != list.back().memory))
      list.push_back({view ? kHost : memory_of_[index], index, index, {}});
    Stretch& stretch = list.back();
    stretch.last = index;
    if (view) return;
    const ir::Node& node = plan_.graph.node(plan_.steps[index].node);
    for (const ir::ValueId input : node.inputs) {
      if (input != ir::kNone && valid_.contains(root(input)))
        bring(root(input), stretch.memory, stretch.moves);
    }
    for (const ir::ValueId output : node.outputs) {
      if (output != ir::kNone) valid_[root(output)] = {stretch.memory};
    }
  }

  // From one device to another a tensor goes by way of the host.
  void bring(ir::ValueId id, size_t to, std::vector<Move>& moves) {
    std::set<size_t>& places = valid_[id];
    if (places.contains(to)) return;
    if (to != kHost && !places.contains(kHost)) bring(id, kHost, moves);
    moves.push_back({id, to == kHost ? *places.begin() : kHost, to});
    places.insert(to);
  }

  const Plan& plan_;
  std::span<const size_t> memory_of_;
  std::vector<ir::ValueId> roots_;
  std::map<ir::ValueId, std::set<size_t>> valid_;  // memories that hold a root value
  Stretches result_;
};

}  // namespace

Stretches stretches_of(const Plan& plan, std::span<const size_t> memory_of) {
  return Splitter(plan, memory_of).split();
}

}  // namespace kvant::engine
