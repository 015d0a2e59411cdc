// SPDX-License-Identifier: Apache-2.0
#include "engine/build/build.h"

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/nearest.h"
#include "base/thread_pool.h"
#include "engine/build/memory_plan.h"
#include "engine/build/tune.h"
#include "engine/passes/fuse_add_real.h"
#include "engine/passes/fuse_channel_affine.h"
#include "engine/passes/fuse_squeeze_excite.h"
#include "engine/run/executor.h"
#include "ir/infer.h"
#include "ir/verify.h"

namespace kvant::engine {
namespace {

// Constants up to this many elements stay in the plan's graph: type rules read shapes, axes and scales from
// them.
constexpr int64_t kSmallConstant = 64;

void bind(ir::Graph& graph, const ir::OpTable& ops, const BuildOptions& options) {
  if (options.batch < 1) fail("a batch of {}: give 1 or more", options.batch);
  std::map<std::string, Shape> shapes = options.shapes;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const ir::Value& input = graph.value(graph.inputs()[i]);
    if (!shapes.contains(input.name)) shapes[input.name] = ir::batched_shape(graph, i, options.batch);
  }
  ir::bind_shapes(graph, ops, shapes);
}

// Watched tensors become outputs while the graph is fused.
void keep_watched(ir::Graph& graph, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const ir::Value& value = graph.value(static_cast<ir::ValueId>(i));
    if (!value.erased) known.push_back(value.name);
  }
  for (const std::string& name : names) {
    const ir::ValueId id = graph.find_value(name);
    if (id == ir::kNone) fail("the model holds no tensor '{}'{}", name, nearest_hint(name, known));
    if (!graph.is_output(id) && graph.value(id).producer != ir::kNone) graph.add_output(id);
  }
}

// The first backend that takes the node, with its tactics.
std::vector<std::string> choose(const NodeView& view, std::span<const Backend* const> backends,
                                PlanStep& step, const Backend*& chosen) {
  for (const Backend* backend : backends) {
    std::string why;
    std::vector<std::string> tactics = backend->tactics(view, why);
    if (!tactics.empty()) {
      step.backend = backend->name();
      step.tactic = tactics.front();
      chosen = backend;
      return tactics;
    }
    if (!step.fallback.empty()) step.fallback += "; ";
    const std::string who = fmt::format("{}: ", backend->name());
    step.fallback += why.starts_with(who) ? why : who + (why.empty() ? "no kernel" : why);
  }
  fail("no backend can run {} '{}' ({})", view.node.op, view.node.name, step.fallback);
}

std::vector<PlanStep> choose_steps(const ir::Graph& graph, std::span<const Backend* const> backends,
                                   int threads, Progress& progress, std::vector<Candidates>& candidates) {
  std::vector<PlanStep> steps;
  const std::vector<ir::NodeId> order = graph.topological_order();
  progress.begin("packing", static_cast<int64_t>(order.size()), "layers");
  for (const ir::NodeId id : order) {
    check_interrupt();
    PlanStep step;
    step.node = id;
    const ir::Node& node = graph.node(id);
    if (is_view(graph, node) && !graph.is_output(node.outputs[0]) && !graph.is_constant(node.inputs[0])) {
      step.backend = kView;
    } else {
      const NodeView view = view_of(graph, id, threads);
      const Backend* backend = nullptr;
      std::vector<std::string> tactics = choose(view, backends, step, backend);
      step.packed = backend->pack(view, step.tactic);
      if (tactics.size() > 1 && backend->has_clock())
        candidates.push_back({steps.size(), backend, std::move(tactics)});
    }
    steps.push_back(std::move(step));
    progress.update(static_cast<int64_t>(steps.size()), "");
  }
  progress.end();
  return steps;
}

// Large constants live in packed form only: in the graph an input of their type stands for them.
void drop_packed_constants(ir::Graph& graph) {
  for (size_t i = 0, n = graph.value_capacity(); i < n; ++i) {
    const auto id = static_cast<ir::ValueId>(i);
    const ir::Value& value = graph.value(id);
    if (value.erased || !value.constant || graph.is_output(id) || value.constant->size() <= kSmallConstant)
      continue;
    const std::string name = value.name;
    const ir::Type type{value.constant->dtype(), value.constant->shape()};
    graph.rename_value(id, name + "~");
    graph.replace_uses(id, graph.add_input(name, type));
  }
  graph.erase_dead();
}

// What `first` has kernels for decides about fusions that others gain nothing from; nullptr: none are made.
ir::Graph lower_for(const Backend* first, ir::Graph graph, const ir::OpTable& ops,
                    const BuildOptions& options, std::vector<ir::PassRecord>* records) {
  bind(graph, ops, options);
  ir::fold_constants(graph, ops);
  ir::verify_qdq(graph);
  const int outputs = static_cast<int>(graph.outputs().size());
  keep_watched(graph, options.watch);
  std::vector<ir::Pass> passes = default_pipeline({.mode = options.mode, .model_outputs = outputs});
  const auto has_kernel = [&](const NodeView& view) {
    std::string why;  // watched tensors are no longer held back from fusion here
    return first != nullptr && options.watch.empty() && !first->tactics(view, why).empty();
  };
  // Before the last one, which tidies the probes up.
  passes.insert(passes.end() - 1, {fuse_squeeze_excite(has_kernel), fuse_channel_affine(has_kernel),
                                   fuse_add_real(has_kernel)});
  auto done = ir::run_passes(graph, ops, passes, {.skip = options.skip, .check = options.check});
  if (records != nullptr) *records = std::move(done);
  return graph;
}

}  // namespace

ir::Graph lower(ir::Graph graph, const ir::OpTable& ops, const BuildOptions& options,
                std::vector<ir::PassRecord>* records) {
  return lower_for(nullptr, std::move(graph), ops, options, records);
}

Plan build(ir::Graph graph, const ir::OpTable& ops, std::span<const Backend* const> backends,
           const BuildOptions& options) {
  Progress& progress = options.progress != nullptr ? *options.progress : silent_progress();
  Plan plan;
  plan.graph =
      lower_for(backends.empty() ? nullptr : backends.front(), std::move(graph), ops, options, nullptr);
  plan.input_count = plan.graph.inputs().size();
  plan.threads = options.threads > 0 ? options.threads : available_cores();
  plan.info["mode"] = options.mode == Mode::Integer ? "integer" : "simulate";
  for (const ir::NodeId id : plan.graph.topological_order()) {
    for (const ir::ValueId output : plan.graph.node(id).outputs) {
      if (output == ir::kNone) continue;
      noting(
          [&] {
            return fmt::format("while building {} '{}'", plan.graph.node(id).op, plan.graph.node(id).name);
          },
          [&] { value_bytes(plan.graph, output); });
    }
  }
  std::vector<Candidates> candidates;
  plan.steps = choose_steps(plan.graph, backends, plan.threads, progress, candidates);
  for (const Backend* backend : backends) {
    const bool used =
        std::ranges::any_of(plan.steps, [&](const PlanStep& s) { return s.backend == backend->name(); });
    if (used && !backend->needs().empty()) plan.needs[std::string(backend->name())] = backend->needs();
  }
  if (options.tune && options.timing_cache.empty()) {
    tune(plan, backends, candidates, nullptr, progress);
  } else if (options.tune) {
    TimingCache cache(options.timing_cache);
    tune(plan, backends, candidates, &cache, progress);
    cache.save();
  }
  for (const PlanStep& step : plan.steps) plan.isa = std::max(plan.isa, isa_in(step.tactic));
  drop_packed_constants(plan.graph);
  plan_memory(plan);
  return plan;
}

}  // namespace kvant::engine
