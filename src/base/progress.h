// SPDX-License-Identifier: Apache-2.0
// How long work tells the one who asked for it how far it is. The library never prints; the CLI draws a bar.
#pragma once

#include <cstdint>
#include <string_view>

namespace kvant {

class Progress {
 public:
  virtual ~Progress() = default;
  // A new stretch of work: `what` in the user's words ("calibrating"), `total` items (0: not known), `unit`
  // ("images").
  virtual void begin(std::string_view what, int64_t total, std::string_view unit) = 0;
  // `done` items of the current stretch, with an optional remark ("loss 0.31").
  virtual void update(int64_t done, std::string_view remark) = 0;
  virtual void end() = 0;
};

// Ignores everything; what functions take when nobody listens.
Progress& silent_progress();

}  // namespace kvant
