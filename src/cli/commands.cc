// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

namespace kvant::cli {

#define KVANT_ENTRY(function) Command function();
#include "cli/commands.inc"
#undef KVANT_ENTRY

std::vector<Command> commands() {
  return {
#define KVANT_ENTRY(function) function(),
#include "cli/commands.inc"
#undef KVANT_ENTRY
  };
}

}  // namespace kvant::cli
