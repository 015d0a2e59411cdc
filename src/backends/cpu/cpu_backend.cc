// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_backend.h"

#include "backends/cpu/binding.h"

namespace kvant::backends {
namespace cpu {

#define KVANT_ENTRY(function) Binding function();
#include "backends/cpu/bindings.inc"
#undef KVANT_ENTRY

const std::vector<Binding>& bindings() {
  static const std::vector<Binding> table = {
#define KVANT_ENTRY(function) function(),
#include "backends/cpu/bindings.inc"
#undef KVANT_ENTRY
  };
  return table;
}

void require(const engine::NodeView& view, bool ok, std::string_view what) {
  if (!ok) fail("cpu: {}: {}", view.node.op, what);
}

const Shape& input_shape(const engine::NodeView& view, size_t i) {
  require(view, view.has(i) && i < view.inputs.size() && view.inputs[i].is_static(),
          fmt::format("the shape of input {} is not known", i));
  return *view.inputs[i].shape;
}

const Shape& output_shape(const engine::NodeView& view, size_t i) {
  require(view, i < view.outputs.size() && view.outputs[i].is_static(),
          fmt::format("the shape of output {} is not known", i));
  return *view.outputs[i].shape;
}

void require_packed(const engine::NodeView& view, const std::vector<Tensor>& packed, size_t count) {
  require(view, packed.size() == count,
          fmt::format("{} packed constants where {} belong; build the plan anew", packed.size(), count));
}

int threads_of(const engine::NodeView& view) {
  require(view, view.threads >= 1 && view.threads <= 1024, "the plan's number of threads is absurd");
  return view.threads;
}

}  // namespace cpu

namespace {

class CpuBackend final : public engine::Backend {
 public:
  std::string_view name() const override { return "cpu"; }

  std::vector<std::string> tactics(const engine::NodeView& view, std::string& why) const override {
    const cpu::Binding* binding = find(view.node.op);
    if (binding == nullptr) {
      why = fmt::format("no CPU kernel for {}", view.node.op);
      return {};
    }
    try {
      return binding->tactics(view, why);
    } catch (const Error& error) {
      why = error.what();
      return {};
    }
  }

  std::vector<Tensor> pack(const engine::NodeView& view, std::string_view tactic) const override {
    return get(view).pack(view, tactic);
  }

  std::unique_ptr<engine::Step> load(const engine::NodeView& view, std::string_view tactic,
                                     std::vector<Tensor> packed) const override {
    return get(view).load(view, tactic, std::move(packed));
  }

  bool runs_on_team(std::string_view tactic) const override {
    return tactic.find("onednn") == std::string_view::npos;
  }

 private:
  static const cpu::Binding* find(std::string_view op) {
    for (const cpu::Binding& binding : cpu::bindings()) {
      if (binding.op == op) return &binding;
    }
    return nullptr;
  }
  static const cpu::Binding& get(const engine::NodeView& view) {
    const cpu::Binding* binding = find(view.node.op);
    if (binding == nullptr) fail("cpu: no kernel for {}", view.node.op);
    return *binding;
  }
};

}  // namespace

std::unique_ptr<engine::Backend> cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace kvant::backends
