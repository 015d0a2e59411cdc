// SPDX-License-Identifier: Apache-2.0
// How the CPU backend learns of an operator: node -> descriptor -> kernel. One bind_<op>.cc per operator or
// family, one line in bindings.inc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend.h"

namespace kvant::backends::cpu {

struct Binding {
  std::string_view op;
  // As engine::Backend's functions. tactics: empty with `why` when no kernel fits; it may also fail with an
  // Error, which becomes the reason. load: everything about the node and the packed constants is checked
  // here.
  std::vector<std::string> (*tactics)(const engine::NodeView& view, std::string& why);
  std::vector<Tensor> (*pack)(const engine::NodeView& view, std::string_view tactic);
  std::unique_ptr<engine::Step> (*load)(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed);
};

// All bindings (bindings.inc).
const std::vector<Binding>& bindings();

// The static shape of input or output i; fails when it is not there.
const Shape& input_shape(const engine::NodeView& view, size_t i);
const Shape& output_shape(const engine::NodeView& view, size_t i = 0);
// Fails unless `ok`: for checks on descriptors that come from plans and models.
void require(const engine::NodeView& view, bool ok, std::string_view what);
// The node's packed constants must be `count` tensors.
void require_packed(const engine::NodeView& view, const std::vector<Tensor>& packed, size_t count);
// The plan's number of threads, for sizes of scratch; fails when it is absurd.
int threads_of(const engine::NodeView& view);

// Runs fn(thread, threads) over the team, but on no more threads than the plan has scratch for.
template <class Fn>
void spread(engine::Team& team, int planned, const Fn& fn) {
  if (team.size() == 1 || planned == 1) return fn(0, 1);
  struct Shared {
    const Fn& fn;
    int planned;
  } shared{fn, planned};
  team.run([&shared](int thread, int threads) {
    const int used = threads < shared.planned ? threads : shared.planned;
    if (thread < used) shared.fn(thread, used);
  });
}

}  // namespace kvant::backends::cpu
