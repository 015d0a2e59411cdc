// SPDX-License-Identifier: Apache-2.0
// A driver for tests: the functions of driver::Api over the host's memory, strict about what the real one is
// strict about (a current context, captures, launch limits), and faults on demand. Kernels are `kernels`, run
// by their `emulate`.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "backends/cuda/driver_device.h"
#include "backends/cuda/emulator/emulator.h"
#include "backends/cuda/kernels/tensor_map.h"

namespace kvant::backends::cuda {

struct FakeCard {
  std::string name = "Fake H100";
  int major = 9, minor = 0;
};

// What the driver was asked for and how it shall answer; one test at a time.
struct FakeState {
  std::vector<FakeCard> cards = {{}};
  int version = 13000;
  std::map<std::string, const Kernel*> kernels;
  driver::Result retain_result = driver::kSuccess;
  driver::Result run_result = driver::kSuccess;  // of what is queued
  bool hangs = false;
  size_t memory = size_t{1} << 30;

  bool current = false, capturing = false;
  int contexts = 0, streams = 0, events = 0, modules = 0, graphs = 0, executables = 0, launches = 0;
  int programmatic = 0, maps = 0;
  unsigned cluster = 0;
  size_t asked_shared = 0;
  std::map<driver::Address, size_t> blocks;
  std::set<void*> host_blocks;
  std::vector<std::function<void()>> queued, captured;
  std::vector<std::vector<std::function<void()>>> recordings;

  // What a card that was given up never got back.
  void give_back() {
    for (const auto& [at, bytes] : blocks) ::operator delete(reinterpret_cast<void*>(at));
    for (void* block : host_blocks) ::operator delete(block);
    blocks.clear(), host_blocks.clear();
  }
  size_t used() const {
    size_t sum = 0;
    for (const auto& [at, bytes] : blocks) sum += bytes;
    return sum;
  }
  bool inside(driver::Address at, size_t bytes) const {
    auto block = blocks.upper_bound(at);
    if (block == blocks.begin()) return false;
    --block;
    return at + bytes <= block->first + block->second;
  }
};

inline FakeState fake;
inline constexpr driver::Result kFakeInvalid = 1, kFakeCaptureMisuse = 900;

inline driver::Result fake_queue(std::function<void()> work) {
  if (!fake.current) return 201;  // CUDA_ERROR_INVALID_CONTEXT
  (fake.capturing ? fake.captured : fake.queued).push_back(std::move(work));
  return driver::kSuccess;
}

inline driver::Result fake_launch(const driver::LaunchConfig* config, driver::Function function,
                                  void** parameters, void**) {
  if (!fake.current) return 201;
  const auto* kernel = reinterpret_cast<const Kernel*>(function);
  if (config->shared_bytes > (48u << 10) && config->shared_bytes > fake.asked_shared) return kFakeInvalid;
  for (unsigned i = 0; i < config->attribute_count; ++i) {
    const driver::LaunchAttribute& attribute = config->attributes[i];
    if (attribute.id == driver::kAttributeClusterDimension) fake.cluster = attribute.value.cluster.z;
    if (attribute.id == driver::kAttributeProgrammaticSerialization)
      fake.programmatic += attribute.value.programmatic;
  }
  ++fake.launches;
  Launch launch;
  launch.kernel = kernel;
  launch.grid = {config->grid_x, config->grid_y, config->grid_z};
  launch.block = {config->block_x, config->block_y, config->block_z};
  launch.shared_bytes = config->shared_bytes;
  std::memcpy(launch.params.data(), parameters[0], launch.params.size());
  return fake_queue([launch] { launch.kernel->emulate(launch, {}, nullptr); });
}

inline void fake_describe(driver::Api& api) {
  api.init = [](unsigned) { return driver::kSuccess; };
  api.driver_version = [](int* version) { return *version = fake.version, driver::kSuccess; };
  api.error_name = [](driver::Result, const char** text) { return *text = "CUDA_ERROR_FAKE", 0; };
  api.error_text = [](driver::Result, const char** text) { return *text = "as the test wants it", 0; };
  api.device_count = [](int* count) { return *count = static_cast<int>(fake.cards.size()), 0; };
  api.device_get = [](driver::DeviceId* id, int ordinal) { return *id = ordinal, 0; };
  api.device_name = [](char* name, int bytes, driver::DeviceId id) {
    std::strncpy(name, fake.cards[static_cast<size_t>(id)].name.c_str(), static_cast<size_t>(bytes));
    return 0;
  };
  api.device_memory = [](size_t* bytes, driver::DeviceId) { return *bytes = fake.memory, 0; };
  api.device_attribute = [](int* value, int attribute, driver::DeviceId id) {
    const FakeCard& card = fake.cards[static_cast<size_t>(id)];
    *value = attribute == driver::kCapabilityMajor   ? card.major
             : attribute == driver::kCapabilityMinor ? card.minor
                                                     : 132;
    return 0;
  };
  api.context_retain = [](driver::Context* context, driver::DeviceId) {
    *context = reinterpret_cast<driver::Context>(&fake);
    if (fake.retain_result == driver::kSuccess) ++fake.contexts;
    return fake.retain_result;
  };
  api.context_release = [](driver::DeviceId) { return --fake.contexts, 0; };
  api.context_set = [](driver::Context context) { return fake.current = context != nullptr, 0; };
}

inline void fake_memory(driver::Api& api) {
  api.memory_free_bytes = [](size_t* free, size_t* total) {
    *free = fake.memory - fake.used();
    *total = fake.memory;
    return 0;
  };
  api.allocate = [](driver::Address* address, size_t bytes) {
    if (fake.capturing) return kFakeCaptureMisuse;
    if (bytes > fake.memory - fake.used()) return driver::kOutOfMemory;
    *address = reinterpret_cast<driver::Address>(::operator new(bytes));
    fake.blocks[*address] = bytes;
    return driver::kSuccess;
  };
  api.release = [](driver::Address address) {
    if (fake.blocks.erase(address) == 0) return kFakeInvalid;
    ::operator delete(reinterpret_cast<void*>(address));
    return driver::kSuccess;
  };
  api.allocate_host = [](void** address, size_t bytes, unsigned) {
    fake.host_blocks.insert(*address = ::operator new(bytes));
    return 0;
  };
  api.release_host = [](void* address) {
    if (fake.host_blocks.erase(address) == 0) return kFakeInvalid;
    ::operator delete(address);
    return driver::kSuccess;
  };
  api.fill = [](driver::Address at, unsigned char value, size_t count, driver::Stream) {
    if (!fake.inside(at, count)) return kFakeInvalid;
    return fake_queue([=] { std::memset(reinterpret_cast<void*>(at), value, count); });
  };
  api.upload = [](driver::Address to, const void* from, size_t bytes, driver::Stream) {
    if (!fake.inside(to, bytes)) return kFakeInvalid;
    return fake_queue([=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
  };
  api.download = [](void* to, driver::Address from, size_t bytes, driver::Stream) {
    if (!fake.inside(from, bytes)) return kFakeInvalid;
    return fake_queue([=] { std::memcpy(to, reinterpret_cast<const void*>(from), bytes); });
  };
}

inline void fake_streams(driver::Api& api) {
  api.stream_create = [](driver::Stream* stream, unsigned) {
    *stream = reinterpret_cast<driver::Stream>(&fake);
    return ++fake.streams, 0;
  };
  api.stream_destroy = [](driver::Stream) { return --fake.streams, 0; };
  api.stream_query = [](driver::Stream) {
    if (fake.capturing) return kFakeCaptureMisuse;
    if (fake.hangs) return driver::kNotReady;
    if (fake.run_result != driver::kSuccess) return fake.run_result;
    const auto work = std::move(fake.queued);
    fake.queued.clear();
    for (const auto& item : work) item();
    return driver::kSuccess;
  };
  api.capture_begin = [](driver::Stream, int) {
    if (fake.capturing) return kFakeCaptureMisuse;
    fake.capturing = true;
    fake.captured.clear();
    return driver::kSuccess;
  };
  api.capture_end = [](driver::Stream, driver::Graph* graph) {
    if (!fake.capturing) return kFakeCaptureMisuse;
    fake.capturing = false;
    fake.recordings.push_back(fake.captured);
    ++fake.graphs;
    *graph = reinterpret_cast<driver::Graph>(fake.recordings.size());
    return driver::kSuccess;
  };
  api.graph_instantiate = [](driver::GraphExec* executable, driver::Graph graph, unsigned long long) {
    *executable = reinterpret_cast<driver::GraphExec>(graph);
    return ++fake.executables, 0;
  };
  api.graph_upload = [](driver::GraphExec, driver::Stream) { return 0; };
  api.graph_launch = [](driver::GraphExec executable, driver::Stream) {
    if (fake.capturing) return kFakeCaptureMisuse;
    for (const auto& item : fake.recordings[reinterpret_cast<size_t>(executable) - 1]) fake_queue(item);
    return driver::kSuccess;
  };
  api.graph_destroy = [](driver::Graph) { return --fake.graphs, 0; };
  api.graph_exec_destroy = [](driver::GraphExec) { return --fake.executables, 0; };
  api.event_create = [](driver::Event* event, unsigned) {
    *event = reinterpret_cast<driver::Event>(&fake);
    return ++fake.events, 0;
  };
  api.event_destroy = [](driver::Event) { return --fake.events, 0; };
  api.event_record = [](driver::Event, driver::Stream) {
    return fake.capturing ? kFakeCaptureMisuse : driver::kSuccess;
  };
  api.event_elapsed = [](float* milliseconds, driver::Event, driver::Event) { return *milliseconds = 2, 0; };
}

// A map is the plain description again, made from what the driver was told, so that the emulator reads it.
inline driver::Result fake_map(void* map, int type, uint32_t rank, void* address, const uint64_t* dims,
                               const uint64_t* strides, const uint32_t* steps, int swizzle,
                               TensorMapForm form) {
  if (type != driver::kMapBytes || reinterpret_cast<uintptr_t>(map) % alignof(TensorMap) != 0)
    return kFakeInvalid;
  if (address == nullptr || reinterpret_cast<uintptr_t>(address) % 16 != 0) return kFakeInvalid;
  form.address = address;
  form.rank = static_cast<uint8_t>(rank);
  form.swizzle = static_cast<Swizzle>(swizzle);
  for (uint32_t i = 0; i < rank; ++i) {
    form.dims[i] = static_cast<uint32_t>(dims[i]);
    form.steps[i] = static_cast<uint8_t>(steps[i]);
    if (i + 1 < rank) form.strides[i] = strides[i];
  }
  ++fake.maps;
  const TensorMap made(form);
  std::memcpy(map, &made, sizeof made);
  return driver::kSuccess;
}

inline void fake_maps(driver::Api& api) {
  api.map_tiles = [](void* map, int type, uint32_t rank, void* address, const uint64_t* dims,
                     const uint64_t* strides, const uint32_t* box, const uint32_t* steps, int, int swizzle,
                     int, int) {
    TensorMapForm form;
    for (uint32_t i = 0; i < rank; ++i) form.box[i] = static_cast<uint16_t>(box[i]);
    return fake_map(map, type, rank, address, dims, strides, steps, swizzle, form);
  };
  api.map_pixels = [](void* map, int type, uint32_t rank, void* address, const uint64_t* dims,
                      const uint64_t* strides, const int* lower, const int* upper, uint32_t channels,
                      uint32_t pixels, const uint32_t* steps, int, int swizzle, int, int) {
    TensorMapForm form;
    form.im2col = true;
    for (int i = 0; i < 2; ++i) {
      form.lower[i] = static_cast<int8_t>(lower[i]);
      form.upper[i] = static_cast<int8_t>(upper[i]);
    }
    form.channels = static_cast<uint16_t>(channels), form.pixels = static_cast<uint16_t>(pixels);
    return fake_map(map, type, rank, address, dims, strides, steps, swizzle, form);
  };
}

inline void fake_modules(driver::Api& api) {
  api.module_load = [](driver::Module* module, const void*) {
    *module = reinterpret_cast<driver::Module>(&fake);
    if (fake.capturing) return kFakeCaptureMisuse;
    return ++fake.modules, driver::kSuccess;
  };
  api.module_unload = [](driver::Module) { return --fake.modules, 0; };
  api.module_function = [](driver::Function* function, driver::Module, const char* name) {
    const auto known = fake.kernels.find(name);
    if (known == fake.kernels.end()) return driver::Result{500};  // CUDA_ERROR_NOT_FOUND
    *function = reinterpret_cast<driver::Function>(const_cast<Kernel*>(known->second));
    return driver::kSuccess;
  };
  api.function_attribute = [](driver::Function, int attribute, int value) {
    if (attribute != driver::kFunctionMaxDynamicSharedBytes || value > (227 << 10)) return kFakeInvalid;
    fake.asked_shared = static_cast<size_t>(value);
    return driver::kSuccess;
  };
  api.launch = fake_launch;
}

inline std::shared_ptr<const driver::Api> fake_driver() {
  auto api = std::make_shared<driver::Api>();
  fake_describe(*api);
  fake_memory(*api);
  fake_streams(*api);
  fake_modules(*api);
  fake_maps(*api);
  return api;
}

}  // namespace kvant::backends::cuda
