// SPDX-License-Identifier: Apache-2.0
// A backend for the engine's tests that evaluates each operator's reference.
#pragma once

#include <cstring>

#include "base/error.h"
#include "engine/engine.h"
#include "ops/ops.h"

namespace kvant::engine {

class EvaluatingStep final : public Step {
 public:
  EvaluatingStep(const NodeView& view, std::vector<Tensor> packed) : view_(view), packed_(std::move(packed)) {
    if (packed_.size() != view_.inputs.size()) fail("packed constants do not fit");
  }
  void run(const RunArgs& args) override {
    std::vector<const Tensor*> inputs(view_.inputs.size(), nullptr);
    std::vector<Tensor> values(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!view_.has(i)) continue;
      inputs[i] = &packed_[i];
      if (args.inputs[i] == nullptr) continue;
      values[i] = Tensor(view_.inputs[i].dtype, *view_.inputs[i].shape);
      std::memcpy(values[i].mutable_raw(), args.inputs[i], values[i].byte_size());
      inputs[i] = &values[i];
    }
    const auto results = ops::standard().get(view_.node.op).evaluate({view_.node, inputs});
    for (size_t i = 0; i < results.size() && i < args.outputs.size(); ++i)
      std::memcpy(args.outputs[i], results[i].raw(), results[i].byte_size());
  }

 private:
  NodeView view_;
  std::vector<Tensor> packed_;
};

class EvaluatingBackend final : public Backend {
 public:
  std::string_view name() const override { return "evaluating"; }
  std::vector<std::string> tactics(const NodeView&, std::string&) const override { return {"plain"}; }
  std::vector<Tensor> pack(const NodeView& view, std::string_view) const override {
    std::vector<Tensor> packed;
    for (const Tensor* constant : view.constants)
      packed.push_back(constant != nullptr ? *constant : Tensor());
    return packed;
  }
  std::unique_ptr<Step> load(const NodeView& view, std::string_view tactic,
                             std::vector<Tensor> packed) const override {
    if (tactic != "plain") fail("unknown tactic");
    return std::make_unique<EvaluatingStep>(view, std::move(packed));
  }
};

}  // namespace kvant::engine
