// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/staged_runs.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "ir/infer.h"

namespace kvant::quant {

using ir::Graph;
using ir::kNone;
using ir::NodeId;
using ir::ValueId;

namespace {

std::vector<Shape> shapes_of(std::span<const Tensor> inputs) {
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  return shapes;
}

// What a stage starts from and leaves.
struct Step {
  std::set<std::string> reads, leaves;  // leaves: all that is kept after it, what was there before too
};

// Who computes what, for a graph whose shapes are known and whose shape arithmetic is folded.
class Schedule {
 public:
  Schedule(const Graph& graph, const std::vector<Stage>& stages) : graph_(graph) {
    find_varying();
    for (const Stage& stage : stages) {
      for (const auto* names : {&stage.shown, &stage.tried})
        for (const std::string& name : *names) need(value_of(name));
    }
    for (size_t i = 0; i < stages.size(); ++i) add_step(stages, i);
  }

  std::vector<Step> steps;
  int64_t most_bytes = 0;

 private:
  ValueId value_of(const std::string& name) const {
    const ValueId value = graph_.find_value(name);
    KVANT_CHECK(value != kNone, "no tensor '" + name + "' to stage");
    return value;
  }
  NodeId producer(ValueId value) const { return graph_.value(value).producer; }

  // Values that depend on the graph's inputs.
  void find_varying() {
    varies_.assign(graph_.value_capacity(), false);
    for (const ValueId input : graph_.inputs()) varies_[static_cast<size_t>(input)] = true;
    for (const NodeId id : graph_.topological_order()) {
      const ir::Node& node = graph_.node(id);
      const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                   [&](ValueId v) { return v != kNone && varies_[static_cast<size_t>(v)]; });
      for (const ValueId output : node.outputs)
        if (any && output != kNone) varies_[static_cast<size_t>(output)] = true;
    }
  }

  // Calls visit(value) for what `value` is computed from, up to what visit() returns false for.
  template <class Visit>
  void walk(ValueId from, const Visit& visit) const {
    std::vector<ValueId> open{from};
    std::set<ValueId> seen{from};
    while (!open.empty()) {
      const ValueId value = open.back();
      open.pop_back();
      if (!varies_[static_cast<size_t>(value)] || !visit(value)) continue;
      for (const ValueId input : graph_.node(producer(value)).inputs)
        if (input != kNone && seen.insert(input).second) open.push_back(input);
    }
  }

  void need(ValueId value) {
    walk(value, [&](ValueId v) { return producer(v) != kNone && needed_.insert(producer(v)).second; });
  }

  bool available(ValueId value) const { return producer(value) == kNone || done_.contains(producer(value)); }

  void add_step(const std::vector<Stage>& stages, size_t index) {
    Step step;
    const std::set<NodeId> before = done_;
    const auto starts = [&](ValueId v) {
      if (producer(v) != kNone && !before.contains(producer(v))) return false;
      step.reads.insert(graph_.value(v).name);
      return true;
    };
    for (const std::string& name : stages[index].shown) {
      walk(value_of(name), [&](ValueId v) { return !starts(v) && (done_.insert(producer(v)), true); });
    }
    for (const std::string& name : stages[index].tried)
      walk(value_of(name), [&](ValueId v) { return !starts(v); });
    std::set<ValueId> asked;
    for (size_t later = index + 1; later < stages.size(); ++later) {
      for (const auto* names : {&stages[later].shown, &stages[later].tried})
        for (const std::string& name : *names) asked.insert(value_of(name));
    }
    for (size_t v = 0; v < varies_.size(); ++v) {
      const auto value = static_cast<ValueId>(v);
      if (!varies_[v] || !available(value)) continue;
      const auto& uses = graph_.value(value).uses;
      const bool read_later = std::any_of(uses.begin(), uses.end(), [&](const ir::Use& use) {
        return needed_.contains(use.node) && !done_.contains(use.node);
      });
      if (read_later || asked.contains(value)) step.leaves.insert(graph_.value(value).name);
    }
    count_bytes(step);
    steps.push_back(std::move(step));
  }

  void count_bytes(const Step& step) {
    std::set<std::string> held = step.leaves;
    if (!steps.empty()) held.insert(steps.back().leaves.begin(), steps.back().leaves.end());
    int64_t bytes = 0;
    for (const std::string& name : held) {
      const ir::Type& type = graph_.value(graph_.find_value(name)).type;
      if (type.is_static()) bytes += element_count(*type.shape) * static_cast<int64_t>(size_of(type.dtype));
    }
    most_bytes = std::max(most_bytes, bytes);
  }

  const Graph& graph_;
  std::vector<bool> varies_;
  std::set<NodeId> needed_, done_;
};

}  // namespace

struct StagedRuns::Variant {
  std::vector<Shape> shapes;
  std::vector<Step> steps;
  int64_t most_bytes = 0;
  // Of the stage that is run:
  std::unique_ptr<Graph> part;
  std::unique_ptr<ir::Runner> runner;
  std::vector<std::string> inputs, outputs;  // names in the whole graph
};

StagedRuns::StagedRuns(const Graph& graph, const ir::OpTable& ops, const RunnerFactory& make_runner,
                       std::vector<Stage> stages)
    : graph_(graph), ops_(ops), make_runner_(make_runner), stages_(std::move(stages)) {}

StagedRuns::~StagedRuns() = default;

namespace {

std::unique_ptr<Graph> bound(const Graph& graph, const ir::OpTable& ops, const std::vector<Shape>& shapes) {
  auto result = std::make_unique<Graph>(graph);
  std::map<std::string, Shape> by_name;
  for (size_t i = 0; i < shapes.size(); ++i) by_name[graph.value(graph.inputs()[i]).name] = shapes[i];
  ir::bind_shapes(*result, ops, by_name);
  ir::fold_constants(*result, ops);
  return result;
}

}  // namespace

StagedRuns::Variant& StagedRuns::variant_for(const std::vector<Shape>& shapes) {
  const auto [entry, fresh] = variants_.try_emplace(shapes);
  if (fresh) {
    Schedule schedule(*bound(graph_, ops_, shapes), stages_);
    entry->second = std::make_unique<Variant>();
    entry->second->shapes = shapes;
    entry->second->steps = std::move(schedule.steps);
    entry->second->most_bytes = schedule.most_bytes;
  }
  return *entry->second;
}

int64_t StagedRuns::bytes_for(std::span<const Tensor> inputs) {
  ir::check_inputs(graph_, inputs);
  return variant_for(shapes_of(inputs)).most_bytes;
}

void StagedRuns::set_batches(std::vector<std::vector<Tensor>> batches) {
  KVANT_CHECK(next_ == 0, "batches are given before the first stage");
  kept_.clear();
  variant_of_.clear();
  for (std::vector<Tensor>& batch : batches) {
    ir::check_inputs(graph_, batch);
    variant_of_.push_back(&variant_for(shapes_of(batch)));
    auto& tensors = kept_.emplace_back();
    for (size_t i = 0; i < batch.size(); ++i)
      tensors[graph_.value(graph_.inputs()[i]).name] = std::move(batch[i]);
  }
}

void StagedRuns::prepare(Variant& variant) const {
  const Step& step = variant.steps[next_ - 1];
  variant.runner.reset();
  variant.part = bound(graph_, ops_, variant.shapes);
  Graph& part = *variant.part;
  std::set<std::string> made = step.leaves;
  const Stage& stage = stages_[next_ - 1];
  made.insert(stage.shown.begin(), stage.shown.end());
  made.insert(stage.tried.begin(), stage.tried.end());
  const auto kept_before = [&](const std::string& name) {
    return part.value(part.find_value(name)).producer == kNone ||
           (next_ > 1 && variant.steps[next_ - 2].leaves.contains(name));
  };
  std::vector<ValueId> outputs;
  variant.outputs.clear();
  for (const std::string& name : made) {
    if (kept_before(name)) continue;
    variant.outputs.push_back(name);
    outputs.push_back(part.find_value(name));
  }
  part.set_outputs(std::move(outputs));
  std::map<std::string, std::string> whole_name;
  for (const std::string& name : step.reads) {
    const ValueId value = part.find_value(name);
    if (part.value(value).producer == kNone) continue;
    const ValueId input = part.add_input(name + "_kept", part.value(value).type);
    whole_name[part.value(input).name] = name;
    part.replace_uses(value, input);
  }
  part.erase_dead();
  const std::vector<ValueId> all(part.inputs().begin(), part.inputs().end());
  for (const ValueId input : all)
    if (part.use_count(input) == 0) part.remove_input(input);
  variant.inputs.clear();
  for (const ValueId input : part.inputs()) {
    const std::string& name = part.value(input).name;
    const auto renamed = whole_name.find(name);
    variant.inputs.push_back(renamed == whole_name.end() ? name : renamed->second);
  }
  if (!variant.outputs.empty()) variant.runner = make_runner_(part);
}

void StagedRuns::advance() {
  KVANT_CHECK(next_ < stages_.size(), "there is no further stage");
  check_interrupt();
  ++next_;
  for (const auto& [shapes, variant] : variants_) {
    if (std::find(variant_of_.begin(), variant_of_.end(), variant.get()) != variant_of_.end())
      prepare(*variant);
  }
}

std::vector<Tensor> StagedRuns::run(size_t batch) {
  Variant& variant = *variant_of_[batch];
  std::map<std::string, Tensor>& kept = kept_[batch];
  if (variant.runner) {
    std::vector<Tensor> inputs;
    for (const std::string& name : variant.inputs) inputs.push_back(kept.at(name));
    std::vector<Tensor> made = variant.runner->run(inputs);
    for (size_t i = 0; i < made.size(); ++i) kept[variant.outputs[i]] = std::move(made[i]);
  }
  std::vector<Tensor> result;
  const Stage& stage = stages_[next_ - 1];
  for (const auto* names : {&stage.shown, &stage.tried})
    for (const std::string& name : *names) result.push_back(kept.at(name));
  std::erase_if(kept,
                [&](const auto& entry) { return !variant.steps[next_ - 1].leaves.contains(entry.first); });
  return result;
}

std::vector<std::vector<Tensor>> spread_batches(const CalibrationSet& data, Part part, int64_t limit,
                                                const std::function<int64_t(std::span<const Tensor>)>& cost) {
  double total = 0;
  for (const BatchSource source = data.open(part); const auto inputs = source();) {
    check_interrupt();
    total += static_cast<double>(cost(*inputs));
  }
  const double share = std::min(1.0, static_cast<double>(limit) / std::max(total, 1.0));
  std::vector<std::vector<Tensor>> batches;
  double owed = 1 - share + 1e-9;  // the first batch is always taken
  for (const BatchSource source = data.open(part); auto inputs = source();) {
    check_interrupt();
    owed += share;
    if (owed < 1) continue;
    owed -= 1;
    batches.push_back(std::move(*inputs));
  }
  if (batches.empty()) fail("there is no calibration sample");
  return batches;
}

}  // namespace kvant::quant
