// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/adjust.h"

#include <algorithm>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::quant {

#define KVANT_ENTRY(function, name, stage, data, summary) void adjust_##function(AdjustJob&);
#include "quant/adjust/adjusts.inc"
#undef KVANT_ENTRY

namespace {

constexpr bool NoData = false, Data = true;

constexpr AdjustEntry kAdjusts[] = {
#define KVANT_ENTRY(function, name, stage, data, summary) \
  {name, AdjustStage::stage, data, summary, adjust_##function},
#include "quant/adjust/adjusts.inc"
#undef KVANT_ENTRY
};

void require_known(const std::string& name) {
  std::vector<std::string> known;
  for (const AdjustEntry& entry : kAdjusts) {
    if (entry.name == name) return;
    known.emplace_back(entry.name);
  }
  known.emplace_back(kAutoAdjust);
  known.emplace_back("none");
  fail("there is no repair step '{}'{}", name, nearest_hint(name, known));
}

}  // namespace

std::span<const AdjustEntry> adjusts() { return kAdjusts; }

std::vector<std::string> default_adjusts() noexcept { return {"fold-batch-norm"}; }

std::vector<std::string> parse_adjusts(std::string_view text) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    names.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (names.size() == 1 && names[0] == "none") return {};
  if (names.size() == 1 && names[0] == kAutoAdjust) return names;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == "none" || names[i] == kAutoAdjust)
      fail("repair steps '{}': '{}' stands alone", text, names[i]);
    require_known(names[i]);
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<std::ptrdiff_t>(i)) {
      fail("repair steps '{}': '{}' is given twice", text, names[i]);
    }
  }
  return names;
}

}  // namespace kvant::quant
