// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/driver_device.h"

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>

#include "backends/cuda/tensor_maps.h"
#include "base/error.h"
#include "base/interrupt.h"

namespace kvant::backends::cuda {
namespace {

constexpr size_t kSharedWithoutAsking = 48 << 10;
constexpr int kOldestSm = 80, kProgrammaticSm = 90;

std::string capability(int sm) { return fmt::format("{}.{}", sm / 10, sm % 10); }
std::string cuda_version(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

driver::Address address_of(const std::byte* p) { return reinterpret_cast<driver::Address>(p); }

// One card: its context, the kernels found so far.
class Card : public std::enable_shared_from_this<Card> {
 public:
  Card(std::shared_ptr<const driver::Api> api, driver::DeviceId id, DeviceTraits traits,
       std::span<const Fatbin> images, const DriverOptions& options)
      : api_(std::move(api)), id_(id), traits_(std::move(traits)), images_(images), options_(options) {
    const driver::Result error = api_->context_retain(&context_, id_);
    if (error == driver::kDeviceUnavailable) {
      fail(
          "{} is held by another process for itself (its compute mode is exclusive): end that process or "
          "choose another card",
          traits_.id);
    }
    if (error == driver::kOutOfMemory) {
      fail("{} has no memory left for another process: end one that uses it or choose another card",
           traits_.id);
    }
    require(error, "cannot be opened");
  }
  ~Card() {
    if (lost_) return;
    for (const auto& [name, module] : modules_) {
      if (api_->context_set(context_) == driver::kSuccess) api_->module_unload(module);
    }
    api_->context_release(id_);
  }
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  const driver::Api& api() const { return *api_; }
  const DeviceTraits& traits() const { return traits_; }
  const DriverOptions& options() const { return options_; }
  bool lost() const { return lost_; }
  // After a fault or a kernel that never ends every call fails or waits; nothing is asked of the card again.
  void give_up() { lost_ = true; }

  // Makes the card current on this thread.
  void enter() const {
    if (lost_) fail("{} failed before and cannot be used again by this process", traits_.id);
    require(api_->context_set(context_), "cannot be used");
  }
  void require(driver::Result error, std::string_view what) const {
    if (error == driver::kSuccess) return;
    fail("{} ({}) {}: {}", traits_.id, traits_.name, what, api_->describe(error));
  }

  // The kernel, ready for `shared_bytes`.
  driver::Function function(const Kernel& kernel, size_t shared_bytes) {
    const std::lock_guard lock(mutex_);
    Known& known = functions_[kernel.name];
    if (known.function == nullptr) {
      require(api_->module_function(&known.function, module(kernel.module), kernel.name),
              fmt::format("has no kernel '{}'", kernel.name));
    }
    if (shared_bytes > std::max(kSharedWithoutAsking, known.shared_bytes)) {
      require(api_->function_attribute(known.function, driver::kFunctionMaxDynamicSharedBytes,
                                       static_cast<int>(shared_bytes)),
              fmt::format("does not give kernel '{}' {} bytes of shared memory", kernel.name, shared_bytes));
      known.shared_bytes = shared_bytes;
    }
    return known.function;
  }

 private:
  struct Known {
    driver::Function function = nullptr;
    size_t shared_bytes = 0;
  };

  driver::Module module(const std::string& name) {
    if (const auto known = modules_.find(name); known != modules_.end()) return known->second;
    for (const Fatbin& image : images_) {
      if (image.module != name) continue;
      driver::Module module = nullptr;
      require(api_->module_load(&module, image.image), fmt::format("cannot load the kernels of '{}'", name));
      return modules_[name] = module;
    }
    fail("this build of kvant has no CUDA kernels '{}': build it anew with nvcc", name);
  }

  std::shared_ptr<const driver::Api> api_;
  driver::DeviceId id_;
  DeviceTraits traits_;
  std::span<const Fatbin> images_;
  DriverOptions options_;
  driver::Context context_ = nullptr;
  std::atomic<bool> lost_ = false;
  std::mutex mutex_;
  std::map<std::string, driver::Module> modules_;
  std::map<std::string, Known> functions_;
};

class GraphRecording final : public engine::Recording {
 public:
  GraphRecording(std::shared_ptr<Card> card, driver::Stream stream, driver::GraphExec executable)
      : card_(std::move(card)), stream_(stream), executable_(executable) {}
  ~GraphRecording() override {
    if (!card_->lost()) card_->api().graph_exec_destroy(executable_);
  }
  void replay() override {
    card_->enter();
    card_->require(card_->api().graph_launch(executable_, stream_), "cannot run a recorded network");
  }

 private:
  std::shared_ptr<Card> card_;
  driver::Stream stream_;
  driver::GraphExec executable_;
};

class DriverQueue final : public Queue {
 public:
  explicit DriverQueue(std::shared_ptr<Card> card) : card_(std::move(card)), api_(card_->api()) {
    card_->enter();
    card_->require(api_.stream_create(&stream_, driver::kStreamNonBlocking), "gives no stream");
    for (driver::Event* event : {&start_, &stop_})
      card_->require(api_.event_create(event, 0), "gives no event");
  }
  ~DriverQueue() override {
    if (card_->lost()) return;
    for (driver::Event event : {start_, stop_}) {
      if (event != nullptr) api_.event_destroy(event);
    }
    api_.stream_destroy(stream_);
  }

  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  std::shared_ptr<std::byte> allocate_staging(size_t bytes) override;

  void upload(std::byte* device, const std::byte* host, size_t bytes) override {
    card_->enter();
    card_->require(api_.upload(address_of(device), host, bytes, stream_), "does not take a copy");
  }
  void download(std::byte* host, const std::byte* device, size_t bytes) override {
    card_->enter();
    card_->require(api_.download(host, address_of(device), bytes, stream_), "does not give a copy");
  }
  void launch(const Launch& launch) override;
  void wait() override;
  std::unique_ptr<engine::Recording> record(const std::function<void()>& enqueue) override;
  int64_t time(const std::function<void()>& enqueue, int repeats) override;

 private:
  std::shared_ptr<Card> card_;
  const driver::Api& api_;
  driver::Stream stream_ = nullptr;
  driver::Event start_ = nullptr, stop_ = nullptr;
};

std::shared_ptr<std::byte> DriverQueue::allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  card_->enter();
  driver::Address address = 0;
  const driver::Result error = api_.allocate(&address, bytes);
  if (error == driver::kOutOfMemory) {
    size_t free = 0, total = 0;
    api_.memory_free_bytes(&free, &total);
    fail("{} ({}) has not enough memory: {} bytes are needed and {} of {} are free: take a smaller batch",
         card_->traits().id, card_->traits().name, bytes, free, total);
  }
  card_->require(error, "gives no memory");
  std::shared_ptr<std::byte> memory(reinterpret_cast<std::byte*>(address), [card = card_](std::byte* p) {
    if (!card->lost()) card->api().release(address_of(p));
  });
  card_->require(api_.fill(address, 0, bytes, stream_), "cannot clear memory");
  return memory;
}

std::shared_ptr<std::byte> DriverQueue::allocate_staging(size_t bytes) {
  if (bytes == 0) return nullptr;
  card_->enter();
  void* memory = nullptr;
  card_->require(api_.allocate_host(&memory, bytes, 0), "gives no memory on the host");
  return {static_cast<std::byte*>(memory), [card = card_](std::byte* p) {
            if (!card->lost()) card->api().release_host(p);
          }};
}

void DriverQueue::launch(const Launch& given) {
  card_->enter();
  Launch launch = given;
  encode_tensor_maps(api_, launch);
  const driver::Function function = card_->function(*launch.kernel, launch.shared_bytes);
  driver::LaunchAttribute attributes[2];
  driver::LaunchConfig config{.grid_x = launch.grid.x,
                              .grid_y = launch.grid.y,
                              .grid_z = launch.grid.z,
                              .block_x = launch.block.x,
                              .block_y = launch.block.y,
                              .block_z = launch.block.z,
                              .shared_bytes = static_cast<unsigned>(launch.shared_bytes),
                              .stream = stream_,
                              .attributes = attributes,
                              .attribute_count = 0};
  if (launch.cluster > 1) {
    driver::LaunchAttribute& cluster = attributes[config.attribute_count++];
    cluster.id = driver::kAttributeClusterDimension;
    cluster.value.cluster = {1, 1, launch.cluster};
  }
  // Every kernel waits for the one before it (griddepcontrol.wait) before it touches what that one wrote, so
  // its start may overlap the other's end.
  if (card_->traits().sm >= kProgrammaticSm) {
    driver::LaunchAttribute& programmatic = attributes[config.attribute_count++];
    programmatic.id = driver::kAttributeProgrammaticSerialization;
    programmatic.value.programmatic = 1;
  }
  void* parameters[] = {launch.params.data()};
  card_->require(api_.launch(&config, function, parameters, nullptr),
                 fmt::format("does not start kernel '{}'", launch.kernel->name));
}

void DriverQueue::wait() {
  using Clock = std::chrono::steady_clock;
  card_->enter();
  const auto deadline = Clock::now() + std::chrono::duration<double>(card_->options().timeout_seconds);
  for (unsigned spin = 0;; ++spin) {
    const driver::Result state = api_.stream_query(stream_);
    if (state == driver::kSuccess) return;
    if (state != driver::kNotReady) {
      card_->give_up();
      fail("a kernel failed on {} ({}): {}", card_->traits().id, card_->traits().name, api_.describe(state));
    }
    if (spin % 1024 != 1023) continue;
    check_interrupt();
    if (Clock::now() < deadline) continue;
    card_->give_up();
    fail("{} ({}) did not finish within {} seconds: a kernel hangs, or another process keeps the card busy",
         card_->traits().id, card_->traits().name, card_->options().timeout_seconds);
  }
}

std::unique_ptr<engine::Recording> DriverQueue::record(const std::function<void()>& enqueue) {
  card_->enter();
  card_->require(api_.capture_begin(stream_, driver::kCaptureThreadLocal), "cannot record");
  driver::Graph graph = nullptr;
  try {
    enqueue();
  } catch (...) {
    api_.capture_end(stream_, &graph);
    if (graph != nullptr) api_.graph_destroy(graph);
    throw;
  }
  card_->require(api_.capture_end(stream_, &graph), "cannot record");
  driver::GraphExec executable = nullptr;
  const driver::Result error = api_.graph_instantiate(&executable, graph, 0);
  api_.graph_destroy(graph);
  card_->require(error, "cannot prepare a recorded network");
  auto recording = std::make_unique<GraphRecording>(card_, stream_, executable);
  card_->require(api_.graph_upload(executable, stream_), "cannot prepare a recorded network");
  return recording;
}

int64_t DriverQueue::time(const std::function<void()>& enqueue, int repeats) {
  std::unique_ptr<engine::Recording> recording;
  if (repeats > 1) {
    recording = record([&] {
      for (int i = 0; i < repeats; ++i) enqueue();
    });
    recording->replay();  // the first replay warms caches
  }
  wait();
  card_->require(api_.event_record(start_, stream_), "cannot take the time");
  if (recording) {
    recording->replay();
  } else {
    enqueue();
  }
  card_->require(api_.event_record(stop_, stream_), "cannot take the time");
  wait();
  float milliseconds = 0;
  card_->require(api_.event_elapsed(&milliseconds, start_, stop_), "cannot tell the time");
  return static_cast<int64_t>(static_cast<double>(milliseconds) * 1e6 / std::max(1, repeats));
}

class DriverDevice final : public Device {
 public:
  explicit DriverDevice(std::shared_ptr<Card> card) : card_(std::move(card)) {}
  const DeviceTraits& traits() const override { return card_->traits(); }
  std::shared_ptr<Queue> open() const override { return std::make_shared<DriverQueue>(card_); }
  bool has_clock() const override { return true; }

 private:
  std::shared_ptr<Card> card_;
};

void require(const driver::Api& api, driver::Result error, std::string_view what) {
  if (error != driver::kSuccess) fail("the NVIDIA driver cannot {}: {}", what, api.describe(error));
}

int count_cards(const driver::Api& api) {
  int count = 0;
  const driver::Result error = api.device_count(&count);
  if (error == driver::kNoDevice) return 0;
  require(api, error, "count the cards");
  return count;
}

std::string name_of(const driver::Api& api, driver::DeviceId id) {
  char name[256] = {};
  require(api, api.device_name(name, sizeof name - 1, id), "name a card");
  return name;
}

DeviceTraits traits_of(const driver::Api& api, driver::DeviceId id, int ordinal) {
  const auto attribute = [&](int which) {
    int value = 0;
    require(api, api.device_attribute(&value, which, id), "describe a card");
    return value;
  };
  DeviceTraits traits{.id = fmt::format("cuda:{}", ordinal), .name = name_of(api, id)};
  traits.sm = 10 * attribute(driver::kCapabilityMajor) + attribute(driver::kCapabilityMinor);
  traits.multiprocessors = attribute(driver::kMultiprocessorCount);
  require(api, api.device_memory(&traits.memory_bytes, id), "describe a card");
  return traits;
}

}  // namespace

std::string list_cards(const driver::Api& api) {
  std::string list;
  for (int i = 0, n = count_cards(api); i < n; ++i) {
    driver::DeviceId id = 0;
    require(api, api.device_get(&id, i), "open a card");
    list += fmt::format("{}cuda:{} ({})", i > 0 ? ", " : "", i, name_of(api, id));
  }
  return list;
}

std::shared_ptr<Device> driver_device(std::shared_ptr<const driver::Api> api, int ordinal,
                                      std::span<const Fatbin> images, int image_cuda_version,
                                      const DriverOptions& options) {
  const int count = count_cards(*api);
  if (count == 0) fail("the NVIDIA driver finds no card on this machine: use --device cpu");
  if (ordinal < 0 || ordinal >= count)
    fail("there is no cuda:{} on this machine: it has {}", ordinal, list_cards(*api));
  int version = 0;
  require(*api, api->driver_version(&version), "tell its version");
  // A driver runs what any toolkit of its own major version made, and of those before.
  if (version / 1000 < image_cuda_version / 1000) {
    fail(
        "the NVIDIA driver of this machine offers CUDA {} and the kernels of this build need CUDA {}: update "
        "the driver",
        cuda_version(version), cuda_version(image_cuda_version));
  }
  driver::DeviceId id = 0;
  require(*api, api->device_get(&id, ordinal), "open a card");
  DeviceTraits traits = traits_of(*api, id, ordinal);
  if (traits.sm < kOldestSm) {
    fail("{} ({}) has compute capability {}, and the kernels need {} or later", traits.id, traits.name,
         capability(traits.sm), capability(kOldestSm));
  }
  return std::make_shared<DriverDevice>(
      std::make_shared<Card>(std::move(api), id, std::move(traits), images, options));
}

}  // namespace kvant::backends::cuda
