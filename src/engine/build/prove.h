// SPDX-License-Identifier: Apache-2.0
// Tactics of a device compared with one another before a clock decides between them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/backend.h"

namespace kvant::engine {

struct Proof {
  std::vector<std::string> equal;      // give the very bytes of the first tactic; it is among them
  std::vector<std::string> different;  // do not
};

// Runs each tactic of a backend with a memory of its own on the same random inputs (codes within what the
// node promises), over results filled with rubbish. `view` still has its constants.
Proof prove(const Backend& backend, const NodeView& view, std::span<const std::string> tactics);

}  // namespace kvant::engine
