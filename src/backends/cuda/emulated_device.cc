// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/emulated_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

// All memory of the device. Pages are locked while nothing that was queued runs.
class EmulatedMemory : public std::enable_shared_from_this<EmulatedMemory> {
 public:
  explicit EmulatedMemory(size_t limit) : limit_(limit) {}

  std::shared_ptr<std::byte> allocate(size_t bytes) {
    if (bytes == 0) return nullptr;
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const std::lock_guard lock(mutex_);
    if (bytes > limit_ - used_) {
      fail("emulated-cuda has not enough memory: {} bytes are needed and {} are free", bytes, limit_ - used_);
    }
    const size_t mapped = (bytes + page - 1) / page * page;
    void* at = mmap(nullptr, mapped, unlocked_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) fail("not enough memory for the emulated device ({} bytes)", bytes);
    used_ += bytes;
    blocks_[static_cast<std::byte*>(at)] = {mapped, bytes};
    return {static_cast<std::byte*>(at), [self = shared_from_this()](std::byte* p) { self->release(p); }};
  }

  void unlock() { protect(+1, PROT_READ | PROT_WRITE); }
  void lock() { protect(-1, PROT_NONE); }

 private:
  struct Block {
    size_t mapped, bytes;
  };

  void release(std::byte* at) {
    const std::lock_guard lock(mutex_);
    const auto block = blocks_.find(at);
    munmap(at, block->second.mapped);
    used_ -= block->second.bytes;
    blocks_.erase(block);
  }

  void protect(int change, int rights) {
    const std::lock_guard lock(mutex_);
    unlocked_ += change;
    if (unlocked_ != (change > 0 ? 1 : 0)) return;
    for (const auto& [at, block] : blocks_) mprotect(at, block.mapped, rights);
  }

  std::mutex mutex_;
  size_t limit_, used_ = 0;
  int unlocked_ = 0;  // queues that run
  std::map<std::byte*, Block> blocks_;
};

class Unlocked {
 public:
  explicit Unlocked(EmulatedMemory& memory) : memory_(memory) { memory_.unlock(); }
  ~Unlocked() { memory_.lock(); }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  EmulatedMemory& memory_;
};

using Work = std::vector<std::function<void()>>;

class EmulatedQueue final : public Queue {
 public:
  EmulatedQueue(std::shared_ptr<EmulatedMemory> memory, const emulator::Options& schedule, int sm)
      : memory_(std::move(memory)), schedule_(schedule), sm_(sm) {}

  std::shared_ptr<std::byte> allocate(size_t bytes) override { return memory_->allocate(bytes); }
  std::shared_ptr<std::byte> allocate_staging(size_t bytes) override {
    if (bytes == 0) return nullptr;
    return {new std::byte[bytes](), std::default_delete<std::byte[]>()};
  }
  void upload(std::byte* device, const std::byte* host, size_t bytes) override {
    work_->push_back([=] { std::memcpy(device, host, bytes); });
  }
  void download(std::byte* host, const std::byte* device, size_t bytes) override {
    work_->push_back([=] { std::memcpy(host, device, bytes); });
  }
  void launch(const Launch& launch) override {
    KVANT_CHECK(launch.kernel->minimum_sm <= sm_, "a kernel is launched on a card that cannot run it");
    work_->push_back([launch, this] { launch.kernel->emulate(launch, schedule_, nullptr); });
  }
  void wait() override {
    const Work work = std::move(*work_);
    work_->clear();
    const Unlocked unlocked(*memory_);
    for (const auto& item : work) item();
  }
  std::unique_ptr<engine::Recording> record(const std::function<void()>& enqueue) override;
  int64_t time(const std::function<void()>& enqueue, int) override {
    wait();
    enqueue();
    const auto start = std::chrono::steady_clock::now();
    wait();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start)
        .count();
  }

 private:
  std::shared_ptr<EmulatedMemory> memory_;
  emulator::Options schedule_;
  int sm_;
  std::shared_ptr<Work> work_ = std::make_shared<Work>();
};

class EmulatedRecording final : public engine::Recording {
 public:
  EmulatedRecording(Work work, std::shared_ptr<Work> queue)
      : work_(std::move(work)), queue_(std::move(queue)) {}
  void replay() override { queue_->insert(queue_->end(), work_.begin(), work_.end()); }

 private:
  Work work_;
  std::shared_ptr<Work> queue_;
};

std::unique_ptr<engine::Recording> EmulatedQueue::record(const std::function<void()>& enqueue) {
  Work before = std::move(*work_);
  work_->clear();
  enqueue();
  Work recorded = std::move(*work_);
  *work_ = std::move(before);
  return std::make_unique<EmulatedRecording>(std::move(recorded), work_);
}

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(const EmulatedOptions& options)
      : schedule_(options.schedule), memory_(std::make_shared<EmulatedMemory>(options.memory_bytes)) {
    // The size of the card that it stands for: tactics are chosen by it.
    traits_ = {"emulated-cuda", fmt::format("emulated sm_{}", options.sm), options.sm,
               options.sm >= 90 ? 132 : 108, options.memory_bytes};
  }
  const DeviceTraits& traits() const override { return traits_; }
  std::shared_ptr<Queue> open() const override {
    return std::make_shared<EmulatedQueue>(memory_, schedule_, traits_.sm);
  }
  bool has_clock() const override { return false; }

 private:
  DeviceTraits traits_;
  emulator::Options schedule_;
  std::shared_ptr<EmulatedMemory> memory_;
};

}  // namespace

std::shared_ptr<Device> emulated_device(const EmulatedOptions& options) {
  return std::make_shared<EmulatedDevice>(options);
}

}  // namespace kvant::backends::cuda
