// SPDX-License-Identifier: Apache-2.0
// Plans whose steps run on the host and on a device: the same results wherever the border lies, no copy that
// is not needed, one recording where nothing falls back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "engine/build/prove.h"
#include "engine/passes/networks_test.h"
#include "engine/run/far_backend_test.h"
#include "engine/run/stretches.h"

namespace kvant::engine {
namespace {

using testing::HasSubstr;

struct Pair {
  explicit Pair(std::set<std::string> takes = {}) : far(std::move(takes)), backends{&far, &near} {}
  FarBackend far;
  EvaluatingBackend near;
  std::vector<const Backend*> backends;
};

std::vector<Tensor> on_host(const ir::Graph& graph, const std::vector<Tensor>& inputs) {
  const EvaluatingBackend backend;
  const std::vector<const Backend*> backends = {&backend};
  return Engine(build(graph, ops::standard(), backends, {.threads = 1}), backends).run(inputs);
}

TEST(Device, GivesTheSameWhereverTheBorderLies) {
  const std::vector<std::set<std::string>> borders = {{},
                                                      {"QConv"},
                                                      {"QAdd", "QGemm"},
                                                      {"QuantizeLinear", "Transpose"},
                                                      {"QConv", "QAdd", "QMul", "QLut"},
                                                      {"DequantizeLinear"}};
  for (const Network& network : networks()) {
    const ir::Graph graph = typed(network.text);
    const std::vector<Tensor> inputs = random_inputs(graph);
    const std::vector<Tensor> expected = on_host(graph, inputs);
    for (const auto& takes : borders) {
      SCOPED_TRACE(fmt::format("{} with {} operators far away", network.name, takes.size()));
      const Pair pair(takes);
      Engine engine(build(graph, ops::standard(), pair.backends, {.threads = 1}), pair.backends);
      for (int run = 0; run < 4; ++run) EXPECT_EQ(expected, engine.run(inputs)) << "run " << run;
      engine.set_profiling(true);
      EXPECT_EQ(expected, engine.run(inputs)) << "while profiling";
    }
  }
}

TEST(Device, IsOneRecordingWhenNothingFallsBack) {
  const ir::Graph graph = typed(resnet_v1());
  const Pair pair;
  Engine engine(build(graph, ops::standard(), pair.backends, {.threads = 1}), pair.backends);
  const std::vector<Tensor> inputs = random_inputs(graph);
  EXPECT_EQ(engine.replay_nanoseconds(), 0) << "nothing is recorded yet";
  for (int run = 0; run < 5; ++run) engine.run(inputs);
  const FarSession::Counts counts = pair.far.session->counts;
  EXPECT_EQ(counts.recordings, 1);
  EXPECT_EQ(counts.replays, 4);
  EXPECT_EQ(counts.uploads, 5 * static_cast<int>(inputs.size()));
  EXPECT_EQ(counts.downloads, 5);
  EXPECT_EQ(engine.copies().count, static_cast<int64_t>(inputs.size()) + 1);
  EXPECT_EQ(engine.replay_nanoseconds(), 1000);
  for (const LayerTime& layer : engine.profile()) EXPECT_EQ(layer.fallback, "") << layer.node;
}

// A tensor goes over once, however many steps read it there.
TEST(Device, CopiesATensorOnce) {
  const ir::Graph graph = typed(resnet_v1());
  const Pair pair({"QConv", "QGemm"});
  const Plan plan = build(graph, ops::standard(), pair.backends, {.threads = 1});
  EXPECT_EQ(plan.needs.at("far"), "distance_7");
  std::vector<size_t> memories;
  for (const PlanStep& step : plan.steps) memories.push_back(step.backend == "far" ? 1 : 0);
  const Stretches stretches = stretches_of(plan, memories);
  std::vector<Move> all = stretches.results;
  size_t steps = 0;
  for (const Stretch& stretch : stretches.stretches) {
    all.insert(all.end(), stretch.moves.begin(), stretch.moves.end());
    steps += stretch.last - stretch.first + 1;
    for (const Move& move : stretch.moves) EXPECT_EQ(move.to, stretch.memory);
  }
  EXPECT_EQ(steps, plan.steps.size());
  EXPECT_GT(all.size(), 2u);
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = i + 1; j < all.size(); ++j) EXPECT_FALSE(all[i] == all[j]);
  }
  Engine engine(plan, pair.backends);
  EXPECT_EQ(engine.copies().count, static_cast<int64_t>(all.size()));
  bool told = false;
  for (const LayerTime& layer : engine.profile()) told = told || layer.fallback == "far: left to the host";
  EXPECT_TRUE(told);
}

TEST(Device, ShowsItsTensors) {
  const ir::Graph graph = typed(resnet_v1());
  const std::vector<Tensor> inputs = random_inputs(graph);
  const EvaluatingBackend near;
  const std::vector<const Backend*> host = {&near};
  Engine expected(build(graph, ops::standard(), host, {.threads = 1}), host);
  for (const std::set<std::string>& takes : {std::set<std::string>{}, std::set<std::string>{"QConv"}}) {
    const Pair pair(takes);
    Engine engine(build(graph, ops::standard(), pair.backends, {.threads = 1}), pair.backends);
    const std::vector<std::string> names = expected.watchable();
    ASSERT_EQ(names, engine.watchable());
    expected.watch(names);
    engine.watch(names);
    std::map<std::string, Tensor> want, have;
    expected.run(inputs, [&](const std::string& name, const Tensor& t) { want[name] = t; });
    for (int run = 0; run < 3; ++run)
      engine.run(inputs, [&](const std::string& name, const Tensor& t) { have[name] = t; });
    EXPECT_EQ(want, have);
  }
}

TEST(Device, KeepsWhatItNeedsInThePlan) {
  const ir::Graph graph = typed(mlp());
  Pair pair;
  const Plan plan = build(graph, ops::standard(), pair.backends, {.threads = 1});
  const auto path = std::filesystem::path(testing::TempDir()) / "kvant_far.plan";
  write_plan(plan, path);
  const Plan again = read_plan(path, ops::standard());
  EXPECT_EQ(again.needs, plan.needs);
  const auto refusal = [&](std::span<const Backend* const> backends) -> std::string {
    try {
      Engine engine(again, backends);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal(pair.backends), "");
  pair.far.distance = 8;
  EXPECT_THAT(refusal(pair.backends), HasSubstr("the plan was built for distance_7 and this is distance_8"));
  const std::vector<const Backend*> host = {&pair.near};
  EXPECT_THAT(refusal(host), HasSubstr("the plan needs the backend 'far'"));
  pair.far.distance = 7;
  pair.far.template_->limit = 64;
  EXPECT_THAT(refusal(pair.backends), HasSubstr("not enough memory"));
}

// Its second tactic is slow and right, its third fast and wrong.
class LyingBackend final : public Backend {
 public:
  std::string_view name() const override { return "far"; }
  std::vector<std::string> tactics(const NodeView&, std::string&) const override {
    return {"plain", "again", "wrong"};
  }
  std::vector<Tensor> pack(const NodeView& view, std::string_view) const override {
    return far_.pack(view, "plain");
  }
  std::unique_ptr<Step> load(const NodeView& view, std::string_view tactic,
                             std::vector<Tensor> packed) const override {
    auto step = far_.load(view, "plain", std::move(packed));
    if (tactic == "wrong") return std::make_unique<Idle>();
    return step;
  }
  std::shared_ptr<Session> open() const override { return far_.open(); }
  std::string processor() const override { return "a far one"; }

 private:
  struct Idle final : Step {
    void run(const RunArgs&) override {}
  };
  FarBackend far_;
};

TEST(Tactics, ThatGiveOtherBytesAreNeverChosen) {
  const ir::Graph graph = typed(mlp());
  const LyingBackend lying;
  const std::vector<const Backend*> backends = {&lying};
  const auto cache = std::filesystem::path(testing::TempDir()) / "kvant_far_timings";
  std::filesystem::remove(cache);
  const Plan plan =
      build(graph, ops::standard(), backends, {.threads = 1, .tune = true, .timing_cache = cache});
  for (const PlanStep& step : plan.steps) EXPECT_NE(step.tactic, "wrong");
  EXPECT_THAT(plan.info.at("refused tactics"), HasSubstr(":wrong"));
  EXPECT_THAT(plan.info.at("refused tactics"), testing::Not(HasSubstr(":again")));
  EXPECT_THAT(read_text(cache), HasSubstr("a far one QGemm"));
  const std::vector<Tensor> inputs = random_inputs(graph);
  EXPECT_EQ(on_host(graph, inputs), Engine(plan, backends).run(inputs));
}

}  // namespace
}  // namespace kvant::engine
