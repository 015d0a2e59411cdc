// SPDX-License-Identifier: Apache-2.0
// One self-contained HTML page of what commands found: a table of all models first, then a section for each
// result.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "report/page/result.h"

namespace kvant::report {

// Whether the page has a section for what `command` leaves.
bool has_section(std::string_view command);

// Results without a section are left out; `notes` are sentences that stand below the title.
std::string page(std::string_view title, std::span<const CommandResult> results,
                 std::span<const std::string> notes = {});

// All models that the results speak of, a row each: what kind, how large, how accurate, how fast.
std::string overview(std::span<const CommandResult> results);

}  // namespace kvant::report
