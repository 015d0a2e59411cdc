// SPDX-License-Identifier: Apache-2.0
// A loaded plan: memory, threads and a runnable step for each node.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/plan/plan.h"
#include "ir/interpreter.h"

namespace kvant::engine {

struct EngineOptions {
  int threads = 0;   // 0: the plan's
  bool pin = false;  // keep each worker on one core
  bool spin =
      true;  // threads that wait for work do so for a while; else they sleep at once, for others' sake
  bool images_apart = true;  // batches may run image by image (engine/run/images_apart.h)
  Team* team = nullptr;  // threads of someone else, who outlives the engine, instead of `threads` own ones
};

// Where an input or an output of the network lies in one run: memory of the host, or of the device whose
// backend is named. What comes in must be there when the run begins (of a device: done, not only queued).
struct Place {
  std::byte* data = nullptr;
  std::string_view backend = {};  // "": the host
  bool pinned = false;            // of the host, allocated for copies (Session::allocate_staging)
};

// Time that one step took, summed over the runs since profiling was switched on.
struct LayerTime {
  std::string node;
  std::string op;
  std::string backend;
  std::string tactic;
  std::string fallback;  // why no backend before this one took it
  std::vector<std::string> sources;
  int64_t nanoseconds = 0;
  int64_t runs = 0;
};

// Between the host and devices in one run, inputs and outputs of the network included.
struct Copies {
  int64_t count = 0;
  int64_t bytes = 0;
};

// What a node looks like to a backend.
NodeView view_of(const ir::Graph& graph, ir::NodeId id, int threads);

// Runs on one thread at a time (with threads of its own to help); for more at once there are contexts.
class Engine final : public ir::Runner {
 public:
  // Loads every step; fails with the node when a tactic or its constants do not fit this machine's backends.
  Engine(Plan plan, std::span<const Backend* const> backends, const EngineOptions& options = {});
  ~Engine() override;
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Another context of the same plan, to run beside this one: threads and memory for tensors of its own, the
  // packed constants shared. May be called while this one runs, and outlive it; the backends outlive both.
  Engine context(const EngineOptions& options = {}) const;

  // Tensors of the original model that the lowered graph still holds (by probe), and values of the lowered
  // graph. Original names win; tensors come as the original model has them.
  void watch(std::vector<std::string> names) override;
  std::vector<std::string> watchable() const;
  // Inputs must have exactly the plan's types. Results are the same for every run with the same inputs.
  // Memory is allocated for the outputs only.
  std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer& observer = {}) override;

  // The same without checks of types and without allocation: by input and output of the plan where it lies,
  // each as large as its type. Inputs and outputs on a device are used where they lie by the steps there; a
  // network that is all there is recorded once for the same places. Fails when a place is on a device where
  // this engine runs nothing.
  void run_at(std::span<const Place> inputs, std::span<const Place> outputs, const Observer& observer = {});
  // Memory for a Place on that backend's device, as long as the caller keeps it.
  std::shared_ptr<std::byte> allocate(std::string_view backend, size_t bytes);

  // Images of the batch that are run one by one, each thread on images of its own; 1: steps take the batch.
  int64_t images_apart() const;
  // Memory on the host for tensors between steps.
  size_t arena_bytes() const;
  void set_profiling(bool on);
  std::vector<LayerTime> profile() const;
  Copies copies() const;
  // Runs what is on devices once more over the inputs of the last run, without copies, by the device's clock;
  // 0 when nothing is. After two runs that nobody watched.
  int64_t replay_nanoseconds();
  const Plan& plan() const;
  int threads() const;
  // Runs fn(thread, threads) once on each of the engine's threads, for measurements on the same cores.
  void on_each_thread(const std::function<void(int, int)>& fn);

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kvant::engine
