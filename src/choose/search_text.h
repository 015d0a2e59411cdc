// SPDX-License-Identifier: Apache-2.0
// What a search says for itself.
#pragma once

#include <string>

#include "choose/search.h"

namespace kvant::choose {

// "chosen", or why the trial was not.
std::string verdict_of(const Outcome& outcome, size_t trial);
// One sentence on the whole.
std::string sentence_of(const Outcome& outcome, const SearchOptions& options);

}  // namespace kvant::choose
