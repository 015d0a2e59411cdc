// SPDX-License-Identifier: Apache-2.0
// A spec on a graph: which entry each layer goes by, and what it claims.
#pragma once

#include <set>
#include <string>

#include "quant/placement/sites.h"
#include "quant/spec/spec.h"

namespace kvant::quant {

// Sets the rule of every layer that an entry fits and claims what the entry asks for. Q/DQ pairs that the
// model came with are not layers. A pattern (glob or expression) that asks for pairs passes over what a
// default never quantizes: activations, data movement, norms that fuse, additions of a constant; a name or a
// class does not. Fails, naming the entry, when it fits nothing (with the nearest names), when an operator is
// unknown, when an index is not one of the layer's inputs or points to a constant, and when nothing of what
// it asks to quantize can be.
void apply_spec(Sites& sites, const Spec& spec);

// Fails as apply_spec() does on entries that fit no node of `graph`.
void check_matches(const ir::Graph& graph, const Spec& spec);

// Names of nodes that an entry asks to quantize by name or by class: the batch norms among them are not to be
// folded away.
std::set<std::string> names_to_keep(const ir::Graph& graph, const Spec& spec);

// The entries without those that only keep layers in float which `graph` does not have (any more). Fails on
// an entry that asks for pairs and fits nothing that is left.
Spec without_removed(const ir::Graph& graph, const Spec& spec);

}  // namespace kvant::quant
