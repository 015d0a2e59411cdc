// SPDX-License-Identifier: Apache-2.0
// One run of an engine's steps, stretch by stretch.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "engine/run/executor_state.h"

namespace kvant::engine {
namespace {

constexpr int kRepeats = 20;  // of a step whose time on a device is wanted

}  // namespace

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
  const RunArgs args{.inputs = loaded.inputs,
                     .outputs = loaded.outputs,
                     .scratch = on != nullptr ? on->scratch() : scratch->data(),
                     .team = team,
                     .next = loaded.next,
                     .session = on != nullptr ? &on->session() : nullptr,
                     .counters = on != nullptr ? on->counters() : nullptr};
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
    const Given& place = given[static_cast<size_t>(move.value)];
    const bool there = place.data != nullptr && place.memory != kHost;
    if (move.to == kHost) {
      device(move.from)->download(move.value, host_of(move.value), place.pinned);
      landing = true;
      continue;
    }
    if (there && place.memory == move.to && is_input(move.value)) continue;
    if (landing) wait_for_devices();  // what goes up may just have come down
    landing = false;
    device(move.to)->upload(move.value, host_of(move.value), place.pinned);
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

void Engine::State::run_whole(std::span<const Place> inputs, std::span<const Place> outputs,
                              const Observer& observer) {
  if (!loaded) load();
  try {
    for (const auto& on : devices) on->begin();
    run_through(inputs, outputs, observer);
  } catch (...) {
    for (const auto& on : devices) on->abandon();
    throw;
  }
}

void Engine::State::run_through(std::span<const Place> inputs, std::span<const Place> outputs,
                                const Observer& observer) {
  take_inputs(inputs, observer);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ir::ValueId id = graph().outputs()[i];
    if (graph().is_constant(id) || is_input(id)) continue;
    set_place(id, {outputs[i].data, memory_named(outputs[i].backend), outputs[i].pinned});
  }
  for (size_t i = 0; i < stretches.stretches.size(); ++i) run_stretch(i, observer);
  std::vector<Move> results;
  for (const Move& move : stretches.results) {
    if (given[static_cast<size_t>(move.value)].memory != move.from) results.push_back(move);
  }
  bring(results);
  wait_for_devices();
  give_outputs(outputs);
}

}  // namespace kvant::engine
