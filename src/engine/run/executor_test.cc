// SPDX-License-Identifier: Apache-2.0
// Profiles, tuning, and tensors of the model seen in a running plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "engine/passes/networks_test.h"
#include "engine/run/evaluating_backend_test.h"

namespace kvant::engine {
namespace {

TEST(Profiles, NameTheLayersOfTheModelAndCountTheRuns) {
  const ir::Graph graph = typed(resnet_v1());
  const EvaluatingBackend backend;
  const std::vector<const Backend*> backends = {&backend};
  Engine engine(build(graph, ops::standard(), backends, {.threads = 1}), backends);
  const std::vector<Tensor> inputs = random_inputs(graph);
  engine.run(inputs);
  for (const LayerTime& layer : engine.profile()) EXPECT_EQ(layer.nanoseconds, 0) << layer.node;
  engine.set_profiling(true);
  for (int i = 0; i < 3; ++i) engine.run(inputs);
  std::set<std::string> sources, known;
  int64_t total = 0;
  for (const ir::NodeId id : graph.topological_order()) known.insert(graph.node(id).name);
  for (const LayerTime& layer : engine.profile()) {
    EXPECT_EQ(layer.runs, 3);
    EXPECT_TRUE(layer.backend == "evaluating" || layer.backend == kView) << layer.backend;
    total += layer.nanoseconds;
    for (const std::string& source : layer.sources) {
      EXPECT_TRUE(known.contains(source)) << layer.op << " comes from " << source;
      sources.insert(source);
    }
  }
  EXPECT_GT(total, 0);
  for (const char* layer : {"c1", "r1", "a1", "fc", "g"}) EXPECT_TRUE(sources.contains(layer)) << layer;
  engine.set_profiling(true);
  EXPECT_EQ(engine.profile()[0].nanoseconds, 0) << "profiling starts anew";
}

// Offers a tactic that sleeps before the plain one.
class SleepyBackend final : public Backend {
 public:
  std::string_view name() const override { return "evaluating"; }
  std::vector<std::string> tactics(const NodeView&, std::string&) const override {
    return {"sleepy", "plain"};
  }
  std::vector<Tensor> pack(const NodeView& view, std::string_view) const override {
    return plain_.pack(view, "plain");
  }
  std::unique_ptr<Step> load(const NodeView& view, std::string_view tactic,
                             std::vector<Tensor> packed) const override {
    auto step = plain_.load(view, "plain", std::move(packed));
    if (tactic == "plain") return step;
    return std::make_unique<SleepyStep>(std::move(step));
  }

 private:
  struct SleepyStep final : public Step {
    explicit SleepyStep(std::unique_ptr<Step> s) : step(std::move(s)) {}
    void run(const RunArgs& args) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      step->run(args);
    }
    std::unique_ptr<Step> step;
  };
  EvaluatingBackend plain_;
};

TEST(Tuning, KeepsTheFastestTacticOfEachStepAndTheResults) {
  const ir::Graph graph = typed(mlp());
  const SleepyBackend backend;
  const std::vector<const Backend*> backends = {&backend};
  const Plan first = build(graph, ops::standard(), backends, {.threads = 1});
  const Plan tuned = build(graph, ops::standard(), backends, {.threads = 1, .tune = true});
  ASSERT_EQ(first.steps.size(), tuned.steps.size());
  size_t changed = 0;
  for (size_t i = 0; i < tuned.steps.size(); ++i) {
    if (tuned.steps[i].backend == kView) continue;
    EXPECT_EQ(first.steps[i].tactic, "sleepy");
    changed += tuned.steps[i].tactic == "plain";
  }
  // 5 milliseconds of sleep against a multiplication of small matrices, the best of five runs each.
  EXPECT_GT(changed, 0u);
  const std::vector<Tensor> inputs = random_inputs(graph);
  EXPECT_EQ(Engine(first, backends).run(inputs), Engine(tuned, backends).run(inputs));
}

using Seen = std::map<std::string, Tensor>;

Seen seen_by(ir::Runner& runner, const std::vector<std::string>& names, const std::vector<Tensor>& inputs) {
  Seen seen;
  runner.watch(names);
  runner.run(inputs, [&](const std::string& name, const Tensor& tensor) { seen[name] = tensor; });
  return seen;
}

// Everything but weights; in integers what operators compute in float, and codes. (The rest are results of
// DequantizeLinear, moved or clamped, which BuildOptions::watch does not promise.)
std::vector<std::string> watchable_in(const ir::Graph& graph, Mode mode) {
  const std::set<std::string> computing = {"Conv", "Gemm",    "MatMul",        "Add",
                                           "Mul",  "Sigmoid", "QuantizeLinear"};
  std::vector<std::string> names;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (graph.is_constant(node.inputs[0]) || (mode == Mode::Integer && !computing.contains(node.op)))
      continue;
    for (const ir::ValueId output : node.outputs) names.push_back(graph.value(output).name);
  }
  return names;
}

// Calibration and comparison name tensors that fusion would absorb: asked for, they stay, in the model's
// layout.
TEST(Watching, KeepsTensorsThatFusionWouldAbsorb) {
  const EvaluatingBackend backend;
  const std::vector<const Backend*> backends = {&backend};
  for (const Network& network : networks()) {
    const ir::Graph graph = typed(network.text);
    for (const Mode mode : {Mode::Integer, Mode::Simulate}) {
      const std::vector<std::string> names = watchable_in(graph, mode);
      const std::vector<Tensor> inputs = random_inputs(graph);
      Engine engine(build(graph, ops::standard(), backends, {.threads = 1, .mode = mode, .watch = names}),
                    backends);
      EXPECT_EQ(engine.plan().graph.outputs().size(), 1u);
      ir::Interpreter interpreter(graph, ops::standard());
      const Seen expected = seen_by(interpreter, names, inputs), actual = seen_by(engine, names, inputs);
      for (const std::string& name : names) {
        ASSERT_TRUE(actual.contains(name)) << network.name << ": " << name;
        EXPECT_EQ(expected.at(name).shape(), actual.at(name).shape()) << network.name << ": " << name;
        EXPECT_LE(differing(expected.at(name), actual.at(name), 1e-4), 1e-3) << network.name << ": " << name;
      }
    }
  }
}

}  // namespace
}  // namespace kvant::engine
