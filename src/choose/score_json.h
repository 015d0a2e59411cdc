// SPDX-License-Identifier: Apache-2.0
// Scores in the files that long work goes on from.
#pragma once

#include <nlohmann/json.hpp>

#include "choose/samples.h"

namespace kvant::choose {

nlohmann::ordered_json json_of(const Score& score);
// Throws nlohmann's exceptions on anything else than json_of() wrote.
Score score_of(const nlohmann::ordered_json& json);

}  // namespace kvant::choose
