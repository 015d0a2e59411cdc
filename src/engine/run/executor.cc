// SPDX-License-Identifier: Apache-2.0
#include "engine/run/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <ranges>
#include <set>

#include "base/error.h"
#include "base/nearest.h"
#include "engine/run/device_memory.h"
#include "engine/run/memory.h"
#include "engine/run/probes.h"
#include "engine/run/stretches.h"
#include "engine/run/team.h"

namespace kvant::engine {
namespace {

constexpr int kRepeats = 20;  // of a step whose time on a device is wanted

const Backend* find_backend(std::span<const Backend* const> backends, const std::string& name) {
  for (const Backend* backend : backends) {
    if (backend->name() == name) return backend;
  }
  fail("the plan needs the backend '{}', which this build of kvant does not have", name);
}

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

// A place whose pointer changes with every run.
struct Slot {
  size_t step;
  size_t index;
  bool output;
};

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

struct Engine::State {
  Plan plan;
  std::vector<const Backend*> backends;
  SpinningTeam team;
  std::vector<ir::ValueId> roots;
  std::vector<Loaded> steps;
  std::shared_ptr<Memory> arena, scratch, constants;
  std::vector<std::byte*> places;                  // by value: in the arena, or nullptr
  std::vector<std::vector<Slot>> slots;            // by root value that is an input or output of the graph
  std::vector<std::vector<Watched>> watched;       // by value
  std::vector<std::byte*> given;                   // by value, inputs and outputs: where it lies this time
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
        team(std::max(1, options.threads > 0 ? options.threads : plan.threads), options.pin,
             options.spin ? Waiting::Spin : Waiting::Sleep) {}

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
  void load();
  void load_step(size_t index);
  void place();
  void place_on_devices();
  std::byte* place_of(size_t memory, ir::ValueId root) const;
  void bind_step(size_t index);
  void set_slots(ir::ValueId id, const std::byte* pointer);
  void check_inputs(std::span<const Tensor> inputs) const;
  void show(ir::ValueId id, const std::byte* data, const Observer& observer, size_t memory = kHost) const;
  void bring(const std::vector<Move>& moves);
  void wait_for_devices();
  void run_stretch(size_t index, const Observer& observer);
  void run_steps(const Stretch& stretch, const Observer& observer);
  void run_step(size_t index);
  void observe_step(size_t index, const Observer& observer) const;
};

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
  constants = std::make_shared<Memory>(bytes);
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

void Engine::State::load_step(size_t index) {
  const PlanStep& step = plan.steps[index];
  Loaded& loaded = steps[index];
  const ir::Node& node = graph().node(step.node);
  noting(
      [&] {
        return fmt::format("while loading {} '{}' ({}:{})", node.op, node.name, step.backend, step.tactic);
      },
      [&] {
        loaded.step = find_backend(backends, step.backend)
                          ->load(view_of(graph(), step.node, plan.threads), step.tactic, step.packed);
        if (loaded.memory != kHost) loaded.step->attach(*sessions[loaded.memory - 1]);
      });
}

// The packed constants stay with the plan for further contexts, whose constants these are then.
void Engine::State::load() {
  open_memories();
  if (constants == nullptr) gather_constants();
  for (size_t i = 0; i < steps.size(); ++i) {
    if (plan.steps[i].backend != kView) load_step(i);
  }
  const Step* next = nullptr;
  for (Loaded& loaded : steps | std::views::reverse) {
    loaded.next = next;
    if (loaded.step && !loaded.step->first_reads(0, 1).empty()) next = loaded.step.get();
  }
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
  given.assign(values, nullptr);
  slots.resize(values);
  watched.resize(values);
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
    size_t scratch_bytes = 0;
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
      if (steps[i].step) scratch_bytes = std::max(scratch_bytes, steps[i].step->scratch_bytes());
    }
    devices.push_back(std::make_unique<DeviceMemory>(sessions[number - 1], plan, ends, scratch_bytes));
  }
}

std::byte* Engine::State::place_of(size_t memory, ir::ValueId id) const {
  return memory == kHost ? places[static_cast<size_t>(id)] : device(memory)->place(id);
}

// Pointers of one step: fixed ones now, those of graph inputs and outputs on the host at every run.
void Engine::State::bind_step(size_t index) {
  const ir::Node& node = graph().node(plan.steps[index].node);
  Loaded& loaded = steps[index];
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ir::ValueId id = node.inputs[i];
    loaded.inputs.push_back(nullptr);
    if (id == ir::kNone || graph().is_constant(id)) continue;
    loaded.inputs.back() = place_of(loaded.memory, static_cast<ir::ValueId>(root(id)));
    if (loaded.inputs.back() == nullptr) slots[root(id)].push_back({index, i, false});
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ir::ValueId id = node.outputs[i];
    loaded.outputs.push_back(nullptr);
    if (id == ir::kNone) continue;
    loaded.outputs.back() = place_of(loaded.memory, static_cast<ir::ValueId>(root(id)));
    if (loaded.outputs.back() == nullptr) slots[root(id)].push_back({index, i, true});
  }
}

void Engine::State::set_slots(ir::ValueId id, const std::byte* pointer) {
  given[static_cast<size_t>(id)] = const_cast<std::byte*>(pointer);
  for (const Slot& slot : slots[static_cast<size_t>(id)]) {
    Loaded& loaded = steps[slot.step];
    if (slot.output) {
      loaded.outputs[slot.index] = const_cast<std::byte*>(pointer);
    } else {
      loaded.inputs[slot.index] = pointer;
    }
  }
}

void Engine::State::check_inputs(std::span<const Tensor> inputs) const {
  if (inputs.size() != plan.input_count)
    fail("the plan takes {} inputs, not {}", plan.input_count, inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Value& value = graph().value(graph().inputs()[i]);
    if (inputs[i].dtype() == value.type.dtype && inputs[i].shape() == *value.type.shape) continue;
    fail("input '{}' of the plan takes {} {}, not {} {}: build a plan for that shape", value.name,
         name(value.type.dtype), kvant::to_string(*value.type.shape), name(inputs[i].dtype()),
         kvant::to_string(inputs[i].shape()));
  }
}

void Engine::State::show(ir::ValueId id, const std::byte* data, const Observer& observer,
                         size_t memory) const {
  const auto& list = watched[static_cast<size_t>(id)];
  if (list.empty()) return;
  const ir::Type& type = graph().value(id).type;
  Tensor stored(type.dtype, *type.shape);
  if (stored.byte_size() > 0 && memory != kHost) {
    device(memory)->session().download(stored.mutable_raw(), data, stored.byte_size());
    device(memory)->session().wait();
  } else if (stored.byte_size() > 0) {
    std::memcpy(stored.mutable_raw(), data, stored.byte_size());
  }
  for (const Watched& w : list) observer(w.name, restore(w.probe, stored));
}

void Engine::State::run_step(size_t index) {
  Loaded& loaded = steps[index];
  if (!loaded.step) return;
  const DeviceMemory* on = device(loaded.memory);
  const RunArgs args{loaded.inputs, loaded.outputs, on != nullptr ? on->scratch() : scratch->data(),
                     team,          loaded.next,    on != nullptr ? &on->session() : nullptr};
  if (!profiling) {
    loaded.step->run(args);
    return;
  }
  if (on != nullptr) {
    loaded.nanoseconds += on->session().time([&] { loaded.step->run(args); }, kRepeats);
    return;
  }
  const auto start = std::chrono::steady_clock::now();
  loaded.step->run(args);
  loaded.nanoseconds +=
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
}

void Engine::State::wait_for_devices() {
  for (const auto& on : devices) on->wait();
}

void Engine::State::bring(const std::vector<Move>& moves) {
  bool landing = false;
  for (const Move& move : moves) {
    const auto i = static_cast<size_t>(move.value);
    std::byte* host = given[i] != nullptr ? given[i] : places[i];
    if (move.to == kHost) {
      device(move.from)->download(move.value, host);
      landing = true;
      continue;
    }
    if (landing) wait_for_devices();  // what goes up may just have come down
    landing = false;
    device(move.to)->upload(move.value, host);
  }
  if (landing) wait_for_devices();
}

void Engine::State::run_steps(const Stretch& stretch, const Observer& observer) {
  for (size_t i = stretch.first; i <= stretch.last; ++i) {
    run_step(i);
    if (observer) observe_step(i, observer);
  }
}

// On a device the first run is step by step (kernels are loaded then), the second is recorded.
void Engine::State::run_stretch(size_t index, const Observer& observer) {
  const Stretch& stretch = stretches.stretches[index];
  bring(stretch.moves);
  DeviceMemory* on = device(stretch.memory);
  if (on == nullptr) {
    wait_for_devices();  // copies may still read what the host writes next
    return run_steps(stretch, observer);
  }
  on->note_work();
  Replayed& kept = replayed[index];
  if (profiling || observer || !kept.ran) {
    run_steps(stretch, observer);
    kept.ran = true;
    return;
  }
  if (!kept.recording) kept.recording = on->session().record([&] { run_steps(stretch, {}); });
  kept.recording->replay();
}

void Engine::State::observe_step(size_t index, const Observer& observer) const {
  const ir::Node& node = graph().node(plan.steps[index].node);
  const Loaded& loaded = steps[index];
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == ir::kNone) continue;
    // A view's own outputs are not bound: it shows what its input holds.
    show(node.outputs[i], loaded.step ? loaded.outputs[i] : loaded.inputs[0], observer, loaded.memory);
  }
}

Engine::Engine(Plan plan, std::span<const Backend* const> backends, const EngineOptions& options) {
  state_ = std::make_unique<State>(std::move(plan), backends, options);
  state_->load();
  state_->place();
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Engine Engine::context(const EngineOptions& options) const {
  auto state = std::make_unique<State>(state_->plan, state_->backends, options);
  state->constants = state_->constants;
  state->load();
  state->place();
  return Engine(std::move(state));
}

const Plan& Engine::plan() const { return state_->plan; }
int Engine::threads() const { return state_->team.size(); }
void Engine::on_each_thread(const std::function<void(int, int)>& fn) { state_->team.run(fn); }

std::vector<std::string> Engine::watchable() const {
  const ir::Graph& graph = state_->graph();
  std::vector<std::string> names;
  for (const auto& [original, probe] : probes_of(graph)) {
    if (state_->shown(graph.find_value(probe.value))) names.push_back(original);
  }
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const auto id = static_cast<ir::ValueId>(i);
    if (state_->shown(id)) names.push_back(graph.value(id).name);
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void Engine::watch(std::vector<std::string> names) {
  State& s = *state_;
  for (auto& list : s.watched) list.clear();
  const auto probes = probes_of(s.graph());
  const std::vector<std::string> known = watchable();
  for (std::string& name : names) {
    if (!std::ranges::binary_search(known, name)) {
      fail("the plan holds no tensor '{}'{}", name, nearest_hint(name, known));
    }
    const auto found = probes.find(name);
    const bool probed = found != probes.end() && s.shown(s.graph().find_value(found->second.value));
    Probe probe = probed ? found->second : Probe{.value = name, .permutation = {}, .offset = 0};
    const ir::ValueId id = s.graph().find_value(probe.value);
    s.watched[static_cast<size_t>(id)].push_back({std::move(name), std::move(probe), id});
  }
}

std::vector<Tensor> Engine::run(std::span<const Tensor> inputs, const Observer& observer) {
  State& s = *state_;
  s.check_inputs(inputs);
  const ir::Graph& graph = s.graph();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::ValueId id = graph.inputs()[i];
    s.set_slots(id, inputs[i].raw());
    if (observer) s.show(id, inputs[i].raw(), observer);
  }
  std::vector<Tensor> outputs;
  outputs.reserve(graph.outputs().size());
  for (const ir::ValueId id : graph.outputs()) {
    const ir::Type& type = graph.value(id).type;
    const Tensor* constant = graph.constant(id);
    const auto input = std::find(graph.inputs().begin(), graph.inputs().end(), id);
    if (constant != nullptr) {
      outputs.push_back(*constant);
    } else if (input != graph.inputs().end()) {
      outputs.push_back(inputs[static_cast<size_t>(input - graph.inputs().begin())]);
    } else {
      outputs.emplace_back(type.dtype, *type.shape);
      s.set_slots(id, outputs.back().mutable_raw());
    }
  }
  for (size_t i = 0; i < s.stretches.stretches.size(); ++i) s.run_stretch(i, observer);
  s.bring(s.stretches.results);
  s.wait_for_devices();
  if (s.profiling) ++s.runs;
  // A value listed twice was written to its last place.
  for (size_t i = 0; i < outputs.size(); ++i) {
    for (size_t j = outputs.size() - 1; j > i; --j) {
      if (graph.outputs()[j] != graph.outputs()[i]) continue;
      outputs[i] = outputs[j];
      break;
    }
  }
  return outputs;
}

void Engine::set_profiling(bool on) {
  state_->profiling = on;
  if (!on) return;
  state_->runs = 0;
  for (Loaded& step : state_->steps) step.nanoseconds = 0;
}

Copies Engine::copies() const {
  Copies copies;
  const auto add = [&](const std::vector<Move>& moves) {
    for (const Move& move : moves) {
      ++copies.count;
      copies.bytes += static_cast<int64_t>(value_bytes(state_->graph(), move.value));
    }
  };
  for (const Stretch& stretch : state_->stretches.stretches) add(stretch.moves);
  add(state_->stretches.results);
  return copies;
}

int64_t Engine::replay_nanoseconds() {
  int64_t total = 0;
  for (size_t i = 0; i < state_->replayed.size(); ++i) {
    Recording* recording = state_->replayed[i].recording.get();
    if (recording == nullptr) continue;
    total += state_->device(state_->stretches.stretches[i].memory)
                 ->session()
                 .time([&] { recording->replay(); }, 1);
  }
  return total;
}

std::vector<LayerTime> Engine::profile() const {
  std::vector<LayerTime> result;
  for (size_t i = 0; i < state_->steps.size(); ++i) {
    const PlanStep& step = state_->plan.steps[i];
    const ir::Node& node = state_->graph().node(step.node);
    result.push_back({.node = node.name,
                      .op = node.op,
                      .backend = step.backend,
                      .tactic = step.tactic,
                      .fallback = step.fallback,
                      .sources = node.sources,
                      .nanoseconds = state_->steps[i].nanoseconds,
                      .runs = state_->runs});
  }
  return result;
}

}  // namespace kvant::engine
