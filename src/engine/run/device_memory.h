// SPDX-License-Identifier: Apache-2.0
// What an engine has on one device: the arena at the plan's offsets, room for inputs and outputs of the
// graph, scratch, counters, and the copies to and from the host.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "engine/plan/plan.h"
#include "engine/session.h"

namespace kvant::engine {

class DeviceMemory {
 public:
  // `ends`: root values that steps on the device read or write and that have no place in the arena.
  DeviceMemory(std::shared_ptr<Session> session, const Plan& plan, const std::set<ir::ValueId>& ends,
               size_t scratch_bytes, size_t counter_bytes);

  Session& session() const { return *session_; }
  // Where a root value lies on the device.
  std::byte* place(ir::ValueId root) const;
  std::byte* scratch() const { return scratch_.get(); }
  // Zero between runs.
  std::byte* counters() const { return counters_.get(); }

  // Puts an input or output of the graph where the caller has it on the device; nullptr: back to its own
  // place. True when that is another place than before.
  bool set_place(ir::ValueId root, std::byte* given);

  // Inputs and outputs go through staging memory: what they are copied from is free again at once, what they
  // are copied to has them after wait(). With `pinned` memory of the host directly: it must stay until then.
  void upload(ir::ValueId root, const std::byte* host, bool pinned = false);
  void download(ir::ValueId root, std::byte* host, bool pinned = false);
  // Until all that was queued is done. Costs nothing when nothing was.
  void wait();
  void note_work() { busy_ = true; }
  // Before each run, and after one that failed: what it left behind (downloads to memory that may be gone,
  // counters in the middle) is not met by the next one.
  void begin();
  void abandon();

 private:
  struct End {
    std::byte* device;
    std::byte* staging;
    std::byte* given = nullptr;  // by the caller, instead of `device`
    std::byte* now() const { return given != nullptr ? given : device; }
  };
  struct Landing {
    std::byte* host;
    const std::byte* staging;
    size_t bytes;
  };

  const Plan& plan_;
  std::shared_ptr<Session> session_;
  std::shared_ptr<std::byte> arena_, scratch_, counters_, ends_memory_, staging_;
  std::map<ir::ValueId, End> ends_;
  std::vector<Landing> landings_;  // downloads that end in the caller's memory
  std::vector<std::byte> zeros_;   // as many as there are bytes of counters, once they are needed
  size_t counter_bytes_;
  bool busy_ = false, abandoned_ = false;
};

}  // namespace kvant::engine
