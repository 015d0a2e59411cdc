// SPDX-License-Identifier: Apache-2.0
// The command line read against the table of commands, and the help made from it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/command.h"

namespace kvant::cli {

// Flags that every command takes.
std::vector<Flag> common_flags();
// Reads the arguments after the command's name. Throws UsageError with one sentence (nearest names for
// unknown flags, the choices for a wrong value, the name of what is missing).
Flags parse(const Command& command, std::span<const std::string> arguments);
// The command of that name; UsageError with the nearest names otherwise.
const Command& find(std::span<const Command> commands, const std::string& name);

std::string help(std::span<const Command> commands);
std::string help(const Command& command);

}  // namespace kvant::cli
