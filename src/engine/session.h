// SPDX-License-Identifier: Apache-2.0
// The memory and the queue of a device that does not share the host's memory. An engine opens one for each
// backend whose steps run there; everything given to it happens in the order given, some time before wait()
// returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace kvant::engine {

// Work of a session kept to be queued again and again (a CUDA graph).
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

// Fails (Error) with one sentence when the device does: too little memory, a kernel that failed or never
// ends. What it returns keeps alive what it needs of the session.
class Session {
 public:
  virtual ~Session() = default;
  // Memory of the device, zeroed, aligned to 256 bytes; nullptr for 0 bytes.
  virtual std::shared_ptr<std::byte> allocate(size_t bytes) = 0;
  // Memory of the host that copies to and from the device are fast with.
  virtual std::shared_ptr<std::byte> allocate_staging(size_t bytes) = 0;
  // `host` must stay as it is until wait().
  virtual void upload(std::byte* device, const std::byte* host, size_t bytes) = 0;
  virtual void download(std::byte* host, const std::byte* device, size_t bytes) = 0;
  virtual void wait() = 0;
  // Keeps what `enqueue` queues (steps only) instead of doing it.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& enqueue) = 0;
  // Nanoseconds on the device's clock for what `enqueue` queues: steps, or a recording once. Where the device
  // has a clock, steps run `repeats` times in a row and the mean counts.
  virtual int64_t time(const std::function<void()>& enqueue, int repeats) = 0;
};

}  // namespace kvant::engine
