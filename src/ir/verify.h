// SPDX-License-Identifier: Apache-2.0
// The graph's invariants, checked after import (as the user's error) and after every pass (as ours).
#pragma once

#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::ir {

// Fails (Error, with the node) on: a cycle, an unknown operator, too few or too many inputs or outputs,
// unknown or ill-typed attributes, a use of an erased value, inconsistent uses and producers, duplicate
// names, no outputs.
void verify(const Graph& graph, const OpTable& ops);

// What of this concerns one node alone: operator known, counts of inputs and outputs, attributes.
void verify_node(const Node& node, const OpTable& ops);

// What every Q and DQ must satisfy (qdq-rules.md 10): constant scale, positive and finite; zero point of the
// same shape, of an integer type; per-channel size equal to the dimension at its axis. Fails with the node
// and what to do.
void verify_qdq(const Graph& graph);

}  // namespace kvant::ir
