// SPDX-License-Identifier: Apache-2.0
// Which inputs of which nodes get a Q/DQ pair: what a spec says of single layers, then cases, which are lists
// of families of patterns (cases.inc, placements.inc), then a user's own.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/placement/sites.h"
#include "quant/spec/spec.h"

namespace kvant::quant {

struct Family {
  std::string_view name;
  std::string_view summary;
  void (*place)(Sites&);  // claims what it finds; called again until no family claims anything new
};

struct Case {
  std::string_view name;
  std::string_view summary;
  std::string_view families;  // names, separated by spaces
};

// In the order of placements.inc, and of cases.inc.
std::span<const Family> families();
std::span<const Case> cases();

// A case of a user's own: `place` claims sites (want_activation, want_weighted) and may set rules of single
// layers (set_rule). It is called again until nothing new is claimed; a spec's rules are stronger than its
// own, its own stronger than the other cases' claims.
struct OwnCase {
  std::string name;
  std::function<void(Sites&)> place;
};

enum class PlaceMode {
  Full,     // the cases, and what the spec adds and takes away
  Partial,  // only what the spec, or a case beyond the default layers, names
};

struct PlaceOptions {
  PlaceMode mode = PlaceMode::Full;
  Spec spec;
  std::vector<std::string> cases;  // names; empty: auto (mode full), or none at all (mode partial)
  std::vector<OwnCase> own_cases;
  bool attention = false;  // the products of an attention too (cases auto and transformer)
  // Smooth activations between quantized tensors read a pair too, whatever the case: the engine then computes
  // them by tables of codes, at the price of one more rounding.
  bool activation_tables = false;
};

// Fails on what contradicts itself, whatever the model: an unknown case (with the nearest), `none` beside
// other cases, mode partial without anything that names a layer or with a case that names none, attention
// where no case places it; and as check_spec() does.
void check_options(const PlaceOptions& options);

// The sites on `graph` (types inferred, constants folded), which must outlive the result. Inputs that already
// read a Q/DQ pair are left as they are and count as quantized. Fails as check_options() and apply_spec() do.
Sites place(const ir::Graph& graph, const PlaceOptions& options = {});

// One scale on both sides of an operator that only moves elements, where both have a pair.
void share_scales(Sites& sites);

}  // namespace kvant::quant
