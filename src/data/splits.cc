// SPDX-License-Identifier: Apache-2.0
#include "data/splits.h"

#include <vector>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::data {

Parts parts_of(const std::string& split) {
  const std::vector<std::string> known = {"train", "test", "all"};
  if (split.empty() || split == "train") return {.train = true};
  if (split == "test") return {.test = true};
  if (split == "all") return {.train = true, .test = true};
  fail("unknown split '{}'{}", split, nearest_hint(split, known));
}

}  // namespace kvant::data
