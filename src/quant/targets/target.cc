// SPDX-License-Identifier: Apache-2.0
#include "quant/targets/target.h"

#include "base/error.h"
#include "base/nearest.h"
#include "ir/infer.h"
#include "ir/verify.h"
#include "quant/targets/output_pairs.h"

namespace kvant::quant {

#define KVANT_ENTRY(name, summary) \
  void to_##name(ir::Graph&, const ir::OpTable&, const TargetOptions&, TargetReport&);
#include "quant/targets/targets.inc"
#undef KVANT_ENTRY

namespace {

constexpr Target kTargets[] = {
#define KVANT_ENTRY(name, summary) {#name, summary, to_##name},
#include "quant/targets/targets.inc"
#undef KVANT_ENTRY
};

}  // namespace

std::span<const Target> targets() { return kTargets; }

const Target& target_named(std::string_view name) {
  std::vector<std::string> names;
  for (const Target& target : kTargets) {
    if (target.name == name) return target;
    names.emplace_back(target.name);
  }
  fail("there is no target '{}'{}", name, nearest_hint(name, names));
}

TargetReport convert(ir::Graph& graph, const ir::OpTable& ops, const Target& target,
                     const TargetOptions& options) {
  return noting([&] { return fmt::format("while converting to {}", target.name); },
                [&] {
                  ir::verify_qdq(graph);
                  TargetReport report;
                  target.rewrite(graph, ops, options, report);
                  graph.metadata[std::string(kTargetKey)] = std::string(target.name);
                  ir::infer_types(graph, ops);
                  ir::verify(graph, ops);
                  ir::verify_qdq(graph);
                  return report;
                });
}

Codes activation_codes(std::string_view target, int bits) {
  return target == "kvant" && bits == 8 ? Codes::Affine : Codes::Symmetric;
}

std::vector<std::string> outputs_to_calibrate(const ir::Graph& graph, const Target& target) {
  return target.name == "onnxruntime" ? outputs_without_scale(graph) : std::vector<std::string>{};
}

}  // namespace kvant::quant
