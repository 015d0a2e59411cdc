// SPDX-License-Identifier: Apache-2.0
// What small bindings share: operands that are constant or come at run time, and steps made of a function.
#pragma once

#include <optional>
#include <span>

#include "backends/cpu/binding.h"
#include "backends/cpu/kernels/elementwise/elementwise.h"

namespace kvant::backends::cpu {

// All constant inputs as they are: their indices (i64), then the tensors.
std::vector<Tensor> pack_constants(const engine::NodeView& view, std::string_view tactic);

// The inputs of a node at build (from view.constants) or at load (from what pack_constants() wrote).
class Operands {
 public:
  explicit Operands(const engine::NodeView& view);
  Operands(const engine::NodeView& view, std::vector<Tensor> packed);

  bool has(size_t i) const { return view_.has(i); }
  // nullptr when input i comes at run time.
  const Tensor* constant(size_t i) const {
    return i < constants_.size() && constants_[i] ? &*constants_[i] : nullptr;
  }
  // Fails unless input i is constant.
  const Tensor& required(size_t i, std::string_view what) const;
  DType dtype(size_t i) const;
  const Shape& shape(size_t i) const;
  // Where input i lies at run time; moved into the step together with it.
  static const std::byte* pointer(const std::optional<Tensor>& constant, const engine::RunArgs& args,
                                  size_t i) {
    return constant ? constant->raw() : args.inputs[i];
  }
  std::optional<Tensor> take(size_t i) { return i < constants_.size() ? constants_[i] : std::nullopt; }

 private:
  const engine::NodeView& view_;
  std::vector<std::optional<Tensor>> constants_;
};

template <class Fn>
class FunctionStep final : public engine::Step {
 public:
  FunctionStep(size_t scratch, Fn fn) : scratch_(scratch), fn_(std::move(fn)) {}
  size_t scratch_bytes() const override { return scratch_; }
  void run(const engine::RunArgs& args) override { fn_(args); }

 private:
  size_t scratch_;
  Fn fn_;
};

template <class Fn>
std::unique_ptr<engine::Step> function_step(Fn fn, size_t scratch = 0) {
  return std::make_unique<FunctionStep<Fn>>(scratch, std::move(fn));
}

// Tactics "<prefix>_<name>", one for each set of kernels (a `name` and an `isa`) that this CPU runs, and the
// way back. kernels_of() fails when there is no such tactic, or none on this CPU.
template <class Kernels>
std::vector<std::string> isa_tactics(std::span<const Kernels> all, std::string_view prefix) {
  std::vector<std::string> names;
  for (const Kernels& kernels : all) {
    if (worth_offering(kernels.isa)) names.push_back(fmt::format("{}_{}", prefix, kernels.name));
  }
  return names;
}
template <class Kernels>
const Kernels& kernels_of(const engine::NodeView& view, std::span<const Kernels> all, std::string_view prefix,
                          std::string_view tactic) {
  for (const Kernels& kernels : all) {
    if (tactic != fmt::format("{}_{}", prefix, kernels.name)) continue;
    require(view, supports(kernels.isa),
            fmt::format("tactic '{}' needs {}, which this CPU does not offer", tactic, name(kernels.isa)));
    return kernels;
  }
  fail("cpu: {}: unknown tactic '{}'", view.node.op, tactic);
}
// Those of elementwise functions.
std::vector<std::string> isa_tactics(std::string_view prefix);
const ElementKernels& kernels_of(const engine::NodeView& view, std::string_view prefix,
                                 std::string_view tactic);

// Splits [0, n) over the team in pieces that are multiples of `grain`; small work stays on the caller.
template <class Fn>
void spread_range(engine::Team& team, int64_t n, int64_t grain, const Fn& fn) {
  const int64_t pieces = (n + grain - 1) / grain;
  const int used = static_cast<int>(pieces < team.size() ? pieces : team.size());
  spread(team, used < 1 ? 1 : used, [&](int thread, int threads) {
    const int64_t first = pieces * thread / threads * grain, last = pieces * (thread + 1) / threads * grain;
    if (first < n) fn(first, last < n ? last : n);
  });
}

}  // namespace kvant::backends::cpu
