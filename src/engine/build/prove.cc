// SPDX-License-Identifier: Apache-2.0
#include "engine/build/prove.h"

#include <cstring>

#include "base/error.h"
#include "base/random.h"

namespace kvant::engine {
namespace {

constexpr int kRubbish = 0x5A;

class OneThread final : public Team {
 public:
  int size() const override { return 1; }
  void run(const std::function<void(int, int)>& fn) override { fn(0, 1); }
};

Tensor random_operand(const NodeView& view, const ir::Type& type, Random& random) {
  Tensor tensor(type.dtype, *type.shape);
  const int64_t low = view.node.attributes.integer("x_low", -128);
  if (type.dtype == DType::Float32) {
    for (float& x : tensor.mutable_data<float>()) x = random.uniform(-4, 4);
  } else if (type.dtype == DType::Int8) {
    for (int8_t& x : tensor.mutable_data<int8_t>())
      x = static_cast<int8_t>(low + static_cast<int64_t>(random.below(static_cast<uint64_t>(128 - low))));
  } else if (type.dtype == DType::UInt8) {
    for (uint8_t& x : tensor.mutable_data<uint8_t>()) x = static_cast<uint8_t>(random.next());
  }
  return tensor;
}

// One step with its operands in the memory of a device.
class OneStep {
 public:
  OneStep(const Backend& backend, const NodeView& view)
      : backend_(backend), view_(view), session_(backend.open()) {
    KVANT_CHECK(session_ != nullptr, "only tactics of a device are compared");
    Random random(1);
    for (size_t i = 0; i < view.inputs.size(); ++i) {
      inputs_.emplace_back();
      if (!view.has(i) || view.constants.at(i) != nullptr) continue;
      const Tensor tensor = random_operand(view, view.inputs[i], random);
      inputs_.back() = session_->allocate(tensor.byte_size());
      session_->upload(inputs_.back().get(), tensor.raw(), tensor.byte_size());
      session_->wait();
    }
    for (const ir::Type& type : view.outputs) {
      rubbish_.emplace_back(type.dtype, *type.shape);
      std::memset(rubbish_.back().mutable_raw(), kRubbish, rubbish_.back().byte_size());
      outputs_.push_back(session_->allocate(rubbish_.back().byte_size()));
    }
  }

  std::vector<Tensor> run(const std::string& tactic) {
    const std::unique_ptr<Step> step = backend_.load(view_, tactic, backend_.pack(view_, tactic));
    step->attach(*session_);
    const auto scratch = session_->allocate(step->scratch_bytes());
    const auto counters = session_->allocate(step->counter_bytes());
    std::vector<const std::byte*> from;
    for (const auto& input : inputs_) from.push_back(input.get());
    std::vector<std::byte*> to;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      to.push_back(outputs_[i].get());
      session_->upload(to.back(), rubbish_[i].raw(), rubbish_[i].byte_size());
    }
    OneThread team;
    step->run({from, to, scratch.get(), team, nullptr, session_.get(), counters.get()});
    std::vector<Tensor> results;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      results.emplace_back(rubbish_[i].dtype(), rubbish_[i].shape());
      session_->download(results.back().mutable_raw(), to[i], results.back().byte_size());
    }
    session_->wait();
    return results;
  }

 private:
  const Backend& backend_;
  const NodeView& view_;
  std::shared_ptr<Session> session_;
  std::vector<std::shared_ptr<std::byte>> inputs_, outputs_;
  std::vector<Tensor> rubbish_;
};

bool same_bytes(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].byte_size() > 0 && std::memcmp(a[i].raw(), b[i].raw(), a[i].byte_size()) != 0) return false;
  }
  return true;
}

}  // namespace

Proof prove(const Backend& backend, const NodeView& view, std::span<const std::string> tactics) {
  Proof proof;
  OneStep one(backend, view);
  const std::vector<Tensor> expected = one.run(tactics[0]);
  proof.equal.push_back(tactics[0]);
  for (const std::string& tactic : tactics.subspan(1)) {
    (same_bytes(expected, one.run(tactic)) ? proof.equal : proof.different).push_back(tactic);
  }
  return proof;
}

}  // namespace kvant::engine
