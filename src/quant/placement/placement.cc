// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/placement.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/nearest.h"
#include "quant/placement/apply_spec.h"

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

constexpr Case kCases[] = {
#define KVANT_ENTRY(name, summary, families) {name, summary, families},
#include "quant/placement/cases.inc"
#undef KVANT_ENTRY
};

const Case* find_case(std::string_view name) {
  const auto found = std::find_if(std::begin(kCases), std::end(kCases),
                                  [&](const Case& known) { return known.name == name; });
  return found == std::end(kCases) ? nullptr : &*found;
}

std::set<std::string_view> families_of(std::string_view case_name) {
  std::set<std::string_view> result;
  std::string_view rest = find_case(case_name)->families;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(' '), rest.size());
    result.insert(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return result;
}

// The families that the options ask for.
std::set<std::string_view> wanted_families(const PlaceOptions& options) {
  const bool partial = options.mode == PlaceMode::Partial;
  std::vector<std::string> names = options.cases;
  if (names.empty() && !partial) names = {"auto"};
  std::set<std::string_view> wanted;
  for (const std::string& name : names) wanted.merge(families_of(name));
  if (partial) {
    for (const std::string_view by_default : families_of("none")) wanted.erase(by_default);
  }
  if (std::find(names.begin(), names.end(), "auto") != names.end()) wanted.erase("average_pool");
  if (!options.attention) wanted.erase("attention");
  if (options.activation_tables) wanted.insert("activation_table");
  return wanted;
}

void check_cases(const PlaceOptions& options) {
  std::vector<std::string> known;
  for (const Case& entry : kCases) known.emplace_back(entry.name);
  for (const std::string& name : options.cases) {
    if (find_case(name) == nullptr) fail("there is no case '{}'{}", name, nearest_hint(name, known));
    if (name == "none" && options.cases.size() > 1)
      fail("case 'none' is the default layers alone: it goes with no other case");
    if (options.mode == PlaceMode::Partial && (name == "none" || name == "auto"))
      fail("case '{}' places by default what mode partial leaves out: use mode full, or other cases", name);
  }
}

}  // namespace

std::span<const Family> families() { return kFamilies; }
std::span<const Case> cases() { return kCases; }

void check_options(const PlaceOptions& options) {
  check_spec(options.spec);
  check_cases(options);
  const bool partial = options.mode == PlaceMode::Partial;
  if (partial && options.spec.layers.empty() && options.cases.empty() && options.own_cases.empty())
    fail("mode partial quantizes only what a spec or a case names: give one");
  if (options.attention && !wanted_families(options).contains("attention"))
    fail("attention is placed by the cases auto and transformer: name one of them");
}

Sites place(const ir::Graph& graph, const PlaceOptions& options) {
  check_options(options);
  Sites sites(graph);
  apply_spec(sites, options.spec);
  const std::set<std::string_view> wanted = wanted_families(options);
  for (size_t before = SIZE_MAX; before != sites.revision();) {
    before = sites.revision();
    for (const OwnCase& own : options.own_cases) own.place(sites);
    for (const Family& family : kFamilies) {
      if (wanted.contains(family.name)) family.place(sites);
    }
  }
  share_scales(sites);
  return sites;
}

}  // namespace kvant::quant
