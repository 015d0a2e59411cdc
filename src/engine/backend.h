// SPDX-License-Identifier: Apache-2.0
// The seam between the engine and a device. The engine knows this interface; the CLI hands in the list of
// backends. A node is compiled in two stages, so that a plan holds data only: at build the backend names its
// tactics and packs constants for one of them; at load it makes a Step from the node, the tactic's name and
// the packed constants.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/session.h"
#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::engine {

// "Not applicable here", with its reason; converts to true when it is.
struct Support {
  std::string reason;  // empty: supported
  explicit operator bool() const { return reason.empty(); }
};

// A node of the lowered graph with static types and its constant inputs.
struct NodeView {
  const ir::Node& node;
  std::vector<ir::Type> inputs;  // of an absent optional input: no shape
  std::vector<ir::Type> outputs;
  std::vector<const Tensor*> constants;  // by input; nullptr when not constant (or, at load, packed away)
  int threads = 1;                       // the plan's

  bool has(size_t i) const { return i < node.inputs.size() && node.inputs[i] != ir::kNone; }
};

// The threads that run a plan: fn(thread, threads) runs once on each, the caller included; returns when all
// are done.
class Team {
 public:
  virtual ~Team() = default;
  virtual int size() const = 0;
  virtual void run(const std::function<void(int thread, int threads)>& fn) = 0;
};

class Step;

struct RunArgs {
  std::span<const std::byte* const> inputs;  // by node input; nullptr when absent or packed away
  std::span<std::byte* const> outputs;
  std::byte* scratch;  // scratch_bytes() of it, 64-byte aligned
  Team& team;
  const Step* next = nullptr;  // the next one with first_reads(), for prefetching
  Session* session = nullptr;  // of a step on a device, in whose memory all pointers above lie
  // counter_bytes() of it, which are zero when its work begins and which its work leaves zero.
  std::byte* counters = nullptr;
};

// A node made runnable. All that can fail was checked when it was made; run() allocates nothing (the
// reference fallback excepted) and may be called from one thread at a time.
class Step {
 public:
  virtual ~Step() = default;
  virtual size_t scratch_bytes() const { return 0; }
  // Of a step on a device whose blocks wait for each other by counting. The steps of an engine share them;
  // engines that run at once have their own.
  virtual size_t counter_bytes() const { return 0; }
  // Of a step on a device, once before its first run: constants go where it reads them.
  virtual void attach(Session& /*session*/) {}
  // Of an attached step on a device: another one for another session there, which reads the same constants.
  // It may outlive this one and the graph that this one was loaded for. nullptr: the host's.
  virtual std::unique_ptr<Step> twin() const { return nullptr; }
  // The constants that it reads first on a thread, so that the step before can bring them near.
  virtual std::span<const std::byte> first_reads(int /*thread*/, int /*threads*/) const { return {}; }
  // On a device: queues the work.
  virtual void run(const RunArgs& args) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "cpu", "reference", "cuda"
  // Tactics that can run the node on this machine, the likely best first. Empty: none, and `why` says which
  // constraint failed.
  virtual std::vector<std::string> tactics(const NodeView& node, std::string& why) const = 0;
  // Constants in the form this tactic reads. They replace all constant inputs of the node in the plan.
  virtual std::vector<Tensor> pack(const NodeView& node, std::string_view tactic) const = 0;
  // Fails (Error) if the tactic is unknown here or the packed constants do not fit: plans are untrusted.
  virtual std::unique_ptr<Step> load(const NodeView& node, std::string_view tactic,
                                     std::vector<Tensor> packed) const = 0;

  // Whether steps of the tactic compute on the threads of their team only, and not on a library's own.
  virtual bool runs_on_team(std::string_view /*tactic*/) const { return true; }

  // A queue of its own on the device whose memory the steps read and write; nullptr: they run on the host.
  // Steps on a device have twins and need no packed constants on the host once they are attached.
  virtual std::shared_ptr<Session> open() const { return nullptr; }
  // What a machine must offer for plans built here, beside an instruction set: a word that plans keep
  // ("sm_90"). Empty: nothing.
  virtual std::string needs() const { return {}; }
  // Fails with one sentence when this machine does not offer what a plan needs.
  virtual void check(std::string_view /*needs*/) const {}
  // The processor, for timings kept between builds; empty: this CPU.
  virtual std::string processor() const { return {}; }
  // Whether tactics can be told apart by a clock. If not, the first one stands.
  virtual bool has_clock() const { return true; }
};

}  // namespace kvant::engine
