// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/reference_backend.h"

#include <cstring>

#include "ops/ops.h"

namespace kvant::backends {
namespace {

constexpr std::string_view kTactic = "reference";

class ReferenceStep final : public engine::Step {
 public:
  ReferenceStep(const engine::NodeView& view, const ir::OpDef& op, std::vector<Tensor> packed)
      : node_(view.node),
        op_(op),
        inputs_(view.inputs),
        outputs_(view.outputs),
        constants_(node_.inputs.size()) {
    if (packed.empty() || packed[0].dtype() != DType::Int64 ||
        packed[0].size() + 1 != static_cast<int64_t>(packed.size())) {
      fail("reference: the packed constants of a {} node are not in the form that this version writes",
           node_.op);
    }
    const std::vector<int64_t> places = packed[0].to_ints();
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i] < 0 || places[i] >= static_cast<int64_t>(constants_.size())) {
        fail("reference: a packed constant belongs to input {} of a {} node with {} inputs", places[i],
             node_.op, constants_.size());
      }
      constants_[static_cast<size_t>(places[i])] = std::move(packed[i + 1]);
    }
  }

  void run(const engine::RunArgs& args) override {
    std::vector<Tensor> values(node_.inputs.size());
    std::vector<const Tensor*> inputs(values.size(), nullptr);
    for (size_t i = 0; i < values.size(); ++i) {
      if (constants_[i]) {
        inputs[i] = &*constants_[i];
      } else if (node_.inputs[i] != ir::kNone) {  // one without elements may lie nowhere
        values[i] = Tensor(inputs_[i].dtype, *inputs_[i].shape);
        if (values[i].byte_size() > 0)
          std::memcpy(values[i].mutable_raw(), args.inputs[i], values[i].byte_size());
        inputs[i] = &values[i];
      }
    }
    const std::vector<Tensor> results = op_.evaluate({node_, inputs});
    for (size_t i = 0; i < args.outputs.size() && i < outputs_.size(); ++i) {
      if (args.outputs[i] == nullptr) continue;
      KVANT_CHECK(i < results.size(), "an operator gives fewer outputs than its node has");
      const Tensor& result = results[i];
      if (result.dtype() != outputs_[i].dtype || result.shape() != *outputs_[i].shape) {
        fail("{} gives {} [{}] where the plan has {} [{}]", node_.op, kvant::name(result.dtype()),
             to_string(result.shape()), kvant::name(outputs_[i].dtype), to_string(*outputs_[i].shape));
      }
      if (result.byte_size() > 0) std::memcpy(args.outputs[i], result.raw(), result.byte_size());
    }
  }

 private:
  ir::Node node_;
  const ir::OpDef& op_;
  std::vector<ir::Type> inputs_, outputs_;
  std::vector<std::optional<Tensor>> constants_;
};

// Why the node cannot run here; "" when it can. `loading`: constants may have been packed away.
std::string why_not(const engine::NodeView& view, bool loading) {
  const ir::OpDef* op = ops::standard().find(view.node.op);
  if (op == nullptr || op->evaluate == nullptr)
    return fmt::format("{} has no reference evaluation", view.node.op);
  for (size_t i = 0; i < view.node.inputs.size() && !loading; ++i) {
    const bool constant = i < view.constants.size() && view.constants[i] != nullptr;
    if (view.has(i) && !constant && !view.inputs[i].is_static()) {
      return fmt::format("the shape of input {} is not known", i);
    }
  }
  for (size_t i = 0; i < view.outputs.size(); ++i) {
    if (i < view.node.outputs.size() && view.node.outputs[i] != ir::kNone && !view.outputs[i].is_static()) {
      return fmt::format("the shape of output {} depends on the data", i);
    }
  }
  return {};
}

class ReferenceBackend final : public engine::Backend {
 public:
  std::string_view name() const override { return "reference"; }

  std::vector<std::string> tactics(const engine::NodeView& view, std::string& why) const override {
    why = why_not(view, false);
    if (!why.empty()) return {};
    return {std::string(kTactic)};
  }

  std::vector<Tensor> pack(const engine::NodeView& view, std::string_view) const override {
    std::vector<int64_t> places;
    std::vector<Tensor> packed(1);
    for (size_t i = 0; i < view.constants.size(); ++i) {
      if (view.constants[i] == nullptr) continue;
      places.push_back(static_cast<int64_t>(i));
      packed.push_back(*view.constants[i]);
    }
    packed[0] = Tensor::vector(places);
    return packed;
  }

  std::unique_ptr<engine::Step> load(const engine::NodeView& view, std::string_view tactic,
                                     std::vector<Tensor> packed) const override {
    if (tactic != kTactic) fail("reference: unknown tactic '{}' for {}", tactic, view.node.op);
    const std::string why = why_not(view, true);
    if (!why.empty()) fail("reference: cannot run {}: {}", view.node.op, why);
    auto step = std::make_unique<ReferenceStep>(view, ops::standard().get(view.node.op), std::move(packed));
    return step;
  }
};

}  // namespace

std::unique_ptr<engine::Backend> reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace kvant::backends
