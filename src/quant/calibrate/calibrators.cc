// SPDX-License-Identifier: Apache-2.0
#include <iterator>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"
#include "quant/calibrate/calibrator.h"

namespace kvant::quant {

#define KVANT_ENTRY(name, summary) std::unique_ptr<Calibrator> name##_calibrator(const CalibratorOptions&);
#include "quant/calibrate/calibrators.inc"
#undef KVANT_ENTRY

namespace {

constexpr CalibratorEntry kCalibrators[] = {
#define KVANT_ENTRY(name, summary) {#name, summary, name##_calibrator},
#include "quant/calibrate/calibrators.inc"
#undef KVANT_ENTRY
};

}  // namespace

std::span<const CalibratorEntry> calibrators() { return kCalibrators; }

const CalibratorEntry& calibrator_named(std::string_view name) {
  std::vector<std::string> known;
  for (const CalibratorEntry& entry : kCalibrators) {
    if (entry.name == name) return entry;
    known.emplace_back(entry.name);
  }
  fail("there is no calibrator '{}'{}", name, nearest_hint(name, known));
}

}  // namespace kvant::quant
