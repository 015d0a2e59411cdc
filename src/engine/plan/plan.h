// SPDX-License-Identifier: Apache-2.0
// A compiled network: the lowered graph, what runs each node, its constants as the kernels read them, and
// where each tensor lives. Data only; kept in a file that is memory-mapped and never trusted
// (docs/plan-format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::engine {

// The version of the file format that this build writes and reads.
inline constexpr uint32_t kPlanVersion = 1;
// PlanStep::backend of nodes whose output shares the memory of their input (Reshape and its like).
inline constexpr std::string_view kView = "view";
// Arena offsets and blobs are multiples of this.
inline constexpr size_t kAlignment = 64;
// Offset of a value that has no memory in the arena.
inline constexpr int64_t kNoOffset = -1;

// What runs one node.
struct PlanStep {
  ir::NodeId node = ir::kNone;
  std::string backend;         // a backend's name, or kView
  std::string tactic;          // that backend's name for the kernel and its parameters
  std::string fallback;        // why no backend before this one took the node; empty when the first did
  std::vector<Tensor> packed;  // constants in the tactic's form
};

struct Plan {
  // The lowered graph. Inputs after the first `input_count` stand for constants that live in `packed` only.
  ir::Graph graph;
  size_t input_count = 0;
  int threads = 1;
  Isa isa = Isa::None;           // what the tactics need
  std::vector<PlanStep> steps;   // in execution order: the graph's topological order
  std::vector<int64_t> offsets;  // by value: into the arena, or kNoOffset
  size_t arena_bytes = 0;
  std::map<std::string, std::string> needs;  // by backend: what it needs of a machine (Backend::needs)
  std::map<std::string, std::string> info;   // how it was built ("mode", "batch"): for people
};

// Writes the plan, whole or not at all. The same plan gives the same bytes.
void write_plan(const Plan& plan, const std::filesystem::path& path);

// Maps and checks a plan; packed constants point into the file. Fails, never crashes, on a file that is no
// plan, is truncated, damaged, of another version, or needs instructions that this CPU lacks.
Plan read_plan(const std::filesystem::path& path, const ir::OpTable& ops);

// For each value the one whose memory it uses: itself, or what a chain of view steps leads back to.
std::vector<ir::ValueId> storage_roots(const Plan& plan);

// Steps (indices into plan.steps) between which the memory of a root value must stay untouched.
struct LiveRange {
  size_t first = 0;
  size_t last = 0;
  bool overlaps(const LiveRange& other) const { return first <= other.last && other.first <= last; }
};
// By value; only roots that need arena memory (made by a step, no graph output) have an entry.
std::map<ir::ValueId, LiveRange> live_ranges(const Plan& plan);

// Bytes of a value of static type; fails on one whose shape is not known.
size_t value_bytes(const ir::Graph& graph, ir::ValueId id);

// Whether the node merely reinterprets its input's bytes (so that it may be a view step).
bool is_view(const ir::Graph& graph, const ir::Node& node);

// Checks offsets against sizes and live ranges; fails with the value at fault.
void check_memory(const Plan& plan);

}  // namespace kvant::engine
