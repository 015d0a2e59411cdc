// SPDX-License-Identifier: Apache-2.0
// A device for the engine's tests: memory of its own, work that happens when one waits for it, and the
// reference evaluation of the operators that it was given.
#pragma once

#include <cstring>
#include <map>
#include <set>

#include "engine/run/evaluating_backend_test.h"

namespace kvant::engine {

class FarSession final : public Session {
 public:
  struct Counts {
    int uploads = 0, downloads = 0, recordings = 0, replays = 0, waits = 0, steps = 0;
  };

  std::shared_ptr<std::byte> allocate(size_t bytes) override {
    if (bytes > limit) fail("far: not enough memory");
    std::shared_ptr<std::byte> memory(new std::byte[bytes + 1](), std::default_delete<std::byte[]>());
    blocks_[memory.get()] = bytes;
    return memory;
  }
  std::shared_ptr<std::byte> allocate_staging(size_t bytes) override {
    return {new std::byte[bytes + 1](), std::default_delete<std::byte[]>()};
  }
  void upload(std::byte* device, const std::byte* host, size_t bytes) override {
    check(device, bytes);
    ++counts.uploads;
    work_->push_back([=] { std::memcpy(device, host, bytes); });
  }
  void download(std::byte* host, const std::byte* device, size_t bytes) override {
    check(device, bytes);
    ++counts.downloads;
    work_->push_back([=] { std::memcpy(host, device, bytes); });
  }
  void wait() override {
    ++counts.waits;
    const auto work = std::move(*work_);
    work_->clear();
    for (const auto& item : work) item();
  }
  std::unique_ptr<Recording> record(const std::function<void()>& enqueue) override;
  int64_t time(const std::function<void()>& enqueue, int) override {
    wait();
    enqueue();
    wait();
    return 1000;
  }
  void queue(std::function<void()> fn) {
    ++counts.steps;
    work_->push_back(std::move(fn));
  }
  // Fails unless the bytes lie in memory of this session.
  void check(const std::byte* at, size_t bytes) const {
    auto block = blocks_.upper_bound(at);
    if (block == blocks_.begin()) fail("far: memory of the host");
    --block;
    if (at + bytes > block->first + block->second) fail("far: memory of the host");
  }

  Counts counts;
  size_t limit = size_t{1} << 30;

 private:
  using Work = std::vector<std::function<void()>>;
  struct Kept final : Recording {
    Kept(Work w, std::shared_ptr<Work> q, Counts& c) : work(std::move(w)), queue(std::move(q)), counts(c) {}
    void replay() override {
      ++counts.replays;
      queue->insert(queue->end(), work.begin(), work.end());
    }
    Work work;
    std::shared_ptr<Work> queue;
    Counts& counts;
  };

  std::shared_ptr<Work> work_ = std::make_shared<Work>();
  std::map<const std::byte*, size_t> blocks_;
};

inline std::unique_ptr<Recording> FarSession::record(const std::function<void()>& enqueue) {
  ++counts.recordings;
  Work before = std::move(*work_);
  work_->clear();
  enqueue();
  auto kept = std::make_unique<Kept>(std::move(*work_), work_, counts);
  *work_ = std::move(before);
  return kept;
}

// What the steps of a FarBackend have done.
struct FarWork {
  int uploads = 0;  // steps whose constants went to the device
  int failing = 0;  // the step that fails in the middle of its work, counted down; 0: none
  std::set<const std::byte*> counters;  // those that steps have used
};

// Counts in counters, as blocks do.
class FarStep final : public Step {
 public:
  static constexpr size_t kCounterBytes = 8;

  FarStep(const NodeView& view, std::vector<Tensor> packed, std::shared_ptr<FarWork> work)
      : inputs_(view.inputs),
        outputs_(view.outputs),
        work_(std::move(work)),
        node_(std::make_shared<ir::Node>(view.node)),
        step_(std::make_shared<EvaluatingStep>(
            NodeView{*node_, view.inputs, view.outputs, view.constants, view.threads}, std::move(packed))) {}
  void attach(Session&) override {
    attached_ = true;
    ++work_->uploads;
  }
  size_t counter_bytes() const override { return kCounterBytes; }
  std::unique_ptr<Step> twin() const override { return std::make_unique<FarStep>(*this); }
  void run(const RunArgs& args) override {
    auto& session = dynamic_cast<FarSession&>(*args.session);
    if (!attached_) fail("far: a step ran before its constants were there");
    std::vector<const std::byte*> inputs(args.inputs.begin(), args.inputs.end());
    std::vector<std::byte*> outputs(args.outputs.begin(), args.outputs.end());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] != nullptr) session.check(inputs[i], bytes_of(inputs_[i]));
    }
    for (size_t i = 0; i < outputs.size(); ++i) session.check(outputs[i], bytes_of(outputs_[i]));
    session.check(args.counters, kCounterBytes);
    session.queue([step = step_, work = work_, inputs, outputs, &team = args.team, counters = args.counters] {
      work->counters.insert(counters);
      for (size_t i = 0; i < kCounterBytes; ++i) {
        if (counters[i] != std::byte{0}) fail("far: a counter is not zero");
        counters[i] = std::byte{1};
      }
      if (work->failing > 0 && --work->failing == 0) fail("far: a step failed");
      step->run({inputs, outputs, nullptr, team});
      std::memset(counters, 0, kCounterBytes);
    });
  }

 private:
  static size_t bytes_of(const ir::Type& type) {
    return static_cast<size_t>(element_count(*type.shape)) * size_of(type.dtype);
  }
  std::vector<ir::Type> inputs_, outputs_;
  std::shared_ptr<FarWork> work_;
  std::shared_ptr<ir::Node> node_;
  std::shared_ptr<EvaluatingStep> step_;
  bool attached_ = false;
};

// Takes the operators of `takes`; all when that is empty.
class FarBackend final : public Backend {
 public:
  explicit FarBackend(std::set<std::string> takes = {}) : takes_(std::move(takes)) {}
  std::string_view name() const override { return "far"; }
  std::vector<std::string> tactics(const NodeView& view, std::string& why) const override {
    if (takes_.empty() || takes_.contains(view.node.op)) return {"plain"};
    why = "left to the host";
    return {};
  }
  std::vector<Tensor> pack(const NodeView& view, std::string_view tactic) const override {
    return plain_.pack(view, tactic);
  }
  std::unique_ptr<Step> load(const NodeView& view, std::string_view,
                             std::vector<Tensor> packed) const override {
    return std::make_unique<FarStep>(view, std::move(packed), work);
  }
  std::shared_ptr<Session> open() const override {
    return session = std::make_shared<FarSession>(*template_);
  }
  std::string needs() const override { return "distance_" + std::to_string(distance); }
  void check(std::string_view what) const override {
    if (what != needs()) fail("the plan was built for {} and this is {}", what, needs());
  }

  int distance = 7;
  mutable std::shared_ptr<FarSession> session;  // the last one opened
  std::shared_ptr<FarWork> work = std::make_shared<FarWork>();
  std::shared_ptr<FarSession> template_ = std::make_shared<FarSession>();

 private:
  std::set<std::string> takes_;
  EvaluatingBackend plain_;
};

}  // namespace kvant::engine
