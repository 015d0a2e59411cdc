// SPDX-License-Identifier: Apache-2.0
// The splits of formats that come as one training and one test part.
#pragma once

#include <string>

namespace kvant::data {

struct Parts {
  bool train = false;
  bool test = false;
};

// "" and "train", "test", "all"; anything else is an Error with the nearest name.
Parts parts_of(const std::string& split);

}  // namespace kvant::data
