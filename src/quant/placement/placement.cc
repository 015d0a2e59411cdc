// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/placement.h"

namespace kvant::quant {

#define KVANT_ENTRY(family, summary) void place_##family(Sites&);
#include "quant/placement/placements.inc"
#undef KVANT_ENTRY

namespace {

constexpr Family kFamilies[] = {
#define KVANT_ENTRY(family, summary) {#family, summary, place_##family},
#include "quant/placement/placements.inc"
#undef KVANT_ENTRY
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

Sites place(const ir::Graph& graph) {
  Sites sites(graph);
  for (size_t before = SIZE_MAX; before != sites.revision();) {
    before = sites.revision();
    for (const Family& family : kFamilies) family.place(sites);
  }
  return sites;
}

}  // namespace kvant::quant
