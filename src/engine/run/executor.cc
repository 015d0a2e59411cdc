// SPDX-License-Identifier: Apache-2.0
#include "engine/run/executor.h"

#include <algorithm>

#include "base/error.h"
#include "base/nearest.h"
#include "engine/run/executor_state.h"

namespace kvant::engine {

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

Engine::Engine(Plan plan, std::span<const Backend* const> backends, const EngineOptions& options) {
  state_ = std::make_unique<State>(std::move(plan), backends, options);
  state_->start(options, nullptr);
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Engine Engine::context(const EngineOptions& options) const {
  auto state = std::make_unique<State>(state_->plan, state_->backends, options);
  state->start(options, state_.get());
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
  state_->check_inputs(inputs);
  const ir::Graph& graph = state_->graph();
  const auto place_in = [](auto ids, ir::ValueId id) {
    return static_cast<size_t>(std::find(ids.begin(), ids.end(), id) - ids.begin());
  };
  std::vector<Tensor> outputs;
  outputs.reserve(graph.outputs().size());
  std::vector<Place> from, to;
  for (const Tensor& input : inputs) from.push_back({const_cast<std::byte*>(input.raw())});
  for (const ir::ValueId id : graph.outputs()) {
    const ir::Type& type = graph.value(id).type;
    const size_t input = place_in(graph.inputs(), id), before = place_in(graph.outputs(), id);
    if (graph.is_constant(id)) {
      outputs.push_back(*graph.constant(id));
    } else if (input < inputs.size()) {
      outputs.push_back(inputs[input]);
    } else if (before < outputs.size()) {
      outputs.push_back(outputs[before]);
    } else {
      outputs.emplace_back(type.dtype, *type.shape);
      to.push_back({outputs.back().mutable_raw()});
      continue;
    }
    to.push_back(before < to.size() ? to[before] : Place{const_cast<std::byte*>(outputs.back().raw())});
  }
  run_at(from, to, observer);
  return outputs;
}

void Engine::run_at(std::span<const Place> inputs, std::span<const Place> outputs, const Observer& observer) {
  State& s = *state_;
  KVANT_CHECK(inputs.size() == s.plan.input_count && outputs.size() == s.graph().outputs().size(),
              "a place for each input and output");
  if (s.apart && !observer) {
    for (const auto& places : {inputs, outputs}) {
      for (const Place& place : places) s.memory_named(place.backend);
    }
    s.apart->run(inputs, outputs);
  } else {
    s.run_whole(inputs, outputs, observer);
  }
  if (s.profiling) ++s.runs;
}

std::shared_ptr<std::byte> Engine::allocate(std::string_view backend, size_t bytes) {
  const size_t memory = state_->memory_named(backend);
  if (memory != kHost) return state_->sessions[memory - 1]->allocate(bytes);
  auto own = std::make_shared<Memory>(bytes);
  return {own, own->data()};
}

int64_t Engine::images_apart() const { return state_->apart ? state_->apart->images() : 1; }

size_t Engine::arena_bytes() const {
  return (state_->apart ? state_->apart->arena_bytes() : 0) +
         (state_->arena && state_->arena->data() != nullptr ? state_->plan.arena_bytes : 0);
}

void Engine::set_profiling(bool on) {
  state_->profiling = on;
  if (state_->apart) state_->apart->set_profiling(on);
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
    DeviceMemory& on = *state_->device(state_->stretches.stretches[i].memory);
    on.begin();
    total += on.session().time([&] { recording->replay(); }, 1);
  }
  return total;
}

std::vector<LayerTime> Engine::profile() const {
  std::vector<LayerTime> result;
  std::vector<int64_t> apart(state_->steps.size());
  if (state_->apart) apart = state_->apart->nanoseconds();
  for (size_t i = 0; i < state_->steps.size(); ++i) {
    const PlanStep& step = state_->plan.steps[i];
    const ir::Node& node = state_->graph().node(step.node);
    result.push_back({.node = node.name,
                      .op = node.op,
                      .backend = step.backend,
                      .tactic = step.tactic,
                      .fallback = step.fallback,
                      .sources = node.sources,
                      .nanoseconds = state_->steps[i].nanoseconds + apart[i],
                      .runs = state_->runs});
  }
  return result;
}

}  // namespace kvant::engine
