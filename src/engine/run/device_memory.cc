// SPDX-License-Identifier: Apache-2.0
#include "engine/run/device_memory.h"

#include <cstring>

#include "base/error.h"

namespace kvant::engine {
namespace {

constexpr size_t kEndAlignment = 256;

size_t end_bytes(const Plan& plan, ir::ValueId id) {
  return (value_bytes(plan.graph, id) + kEndAlignment - 1) / kEndAlignment * kEndAlignment;
}

}  // namespace

DeviceMemory::DeviceMemory(std::shared_ptr<Session> session, const Plan& plan,
                           const std::set<ir::ValueId>& ends, size_t scratch_bytes, size_t counter_bytes)
    : plan_(plan), session_(std::move(session)), counter_bytes_(counter_bytes) {
  size_t bytes = 0;
  for (const ir::ValueId id : ends) bytes += end_bytes(plan, id);
  arena_ = session_->allocate(plan.arena_bytes);
  scratch_ = session_->allocate(scratch_bytes);
  counters_ = session_->allocate(counter_bytes);
  ends_memory_ = session_->allocate(bytes);
  staging_ = session_->allocate_staging(bytes);
  size_t offset = 0;
  for (const ir::ValueId id : ends) {
    ends_[id] = {ends_memory_.get() + offset, staging_.get() + offset};
    offset += end_bytes(plan, id);
  }
}

std::byte* DeviceMemory::place(ir::ValueId root) const {
  const auto end = ends_.find(root);
  if (end != ends_.end()) return end->second.now();
  const int64_t offset = plan_.offsets[static_cast<size_t>(root)];
  return offset == kNoOffset ? nullptr : arena_.get() + offset;
}

bool DeviceMemory::set_place(ir::ValueId root, std::byte* given) {
  const auto end = ends_.find(root);
  if (end == ends_.end() || end->second.given == given) return false;
  end->second.given = given;
  return true;
}

void DeviceMemory::upload(ir::ValueId root, const std::byte* host, bool pinned) {
  const size_t bytes = value_bytes(plan_.graph, root);
  if (bytes == 0) return;
  busy_ = true;
  const auto end = ends_.find(root);
  if (end == ends_.end() || pinned) return session_->upload(place(root), host, bytes);
  std::memcpy(end->second.staging, host, bytes);
  session_->upload(end->second.now(), end->second.staging, bytes);
}

void DeviceMemory::download(ir::ValueId root, std::byte* host, bool pinned) {
  const size_t bytes = value_bytes(plan_.graph, root);
  if (bytes == 0) return;
  busy_ = true;
  const auto end = ends_.find(root);
  if (end == ends_.end() || pinned) return session_->download(host, place(root), bytes);
  session_->download(end->second.staging, end->second.now(), bytes);
  landings_.push_back({host, end->second.staging, bytes});
}

void DeviceMemory::abandon() {
  landings_.clear();
  abandoned_ = true;
}

// In the order of the queue: behind whatever the failed run had queued and that may still happen.
void DeviceMemory::begin() {
  if (!abandoned_) return;
  if (counter_bytes_ > 0) {
    zeros_.assign(counter_bytes_, std::byte{0});
    session_->upload(counters_.get(), zeros_.data(), counter_bytes_);
  }
  busy_ = true;
  wait();
  abandoned_ = false;
}

void DeviceMemory::wait() {
  if (!busy_) return;
  session_->wait();
  busy_ = false;
  for (const Landing& landing : landings_) std::memcpy(landing.host, landing.staging, landing.bytes);
  landings_.clear();
}

}  // namespace kvant::engine
