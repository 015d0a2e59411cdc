// SPDX-License-Identifier: Apache-2.0
#include "ir/pass.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/nearest.h"
#include "ir/infer.h"
#include "ir/verify.h"

namespace kvant::ir {
namespace {

void check_names(std::span<const Pass> passes, const PassOptions& options) {
  std::vector<std::string> known;
  for (const Pass& pass : passes) known.push_back(pass.name);
  for (const std::string& name : options.skip) {
    if (std::ranges::find(known, name) == known.end())
      fail("there is no pass '{}'{}", name, nearest_hint(name, known));
  }
}

// What a pass leaves behind is ours to answer for, whatever the user's model was.
void verify_after(const Pass& pass, Graph& graph, const OpTable& ops) {
  try {
    verify(graph, ops);
    infer_types(graph, ops);
  } catch (const Error& error) {
    throw Bug(fmt::format("pass {} left a broken graph: {}", pass.name, error.what()));
  }
}

}  // namespace

Pass pass_of(Rule rule, std::string summary, Exactness exactness) {
  std::string name = rule.name;
  return {std::move(name), std::move(summary), exactness,
          [rule = std::move(rule)](Graph& graph, const OpTable&) { return apply(graph, rule); }};
}

std::vector<PassRecord> run_passes(Graph& graph, const OpTable& ops, std::span<const Pass> passes,
                                   const PassOptions& options) {
  check_names(passes, options);
  std::vector<PassRecord> records;
  for (const Pass& pass : passes) {
    PassRecord record{.name = pass.name};
    if (options.skip.contains(pass.name)) {
      record.skipped = true;
      records.push_back(std::move(record));
      continue;
    }
    const std::optional<Graph> before = options.check ? std::optional<Graph>(graph) : std::nullopt;
    const auto start = std::chrono::steady_clock::now();
    record.changes = noting([&] { return "in pass " + pass.name; }, [&] { return pass.run(graph, ops); });
    if (record.changes > 0) {
      verify_after(pass, graph, ops);
      if (options.check) options.check(pass, *before, graph);
    }
    record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace kvant::ir
