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

// Contexts take the constants that are there; the host lets go of its own.
TEST(Device, HasTheConstantsOfAPlanOnce) {
  const ir::Graph graph = typed(resnet_v1());
  const Pair pair({"QConv"});
  const std::vector<Tensor> inputs = random_inputs(graph);
  const std::vector<Tensor> expected = on_host(graph, inputs);
  auto first =
      std::make_unique<Engine>(build(graph, ops::standard(), pair.backends, {.threads = 2}), pair.backends);
  const int uploads = pair.far.work->uploads;
  EXPECT_GT(uploads, 3);
  for (const PlanStep& step : first->plan().steps)
    EXPECT_TRUE(step.backend != "far" || step.packed.empty()) << "constants are still on the host";
  Engine second = first->context();
  Engine third = second.context({.threads = 1});
  EXPECT_EQ(first->run(inputs), expected);
  first.reset();
  for (int run = 0; run < 3; ++run) EXPECT_EQ(third.run(inputs), expected) << "run " << run;
  EXPECT_EQ(second.run(inputs), expected);
  EXPECT_EQ(pair.far.work->uploads, uploads);
}

// Counters are an engine's own and shared by its steps; constants are not written.
TEST(Device, CountsApartInEachContext) {
  const ir::Graph graph = typed(resnet_v1());
  const Pair pair;
  const std::vector<Tensor> inputs = random_inputs(graph), expected = on_host(graph, inputs);
  Engine first(build(graph, ops::standard(), pair.backends, {.threads = 1}), pair.backends);
  EXPECT_EQ(first.run(inputs), expected);
  EXPECT_EQ(pair.far.work->counters.size(), 1u);
  Engine second = first.context();
  for (int run = 0; run < 3; ++run) {
    EXPECT_EQ(second.run(inputs), expected);
    EXPECT_EQ(first.run(inputs), expected);
  }
  EXPECT_EQ(pair.far.work->counters.size(), 2u);
}

// A run that fails in the middle of a step, step by step and as a recording, leaves counters as they are:
// the next one begins with zeros.
TEST(Device, RunsAgainAfterARunThatFailed) {
  const ir::Graph graph = typed(resnet_v1());
  const std::vector<Tensor> inputs = random_inputs(graph), expected = on_host(graph, inputs);
  for (const std::set<std::string>& takes : {std::set<std::string>{}, std::set<std::string>{"QConv"}}) {
    const Pair pair(takes);
    Engine engine(build(graph, ops::standard(), pair.backends, {.threads = 1}), pair.backends);
    for (int round = 0; round < 3; ++round) {
      pair.far.work->failing = 2 + round;
      try {
        engine.run(inputs);
        ADD_FAILURE() << "it did not fail";
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("far: a step failed"));
      }
      for (int run = 0; run < 3; ++run) EXPECT_EQ(engine.run(inputs), expected) << round << ' ' << run;
    }
  }
}

// Memory of one device with what a tensor holds, as another library would hand it over.
std::shared_ptr<std::byte> on_device(Engine& engine, FarSession& session, const Tensor& tensor) {
  auto memory = engine.allocate("far", tensor.byte_size());
  session.upload(memory.get(), tensor.raw(), tensor.byte_size());
  session.wait();
  return memory;
}

Tensor from_device(FarSession& session, const std::byte* at, const Tensor& like) {
  Tensor tensor(like.dtype(), like.shape());
  session.download(tensor.mutable_raw(), at, tensor.byte_size());
  session.wait();
  return tensor;
}

// Inputs and outputs lie on the device or on the host, in turns: the same results wherever the border lies.
TEST(Device, TakesAndGivesTensorsThatLieThere) {
  int tried = 0;
  for (const std::set<std::string>& takes : {std::set<std::string>{},
                                             {"QConv"},
                                             {"QuantizeLinear", "Transpose"},
                                             {"QAdd", "QGemm"},
                                             {"DequantizeLinear"}}) {
    for (const std::string& text : {resnet_v1(), conv_chain()}) {
      const ir::Graph graph = typed(text);
      const std::vector<Tensor> inputs = random_inputs(graph);
      const std::vector<Tensor> expected = on_host(graph, inputs);
      const Pair pair(takes);
      const Plan plan = build(graph, ops::standard(), pair.backends, {.threads = 1});
      if (!plan.needs.contains("far")) continue;
      ++tried;
      Engine engine(plan, pair.backends);
      FarSession& session = *pair.far.session;
      const auto far_in = on_device(engine, session, inputs[0]);
      for (const bool pinned : {false, true}) {
        for (int round = 0; round < 6; ++round) {
          SCOPED_TRACE(fmt::format("{} operators far away, round {}", takes.size(), round));
          Tensor result(expected[0].dtype(), expected[0].shape());
          const auto far_out = engine.allocate("far", result.byte_size());
          const Place from = round % 2 == 0 ? Place{far_in.get(), "far"}
                                            : Place{const_cast<std::byte*>(inputs[0].raw()), "", pinned};
          const bool out_there = round / 2 % 2 == 0;
          const Place to = out_there ? Place{far_out.get(), "far"} : Place{result.mutable_raw(), "", pinned};
          engine.run_at({&from, 1}, {&to, 1});
          EXPECT_EQ(out_there ? from_device(session, far_out.get(), result) : result, expected[0]);
        }
      }
      EXPECT_EQ(engine.run(inputs), expected);
    }
  }
  EXPECT_GT(tried, 6);
}

// What lies on the device is not copied, and the same places are replayed.
TEST(Device, CopiesNothingThatLiesThere) {
  const ir::Graph graph = typed(resnet_v1());
  const Pair pair;
  Engine engine(build(graph, ops::standard(), pair.backends, {.threads = 1}), pair.backends);
  const std::vector<Tensor> inputs = random_inputs(graph), expected = on_host(graph, inputs);
  FarSession& session = *pair.far.session;
  const auto in = on_device(engine, session, inputs[0]);
  const auto out = engine.allocate("far", expected[0].byte_size());
  const Place from{in.get(), "far"}, to{out.get(), "far"};
  const FarSession::Counts before = session.counts;
  for (int run = 0; run < 5; ++run) engine.run_at({&from, 1}, {&to, 1});
  EXPECT_EQ(session.counts.uploads, before.uploads);
  EXPECT_EQ(session.counts.downloads, before.downloads);
  EXPECT_EQ(session.counts.recordings, 1);
  EXPECT_EQ(session.counts.replays, 4);
  EXPECT_EQ(from_device(session, out.get(), expected[0]), expected[0]);
  const auto other = engine.allocate("far", expected[0].byte_size());
  const Place there{other.get(), "far"};
  engine.run_at({&from, 1}, {&there, 1});
  EXPECT_EQ(from_device(session, other.get(), expected[0]), expected[0])
      << "a recording of the old place ran";
}

TEST(Device, RefusesPlacesOnADeviceThatItDoesNotUse) {
  const ir::Graph graph = typed(resnet_v1());
  const EvaluatingBackend near;
  const std::vector<const Backend*> host = {&near};
  Engine engine(build(graph, ops::standard(), host, {.threads = 2}), host);
  const std::vector<Tensor> inputs = random_inputs(graph);
  Tensor result(DType::Float32, {4, 10});
  const Place from{const_cast<std::byte*>(inputs[0].raw()), "far"}, to{result.mutable_raw()};
  try {
    engine.run_at({&from, 1}, {&to, 1});
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("lies on the device of 'far', where no step of the plan runs"));
  }
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
