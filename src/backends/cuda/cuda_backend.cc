// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/cuda_backend.h"

#include "backends/cuda/binding.h"

namespace kvant::backends {
namespace cuda {

#define KVANT_ENTRY(function) Binding function();
#include "backends/cuda/bindings.inc"
#undef KVANT_ENTRY

const std::vector<Binding>& bindings() {
  static const std::vector<Binding> table = {
#define KVANT_ENTRY(function) function(),
#include "backends/cuda/bindings.inc"
#undef KVANT_ENTRY
  };
  return table;
}

}  // namespace cuda

namespace {

class CudaBackend final : public engine::Backend {
 public:
  explicit CudaBackend(std::shared_ptr<cuda::Device> device) : device_(std::move(device)) {}

  std::string_view name() const override { return "cuda"; }

  std::vector<std::string> tactics(const engine::NodeView& view, std::string& why) const override {
    const cuda::Binding* binding = find(view.node.op);
    if (binding == nullptr) {
      why = fmt::format("no CUDA kernel for {}", view.node.op);
      return {};
    }
    for (const ir::Type& output : view.outputs) {
      if (!output.is_static() || element_count(*output.shape) > 0) continue;
      why = "a result without elements is left to the host";
      return {};
    }
    try {
      return binding->tactics(view, device_->traits().sm, why);
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

  std::shared_ptr<engine::Session> open() const override { return device_->open(); }

  std::string needs() const override { return fmt::format("sm_{}", device_->traits().sm); }

  void check(std::string_view what) const override {
    const cuda::DeviceTraits& traits = device_->traits();
    if (what == needs()) return;
    fail("the plan was built for {} and {} ({}) is {}: build it again for this card", what, traits.id,
         traits.name, needs());
  }

  std::string processor() const override {
    const cuda::DeviceTraits& traits = device_->traits();
    return fmt::format("{} sm_{} multiprocessors {}", traits.name, traits.sm, traits.multiprocessors);
  }

  bool has_clock() const override { return device_->has_clock(); }

 private:
  static const cuda::Binding* find(std::string_view op) {
    for (const cuda::Binding& binding : cuda::bindings()) {
      if (binding.op == op) return &binding;
    }
    return nullptr;
  }
  static const cuda::Binding& get(const engine::NodeView& view) {
    const cuda::Binding* binding = find(view.node.op);
    if (binding == nullptr) fail("cuda: no kernel for {}", view.node.op);
    return *binding;
  }

  std::shared_ptr<cuda::Device> device_;
};

}  // namespace

std::unique_ptr<engine::Backend> cuda_backend(std::shared_ptr<cuda::Device> device) {
  return std::make_unique<CudaBackend>(std::move(device));
}

}  // namespace kvant::backends
