// SPDX-License-Identifier: Apache-2.0
#include "cli/placement_flags.h"

#include <fmt/ranges.h>

#include "quant/spec/read_spec.h"

namespace kvant::cli {
namespace {

// --case may be given several times, and takes lists with commas.
std::vector<std::string> case_names(const Flags& flags) {
  std::vector<std::string> names;
  for (const std::string& text : flags.texts("case")) {
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      names.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return names;
}

bool is_partial(const Flags& flags) { return flags.text("mode") == "partial"; }

}  // namespace

std::vector<Flag> placement_flags() {
  std::vector<std::string_view> names;
  for (const quant::Case& entry : quant::cases()) names.push_back(entry.name);
  return {
      {.name = "mode",
       .value = "MODE",
       .help = "partial quantizes only what the spec or a case names",
       .fallback = "full",
       .choices = {"full", "partial"}},
      {.name = "spec",
       .value = "FILE",
       .help = "what single layers or classes get, as JSON or TOML (docs/placement.md)"},
      {.name = "case",
       .value = "NAME",
       .help = fmt::format("patterns to place, several times or with commas: {} [auto; mode partial: none]",
                           fmt::join(names, ", ")),
       .many = true},
      {.name = "attention", .value = "", .help = "quantize the products of attentions too (Q K and P V)"},
      {.name = "activation-tables",
       .value = "",
       .help = "quantize before SiLU, HardSwish, GELU and Mish too: faster, one rounding more"},
  };
}

quant::PlaceOptions placement_options_of(const Flags& flags) {
  quant::PlaceOptions options;
  options.mode = is_partial(flags) ? quant::PlaceMode::Partial : quant::PlaceMode::Full;
  options.cases = case_names(flags);
  options.attention = flags.on("attention");
  options.activation_tables = flags.on("activation-tables");
  if (flags.given("spec")) options.spec = quant::read_spec(flags.path("spec"));
  try {
    quant::check_options(options);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return options;
}

Json cases_json(const Flags& flags) {
  const std::vector<std::string> names = case_names(flags);
  return names.empty() && !is_partial(flags) ? Json::array({"auto"}) : Json(names);
}

Json pairs_json(const quant::PlacementReport& report) {
  Json pairs = Json::array();
  for (const quant::PairReport& pair : report.pairs) {
    pairs.push_back({{"tensor", pair.tensor},
                     {"node", pair.quantize},
                     {"weight", pair.weight},
                     {"bits", pair.bits},
                     {"readers", pair.readers},
                     {"reason", pair.reason}});
  }
  return pairs;
}

}  // namespace kvant::cli
