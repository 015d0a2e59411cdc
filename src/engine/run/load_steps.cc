// SPDX-License-Identifier: Apache-2.0
// From a plan to steps with the pointers that they run over.
#include <algorithm>
#include <cstring>
#include <ranges>
#include <set>

#include "base/error.h"
#include "engine/run/executor_state.h"

namespace kvant::engine {
namespace {

const Backend* find_backend(std::span<const Backend* const> backends, const std::string& name) {
  for (const Backend* backend : backends) {
    if (backend->name() == name) return backend;
  }
  fail("the plan needs the backend '{}', which this build of kvant does not have", name);
}

}  // namespace

NodeView view_of(const ir::Graph& graph, ir::NodeId id, int threads) {
  const ir::Node& node = graph.node(id);
  NodeView view{.node = node, .inputs = {}, .outputs = {}, .constants = {}, .threads = threads};
  for (const ir::ValueId input : node.inputs) {
    view.inputs.push_back(input == ir::kNone ? ir::Type{} : graph.value(input).type);
    view.constants.push_back(graph.constant(input));
  }
  for (const ir::ValueId output : node.outputs) {
    view.outputs.push_back(output == ir::kNone ? ir::Type{} : graph.value(output).type);
  }
  return view;
}

size_t Engine::State::memory_of(const Backend& backend) {
  const auto known = memory_numbers.find(std::string(backend.name()));
  if (known != memory_numbers.end()) return known->second;
  std::shared_ptr<Session> session = backend.open();
  if (session) sessions.push_back(session);
  return memory_numbers[std::string(backend.name())] = session ? sessions.size() : kHost;
}

// Which memory each step runs in. A view is in the one where what it shows was made.
void Engine::State::open_memories() {
  for (const auto& [backend, what] : plan.needs) find_backend(backends, backend)->check(what);
  roots = storage_roots(plan);
  std::map<ir::ValueId, size_t> home;
  steps.resize(plan.steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    const ir::Node& node = graph().node(plan.steps[i].node);
    if (plan.steps[i].backend == kView) {
      steps[i].memory = home[static_cast<ir::ValueId>(root(node.inputs[0]))];
      continue;
    }
    steps[i].memory = memory_of(*find_backend(backends, plan.steps[i].backend));
    for (const ir::ValueId output : node.outputs) home[output] = steps[i].memory;
  }
}

// All packed constants of the host side by side in the order in which they are read: in large pages, which a
// mapped file has not.
void Engine::State::gather_constants() {
  const auto aligned = [](size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; };
  size_t bytes = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].memory != kHost) continue;
    for (const Tensor& tensor : plan.steps[i].packed) bytes += aligned(tensor.byte_size());
  }
  const auto constants = std::make_shared<Memory>(bytes);
  std::byte* at = constants->data();
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].memory != kHost) continue;
    for (Tensor& tensor : plan.steps[i].packed) {
      if (tensor.byte_size() == 0) continue;
      std::memcpy(at, tensor.raw(), tensor.byte_size());
      tensor = Tensor(tensor.dtype(), tensor.shape(), std::shared_ptr<const std::byte>(constants, at));
      at += aligned(tensor.byte_size());
    }
  }
}

void Engine::State::load_step(size_t index, const State* origin) {
  PlanStep& step = plan.steps[index];
  Loaded& loaded = steps[index];
  if (origin != nullptr && loaded.memory != kHost) {
    loaded.step = origin->steps[index].step->twin();
    return;
  }
  const ir::Node& node = graph().node(step.node);
  noting(
      [&] {
        return fmt::format("while loading {} '{}' ({}:{})", node.op, node.name, step.backend, step.tactic);
      },
      [&] {
        loaded.step = find_backend(backends, step.backend)
                          ->load(view_of(graph(), step.node, plan.threads), step.tactic, step.packed);
        if (loaded.memory == kHost) return;
        loaded.step->attach(*sessions[loaded.memory - 1]);
        step.packed.clear();
      });
}

// `origin`: an engine whose context this one is; nullptr: none.
void Engine::State::start(const EngineOptions& options, const State* origin) {
  open_memories();
  if (origin != nullptr) {
    gathered = origin->gathered;
    if (origin->apart && options.images_apart) apart = origin->apart->context(plan, team);
  } else if (options.images_apart &&
             std::ranges::all_of(steps, [](const Loaded& step) { return step.memory == kHost; })) {
    apart = ImagesApart::of(plan, backends, team);
    if (apart) {
      for (size_t i = 0; i < steps.size(); ++i) plan.steps[i].packed = apart->plan().steps[i].packed;
      gathered = true;
    }
  }
  if (!apart) load(origin);
}

// The host's packed constants stay with the plan for further contexts, whose constants these are then. Those
// of a device stay there.
void Engine::State::load(const State* origin) {
  if (!gathered) gather_constants();
  gathered = true;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (plan.steps[i].backend != kView) load_step(i, origin);
  }
  const Step* next = nullptr;
  for (Loaded& loaded : steps | std::views::reverse) {
    loaded.next = next;
    if (loaded.step && !loaded.step->first_reads(0, 1).empty()) next = loaded.step.get();
  }
  place();
  loaded = true;
}

void Engine::State::place() {
  check_memory(plan);
  size_t scratch_bytes = 0, on_host = 0;
  std::vector<size_t> memories;
  for (const Loaded& loaded : steps) {
    memories.push_back(loaded.memory);
    if (loaded.memory != kHost || !loaded.step) continue;
    ++on_host;
    scratch_bytes = std::max(scratch_bytes, loaded.step->scratch_bytes());
  }
  scratch = std::make_shared<Memory>(scratch_bytes);
  arena = std::make_shared<Memory>(on_host > 0 || sessions.size() > 1 ? plan.arena_bytes : 0);
  stretches = stretches_of(plan, memories);
  replayed.resize(stretches.stretches.size());
  const size_t values = graph().value_capacity();
  places.assign(values, nullptr);
  given.assign(values, {});
  stretch_of.assign(steps.size(), 0);
  for (size_t i = 0; i < stretches.stretches.size(); ++i) {
    for (size_t step = stretches.stretches[i].first; step <= stretches.stretches[i].last; ++step)
      stretch_of[step] = i;
  }
  slots.resize(values);
  for (const auto& [id, range] : live_ranges(plan)) {
    const auto i = static_cast<size_t>(id);
    if (arena->data() != nullptr) places[i] = arena->data() + plan.offsets[i];
  }
  place_on_devices();
  for (size_t i = 0; i < steps.size(); ++i) bind_step(i);
}

void Engine::State::place_on_devices() {
  for (size_t number = 1; number <= sessions.size(); ++number) {
    std::set<ir::ValueId> ends;
    size_t scratch_bytes = 0, counter_bytes = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].memory != number) continue;
      const ir::Node& node = graph().node(plan.steps[i].node);
      for (const auto& ids : {node.inputs, node.outputs}) {
        for (const ir::ValueId id : ids) {
          if (id == ir::kNone || graph().is_constant(id)) continue;
          const auto at = static_cast<ir::ValueId>(root(id));
          if (plan.offsets[root(id)] == kNoOffset && !packed_away(at)) ends.insert(at);
        }
      }
      if (!steps[i].step) continue;
      scratch_bytes = std::max(scratch_bytes, steps[i].step->scratch_bytes());
      counter_bytes = std::max(counter_bytes, steps[i].step->counter_bytes());
    }
    devices.push_back(
        std::make_unique<DeviceMemory>(sessions[number - 1], plan, ends, scratch_bytes, counter_bytes));
  }
}

std::byte* Engine::State::place_of(size_t memory, ir::ValueId id) const {
  return memory == kHost ? places[static_cast<size_t>(id)] : device(memory)->place(id);
}

// Pointers of one step: fixed ones now, those of graph inputs and outputs at every run.
void Engine::State::bind_step(size_t index) {
  const ir::Node& node = graph().node(plan.steps[index].node);
  Loaded& loaded = steps[index];
  const auto bind = [&](ir::ValueId id, size_t i, bool output) {
    const auto at = static_cast<ir::ValueId>(root(id));
    if (plan.offsets[root(id)] == kNoOffset && !packed_away(at))
      slots[root(id)].push_back({index, i, output});
    return place_of(loaded.memory, at);
  };
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ir::ValueId id = node.inputs[i];
    const bool none = id == ir::kNone || graph().is_constant(id);
    loaded.inputs.push_back(none ? nullptr : bind(id, i, false));
  }
  for (size_t i = 0; i < node.outputs.size(); ++i)
    loaded.outputs.push_back(node.outputs[i] == ir::kNone ? nullptr : bind(node.outputs[i], i, true));
}

}  // namespace kvant::engine
