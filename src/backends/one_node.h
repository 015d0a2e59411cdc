// SPDX-License-Identifier: Apache-2.0
// For tests and benches of backends: one node with its operands, run through the Backend interface.
#pragma once

#include <cstring>
#include <thread>

#include "engine/backend.h"
#include "ops/ops.h"

namespace kvant::backends {

// Plain threads, made anew for each run.
class ThreadTeam final : public engine::Team {
 public:
  explicit ThreadTeam(int threads) : threads_(threads) {}
  int size() const override { return threads_; }
  void run(const std::function<void(int, int)>& fn) override {
    std::vector<std::thread> workers;
    for (int i = 1; i < threads_; ++i) workers.emplace_back([&fn, i, this] { fn(i, threads_); });
    fn(0, threads_);
    for (std::thread& worker : workers) worker.join();
  }

 private:
  int threads_;
};

struct OneNode {
  ir::Node node;
  std::vector<Tensor> inputs;  // of an absent one: an empty f32 tensor
  std::vector<bool> is_constant;
  std::vector<ir::Type> types;  // of the outputs

  // `present`: which inputs are there (all when empty). Inputs from index 1 on are constant unless `runtime`
  // names them.
  OneNode(std::string op, ir::Attributes attributes, std::vector<Tensor> operands,
          std::vector<int> absent = {}, std::vector<int> runtime = {0})
      : inputs(std::move(operands)), is_constant(inputs.size(), true) {
    node.op = std::move(op);
    node.name = "node";
    node.attributes = std::move(attributes);
    for (size_t i = 0; i < inputs.size(); ++i) node.inputs.push_back(static_cast<ir::ValueId>(i));
    for (const int i : absent) node.inputs[static_cast<size_t>(i)] = ir::kNone;
    for (const int i : runtime) is_constant[static_cast<size_t>(i)] = false;
    node.outputs = {100};
    types = definition().infer({node, input_types(), pointers(true)});
  }

  const ir::OpDef& definition() const { return ops::standard().get(node.op); }
  bool has(size_t i) const { return node.inputs[i] != ir::kNone; }

  std::vector<ir::Type> input_types() const {
    std::vector<ir::Type> result;
    for (size_t i = 0; i < inputs.size(); ++i) {
      result.push_back(has(i) ? ir::Type{inputs[i].dtype(), inputs[i].shape()}
                              : ir::Type{DType::Float32, std::nullopt});
    }
    return result;
  }
  // Operands, or only the constant ones.
  std::vector<const Tensor*> pointers(bool constants_only) const {
    std::vector<const Tensor*> result;
    for (size_t i = 0; i < inputs.size(); ++i) {
      result.push_back(has(i) && (is_constant[i] || !constants_only) ? &inputs[i] : nullptr);
    }
    return result;
  }
  engine::NodeView view(bool loading, int threads) const {
    std::vector<const Tensor*> constants = pointers(true);
    if (loading) constants.assign(constants.size(), nullptr);
    return {node, input_types(), types, constants, threads};
  }
  Tensor expected() const { return definition().evaluate({node, pointers(false)}).at(0); }

  // Buffers of exactly the right size, the result filled with rubbish before.
  Tensor run(engine::Step& step, int threads) const { return run(step, threads, nullptr); }

  // The same on a device, when there is a session.
  Tensor run(engine::Step& step, int threads, engine::Session* session) const {
    if (session != nullptr) return run_on_device(step, *session);
    std::vector<const std::byte*> in;
    for (size_t i = 0; i < inputs.size(); ++i)
      in.push_back(has(i) && !is_constant[i] ? inputs[i].raw() : nullptr);
    Tensor y(types.at(0).dtype, *types.at(0).shape);
    std::byte* out = y.mutable_raw();
    std::memset(out, 0x5A, y.byte_size());
    Tensor scratch(DType::UInt8, {static_cast<int64_t>(step.scratch_bytes()) + 64});
    ThreadTeam team(threads);
    step.run({in, std::span<std::byte* const>(&out, 1), scratch.mutable_raw(), team});
    return y;
  }

 private:
  Tensor run_on_device(engine::Step& step, engine::Session& session) const {
    std::vector<std::shared_ptr<std::byte>> memory;
    const auto place = [&](const Tensor& tensor) {
      memory.push_back(session.allocate(tensor.byte_size()));
      session.upload(memory.back().get(), tensor.raw(), tensor.byte_size());
      return memory.back().get();
    };
    step.attach(session);
    std::vector<const std::byte*> in;
    for (size_t i = 0; i < inputs.size(); ++i)
      in.push_back(has(i) && !is_constant[i] ? place(inputs[i]) : nullptr);
    Tensor y(types.at(0).dtype, *types.at(0).shape);
    std::memset(y.mutable_raw(), 0x5A, y.byte_size());
    std::byte* out = place(y);
    const auto scratch = session.allocate(step.scratch_bytes());
    const auto counters = session.allocate(step.counter_bytes());
    ThreadTeam team(1);
    session.wait();
    step.run(
        {in, std::span<std::byte* const>(&out, 1), scratch.get(), team, nullptr, &session, counters.get()});
    session.download(y.mutable_raw(), out, y.byte_size());
    session.wait();
    return y;
  }
};

}  // namespace kvant::backends
