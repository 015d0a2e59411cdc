// SPDX-License-Identifier: Apache-2.0
#include "quant/lint/lint.h"

#include "ir/infer.h"
#include "ir/verify.h"

namespace kvant::quant {

#define KVANT_ENTRY(code, name, summary, fix) void find_##name(const ir::Graph&, std::vector<Finding>&);
#include "quant/lint/lints.inc"
#undef KVANT_ENTRY

int64_t fold_lone_weights(ir::Graph& graph);
int64_t join_split_fusions(ir::Graph& graph);
int64_t merge_quantizers(ir::Graph& graph);
int64_t drop_dangling_pairs(ir::Graph& graph);
int64_t move_pairs_before_pads(ir::Graph& graph);
int64_t rewrite_foreign_forms(ir::Graph& graph);

namespace {

constexpr Lint kLints[] = {
#define KVANT_ENTRY(code, name, summary, fix) {#code, summary, find_##name, fix},
#include "quant/lint/lints.inc"
#undef KVANT_ENTRY
};

}  // namespace

std::span<const Lint> lints() { return kLints; }

std::vector<Finding> lint(const ir::Graph& graph) {
  std::vector<Finding> findings;
  for (const Lint& lint : kLints) {
    const size_t before = findings.size();
    lint.find(graph, findings);
    for (size_t i = before; i < findings.size(); ++i) findings[i].code = std::string(lint.code);
  }
  return findings;
}

std::map<std::string, int64_t> fix_findings(ir::Graph& graph, const ir::OpTable& ops) {
  std::map<std::string, int64_t> fixed;
  for (bool changed = true; changed;) {
    changed = false;
    for (const Lint& lint : kLints) {
      if (lint.fix == nullptr) continue;
      const int64_t count = lint.fix(graph);
      if (count == 0) continue;
      fixed[std::string(lint.code)] += count;
      changed = true;
      ir::infer_types(graph, ops);
    }
  }
  ir::verify(graph, ops);
  ir::verify_qdq(graph);
  return fixed;
}

}  // namespace kvant::quant
