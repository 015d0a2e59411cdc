// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"
#include "engine/run/probes.h"

namespace kvant::engine {
namespace {

// Stored through `outer` in a value that is itself only found through `inner`.
Probe composed(const Probe& outer, const Probe& inner) {
  Probe result{.value = inner.value,
               .permutation = outer.permutation,
               .offset = outer.offset + inner.offset,
               .flat = outer.flat || inner.flat};
  if (inner.permutation.empty()) return result;
  result.permutation = inner.permutation;
  if (outer.permutation.size() == inner.permutation.size()) {
    for (int64_t& axis : result.permutation) axis = outer.permutation[static_cast<size_t>(axis)];
  }
  return result;
}

}  // namespace

// probe.a = b, probe.b = c, b gone => probe.a = c; probes of values that nothing holds any more go.
ir::Pass resolve_probes(const LoweringOptions&) {
  return {"resolve-probes", "probe of a probe => probe", ir::Exactness::BitExact,
          [](ir::Graph& graph, const ir::OpTable&) {
            size_t changes = 0;
            const auto probes = probes_of(graph);
            for (const auto& [name, first] : probes) {
              Probe probe = first;
              for (size_t hops = 0; graph.find_value(probe.value) == ir::kNone && hops < probes.size();
                   ++hops) {
                const auto next = probes.find(probe.value);
                if (next == probes.end()) break;
                probe = composed(probe, next->second);
              }
              if (graph.find_value(probe.value) == ir::kNone) {
                graph.metadata.erase(std::string(kProbePrefix) + name);
              } else {
                record_probe(graph, name, probe);
              }
              changes += probe == first ? 0 : 1;
            }
            return changes;
          }};
}

}  // namespace kvant::engine
