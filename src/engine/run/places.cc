// SPDX-License-Identifier: Apache-2.0
// Where inputs and outputs of the network lie in a run.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "engine/run/executor_state.h"

namespace kvant::engine {

size_t Engine::State::memory_named(std::string_view backend) const {
  if (backend.empty()) return kHost;
  const auto known = memory_numbers.find(std::string(backend));
  if (known == memory_numbers.end() || known->second == kHost) {
    fail(
        "an input or output lies on the device of '{}', where no step of the plan runs: give memory of the "
        "host",
        backend);
  }
  return known->second;
}

// Where the host has the value in this run: the caller's memory, the arena, or memory of its own.
std::byte* Engine::State::host_of(ir::ValueId id) {
  const auto i = static_cast<size_t>(id);
  if (given[i].data != nullptr && given[i].memory == kHost) return given[i].data;
  if (places[i] != nullptr) return places[i];
  auto& landing = landings[id];
  if (!landing) landing = std::make_unique<Memory>(value_bytes(graph(), id));
  return landing->data();
}

// What was given on a device, on the host.
const std::byte* Engine::State::fetch(ir::ValueId id) {
  const Given& place = given[static_cast<size_t>(id)];
  if (place.memory == kHost) return place.data;
  std::byte* host = host_of(id);
  const size_t bytes = value_bytes(graph(), id);
  if (bytes == 0) return host;
  Session& session = device(place.memory)->session();
  session.download(host, place.data, bytes);
  session.wait();
  return host;
}

void Engine::State::put(const Given& place, const std::byte* host, ir::ValueId id) {
  const size_t bytes = value_bytes(graph(), id);
  if (bytes == 0) return;
  if (place.memory == kHost) {
    std::memcpy(place.data, host, bytes);
    return;
  }
  Session& session = device(place.memory)->session();
  session.upload(place.data, host, bytes);
  session.wait();
}

// Whether an input that lies in `memory` is read on the host, or on another device by way of it.
bool Engine::State::wanted_on_host(ir::ValueId id, size_t memory) const {
  const auto& readers = slots[static_cast<size_t>(id)];
  if (std::ranges::any_of(readers, [&](const Slot& slot) { return steps[slot.step].memory == kHost; }))
    return true;
  return std::ranges::any_of(stretches.stretches, [&](const Stretch& stretch) {
    return std::ranges::any_of(stretch.moves,
                               [&](const Move& move) { return move.value == id && move.to != memory; });
  });
}

bool Engine::State::made_in(ir::ValueId id, size_t memory) const {
  return std::ranges::any_of(slots[static_cast<size_t>(id)], [&](const Slot& slot) {
    return slot.output && steps[slot.step].memory == memory;
  });
}

bool Engine::State::is_input(ir::ValueId id) const {
  return std::ranges::find(graph().inputs(), id) != graph().inputs().end();
}

// A recording holds the places that it was made with.
void Engine::State::set_place(ir::ValueId id, const Given& place) {
  given[static_cast<size_t>(id)] = place;
  for (size_t number = 1; number <= devices.size(); ++number) {
    if (!device(number)->set_place(id, place.memory == number ? place.data : nullptr)) continue;
    for (const Slot& slot : slots[static_cast<size_t>(id)]) {
      if (steps[slot.step].memory == number) replayed[stretch_of[slot.step]] = {};
    }
  }
  for (const Slot& slot : slots[static_cast<size_t>(id)]) {
    Loaded& loaded = steps[slot.step];
    std::byte* at = loaded.memory == kHost ? host_of(id) : device(loaded.memory)->place(id);
    if (slot.output) {
      loaded.outputs[slot.index] = at;
    } else {
      loaded.inputs[slot.index] = at;
    }
  }
}

void Engine::State::take_inputs(std::span<const Place> inputs, const Observer& observer) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::ValueId id = graph().inputs()[i];
    const Given place{inputs[i].data, memory_named(inputs[i].backend), inputs[i].pinned};
    set_place(id, place);
    if (place.memory != kHost && wanted_on_host(id, place.memory)) fetch(id);
    if (observer) show(id, place.data, observer, place.memory);
  }
}

// What no step wrote where it is wanted: values that none makes or another memory does, and those that are
// listed twice, which went to their last place.
void Engine::State::give_outputs(std::span<const Place> outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ir::ValueId id = graph().outputs()[i];
    const Tensor* constant = graph().constant(id);
    const Given place{outputs[i].data, memory_named(outputs[i].backend), outputs[i].pinned};
    const Given& made = given[static_cast<size_t>(id)];
    if (constant != nullptr) {
      if (place.data != constant->raw()) put(place, constant->raw(), id);
    } else if (!is_input(id) && made.memory != kHost && !made_in(id, made.memory)) {
      put(place, host_of(id), id);
    } else if (place.data != made.data || place.memory != made.memory) {
      put(place, fetch(id), id);
    }
  }
}

}  // namespace kvant::engine
