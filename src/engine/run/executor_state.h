// SPDX-License-Identifier: Apache-2.0
// What an Engine is made of; for the files that implement it: load_steps.cc (plan to steps and memory),
// places.cc (where inputs and outputs lie), run_steps.cc, executor.cc (its face).
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/run/device_memory.h"
#include "engine/run/executor.h"
#include "engine/run/images_apart.h"
#include "engine/run/memory.h"
#include "engine/run/probes.h"
#include "engine/run/stretches.h"
#include "engine/run/team.h"

namespace kvant::engine {

// A step with the pointers that it runs over.
struct Loaded {
  std::unique_ptr<Step> step;  // none for views
  const Step* next = nullptr;  // whose constants it may prefetch
  std::vector<const std::byte*> inputs;
  std::vector<std::byte*> outputs;
  int64_t nanoseconds = 0;
  size_t memory = kHost;
};

// The steps of a stretch on a device as one recording, once they ran.
struct Replayed {
  bool ran = false;
  std::unique_ptr<Recording> recording;
};

struct Watched {
  std::string name;
  Probe probe;
  ir::ValueId value;
};

// Where an input or output of the graph lies this time.
struct Given {
  std::byte* data = nullptr;
  size_t memory = kHost;
  bool pinned = false;
  bool operator==(const Given&) const = default;
};

// A place whose pointer changes with every run.
struct Slot {
  size_t step;
  size_t index;
  bool output;
};

struct Engine::State {
  Plan plan;
  std::vector<const Backend*> backends;
  std::unique_ptr<SpinningTeam> own_team;
  Team& team;
  std::unique_ptr<ImagesApart> apart;  // runs the batch, unless someone watches
  bool gathered = false;               // packed constants of the host lie in memory of ours
  bool loaded = false;                 // the steps below
  std::vector<ir::ValueId> roots;
  std::vector<Loaded> steps;
  std::shared_ptr<Memory> arena, scratch;
  std::vector<std::byte*> places;             // by value: in the arena, or nullptr
  std::vector<std::vector<Slot>> slots;       // by root value that is an input or output of the graph
  std::vector<std::vector<Watched>> watched;  // by value
  std::vector<Given> given;                   // by value that is an input or output of the graph
  std::map<ir::ValueId, std::unique_ptr<Memory>>
      landings;                                    // on the host, of those that are given on a device
  std::vector<size_t> stretch_of;                  // by step
  std::map<std::string, size_t> memory_numbers;    // by backend
  std::vector<std::shared_ptr<Session>> sessions;  // of memory 1 and on
  std::vector<std::unique_ptr<DeviceMemory>> devices;
  Stretches stretches;
  std::vector<Replayed> replayed;  // by stretch
  bool profiling = false;
  int64_t runs = 0;

  State(Plan p, std::span<const Backend* const> known, const EngineOptions& options)
      : plan(std::move(p)),
        backends(known.begin(), known.end()),
        own_team(options.team != nullptr
                     ? nullptr
                     : std::make_unique<SpinningTeam>(
                           std::max(1, options.threads > 0 ? options.threads : plan.threads), options.pin,
                           options.spin ? Waiting::Spin : Waiting::Sleep)),
        team(options.team != nullptr ? *options.team : *own_team),
        watched(plan.graph.value_capacity()) {}

  const ir::Graph& graph() const { return plan.graph; }
  // An input that stands for a constant which lives in packed form.
  bool packed_away(ir::ValueId id) const {
    const auto inputs = graph().inputs().subspan(plan.input_count);
    return std::ranges::find(inputs, id) != inputs.end();
  }
  // Whether observers can see the value: made by a step, or an input of the network.
  bool shown(ir::ValueId id) const {
    if (id == ir::kNone || graph().value(id).erased || graph().is_constant(id)) return false;
    const auto inputs = graph().inputs().first(plan.input_count);
    return graph().value(id).producer != ir::kNone || std::ranges::find(inputs, id) != inputs.end();
  }
  size_t root(ir::ValueId id) const { return static_cast<size_t>(roots[static_cast<size_t>(id)]); }

  DeviceMemory* device(size_t memory) const { return memory == kHost ? nullptr : devices[memory - 1].get(); }
  size_t memory_of(const Backend& backend);
  void open_memories();
  void gather_constants();
  void start(const EngineOptions& options, const State* origin);
  void load(const State* origin = nullptr);
  void load_step(size_t index, const State* origin);
  void place();
  void place_on_devices();
  std::byte* place_of(size_t memory, ir::ValueId root) const;
  void bind_step(size_t index);
  size_t memory_named(std::string_view backend) const;
  std::byte* host_of(ir::ValueId root);
  const std::byte* fetch(ir::ValueId root);
  void put(const Given& place, const std::byte* host, ir::ValueId id);
  bool wanted_on_host(ir::ValueId root, size_t memory) const;
  bool made_in(ir::ValueId root, size_t memory) const;
  bool is_input(ir::ValueId id) const;
  void set_place(ir::ValueId root, const Given& place);
  void take_inputs(std::span<const Place> inputs, const Observer& observer);
  void give_outputs(std::span<const Place> outputs);
  void run_whole(std::span<const Place> inputs, std::span<const Place> outputs, const Observer& observer);
  void run_through(std::span<const Place> inputs, std::span<const Place> outputs, const Observer& observer);
  void check_inputs(std::span<const Tensor> inputs) const;
  void show(ir::ValueId id, const std::byte* data, const Observer& observer, size_t memory = kHost) const;
  void bring(const std::vector<Move>& moves);
  void wait_for_devices();
  void run_stretch(size_t index, const Observer& observer);
  void run_steps(const Stretch& stretch, const Observer& observer);
  void run_step(size_t index);
  void observe_step(size_t index, const Observer& observer) const;
};

}  // namespace kvant::engine
