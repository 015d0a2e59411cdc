// SPDX-License-Identifier: Apache-2.0
// Images of a batch run one by one: the bits of the batch, and only where nothing mixes them.
#include "engine/run/images_apart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "engine/passes/networks_test.h"
#include "engine/plan/apart.h"
#include "engine/run/evaluating_backend_test.h"

namespace kvant::engine {
namespace {

const EvaluatingBackend kEvaluating;
const std::vector<const Backend*> kBackends = {&kEvaluating};

Plan plan_of(const ir::Graph& graph, int threads) {
  return build(graph, ops::standard(), kBackends, {.threads = threads});
}

std::map<std::string, Tensor> tensors_seen(Engine& engine, std::span<const Tensor> inputs) {
  std::map<std::string, Tensor> seen;
  engine.watch(engine.watchable());
  engine.run(inputs, [&](const std::string& name, const Tensor& tensor) { seen[name] = tensor; });
  return seen;
}

// The networks have 4 images.
TEST(ImagesApart, GiveTheBitsOfTheBatch) {
  for (const std::string& text : {resnet_v1(), squeeze_excite(), activation_tables()}) {
    const ir::Graph graph = typed(text);
    const std::vector<Tensor> inputs = random_inputs(graph);
    const Plan plan = plan_of(graph, 2);
    Engine whole(plan, kBackends, {.images_apart = false});
    EXPECT_EQ(whole.images_apart(), 1);
    const std::vector<Tensor> expected = whole.run(inputs);
    for (const int threads : {1, 2, 3, 4, 5}) {
      Engine engine(plan, kBackends, {.threads = threads});
      EXPECT_EQ(engine.images_apart(), threads == 5 ? 1 : 4) << threads << " threads";
      EXPECT_EQ(engine.run(inputs), expected) << threads << " threads";
      EXPECT_EQ(engine.run(inputs), expected) << threads << " threads, the second run";
      EXPECT_EQ(tensors_seen(engine, inputs), tensors_seen(whole, inputs));
      EXPECT_EQ(engine.run(inputs), expected) << threads << " threads, after someone watched";
    }
  }
}

TEST(ImagesApart, TakeOneArenaOfAnImageForEachThread) {
  const ir::Graph graph = typed(resnet_v1());
  const Plan plan = plan_of(graph, 2);
  const Engine whole(plan, kBackends, {.images_apart = false}), apart(plan, kBackends);
  EXPECT_EQ(whole.arena_bytes(), plan.arena_bytes);
  const size_t one = plan_of_one_image(plan, 4).arena_bytes;
  EXPECT_LT(one, plan.arena_bytes / 2);
  EXPECT_EQ(apart.arena_bytes(), 2 * one);
  EXPECT_EQ(Engine(plan, kBackends, {.threads = 3}).arena_bytes(), 4 * one)
      << "and one for what is left over";
}

TEST(ImagesApart, InContextsOfOtherThreads) {
  const ir::Graph graph = typed(resnet_v1());
  auto first = std::make_unique<Engine>(plan_of(graph, 2), kBackends);
  const std::vector<Tensor> inputs = random_inputs(graph);
  const std::vector<Tensor> expected = first->run(inputs);
  Engine alike = first->context(), three = first->context({.threads = 3}),
         alone = first->context({.threads = 1});
  Engine whole = first->context({.images_apart = false});
  first.reset();
  EXPECT_EQ(alike.images_apart(), 4);
  EXPECT_EQ(three.images_apart(), 4);
  EXPECT_EQ(alone.images_apart(), 4);
  EXPECT_EQ(whole.images_apart(), 1);
  std::vector<std::thread> users;
  for (Engine* engine : {&alike, &three, &alone, &whole})
    users.emplace_back([&, engine] { EXPECT_EQ(engine->run(inputs), expected); });
  for (std::thread& user : users) user.join();
  EXPECT_EQ(whole.context({.threads = 2}).images_apart(), 1) << "the origin had no engines of one image";
}

TEST(ImagesApart, ProfilesCountTheBatch) {
  const ir::Graph graph = typed(resnet_v1());
  Engine engine(plan_of(graph, 3), kBackends);
  const std::vector<Tensor> inputs = random_inputs(graph);
  engine.run(inputs);
  engine.set_profiling(true);
  engine.run(inputs);
  engine.run(inputs);
  const std::vector<LayerTime> layers = engine.profile();
  ASSERT_EQ(layers.size(), engine.plan().steps.size());
  for (const LayerTime& layer : layers) {
    EXPECT_EQ(layer.runs, 2);
    EXPECT_EQ(layer.nanoseconds > 0, layer.backend != kView) << layer.node;
  }
}

// Images that the plan of "y = f(x)" with 2 threads runs one by one; its results are those of the graph.
int64_t images_of(const std::string& body, int threads = 2) {
  const ir::Graph graph = typed("graph \"g\" {\ninput %x: f32[4,4]\n" + body + "output %y\n}\n");
  Engine engine(plan_of(graph, threads), kBackends);
  const std::vector<Tensor> inputs = random_inputs(graph);
  EXPECT_EQ(engine.run(inputs), ir::evaluate(graph, ops::standard(), inputs)) << body;
  return engine.images_apart();
}

TEST(ImagesApart, NotWhereOperatorsMixImages) {
  EXPECT_EQ(images_of("%y = Relu \"y\" (%x)\n"), 4);
  EXPECT_EQ(images_of("%y = Relu \"y\" (%x)\n", 3), 4);
  EXPECT_EQ(images_of("%y = Softmax \"y\" (%x) {axis = 1}\n"), 4);
  EXPECT_EQ(images_of("%y = Softmax \"y\" (%x) {axis = 0}\n"), 1);
  EXPECT_EQ(images_of("%y = Concat \"y\" (%x, %x) {axis = 1}\n"), 4);
  EXPECT_EQ(images_of("%y = Concat \"y\" (%x, %x) {axis = 0}\n"), 1);
  EXPECT_EQ(images_of("%t = Transpose \"t\" (%x) {perm = [1,0]}\n%y = Add \"y\" (%x, %t)\n"), 1);
  EXPECT_EQ(images_of("const %c: f32[4] = {1, 2, 3, 4}\n%y = Sub \"y\" (%c, %x)\n"), 4);
  const std::string halves = "const %h: i64[2] = {2, 2}\n";
  EXPECT_EQ(images_of(halves + "%a, %y = Split \"y\" (%x, %h) {axis = 1}\n"), 4);
  EXPECT_EQ(
      images_of(halves + "%a, %b = Split \"s\" (%x, %h) {axis = 0}\n%y = Concat \"y\" (%b, %a) {axis = 0}\n"),
      1);
  const std::string part =
      "const %b: i64[1] = {1} const %e: i64[1] = {3} const %n: i64[1] = {-1} const %i: i64[1] = {0}\n";
  EXPECT_EQ(images_of(part + "%y = Slice \"y\" (%x, %b, %e, %n)\n"), 4);
  EXPECT_EQ(images_of(part + "%s = Slice \"s\" (%x, %b, %e, %i)\n%y = Concat \"y\" (%s, %s) {axis = 0}\n"),
            1);
  const std::string picks = "const %p: i64[3] = {2, 0, 2} const %q: i64[4] = {3, 0, 1, 2}\n";
  EXPECT_EQ(images_of(picks + "%y = Gather \"y\" (%x, %p) {axis = 1}\n"), 4);
  EXPECT_EQ(images_of(picks + "%y = Gather \"y\" (%x, %q) {axis = 0}\n"), 1);
  const std::string sizes =
      "const %s: i64[1] = {7} const %t: i64[2] = {4, 7} const %u: i64[2] = {8, 4} const %v: f32[2] = {1, "
      "2.5}\n";
  EXPECT_EQ(images_of(sizes + "%y = Resize \"y\" (%x, _, _, %s) {axes = [-1], mode = \"linear\"}\n"), 4);
  EXPECT_EQ(images_of(sizes + "%y = Resize \"y\" (%x, _, _, %t) {mode = \"linear\"}\n"), 4) << "trim-resize";
  EXPECT_EQ(images_of(sizes + "%y = Resize \"y\" (%x, _, %v) {mode = \"linear\"}\n"), 4);
  EXPECT_EQ(images_of(sizes + "%y = Resize \"y\" (%x, _, _, %u) {mode = \"linear\"}\n"), 1);
  EXPECT_EQ(images_of("const %c: f32[4,1] = {1, 2, 3, 4}\n%y = Add \"y\" (%x, %c)\n"), 1);
  EXPECT_EQ(images_of("const %c: f32[4] = {1, 2, 3, 4}\n%y = Add \"y\" (%x, %c)\n"), 4);
  EXPECT_EQ(images_of("%s = ReduceSum \"s\" (%x)\n%y = Mul \"y\" (%x, %s)\n"), 1);
  EXPECT_EQ(images_of("%y = MatMul \"y\" (%x, %x)\n"), 1);
  EXPECT_EQ(images_of("%r = Relu \"r\" (%x)\n%y = Flatten \"y\" (%r) {axis = 0}\n"), 1);
}

// Weights that are the other operand's images.
TEST(ImagesApart, NotWhereWeightsComeAtRunTime) {
  const ir::Graph graph = typed(R"(graph "g" {
input %x: f32[4,3,5,5]
input %w: f32[4,3,1,1]
%y = Conv "y" (%x, %w)
output %y
}
)");
  Engine engine(plan_of(graph, 2), kBackends);
  EXPECT_EQ(engine.images_apart(), 1);
  const std::vector<Tensor> inputs = random_inputs(graph);
  EXPECT_LT(differing(engine.run(inputs)[0], ir::evaluate(graph, ops::standard(), inputs)[0], 1e-5), 1e-3);
}

// A tactic that says that it has threads of its own; one that takes the whole batch only.
class OwnThreads final : public Backend {
 public:
  explicit OwnThreads(bool refuses) : refuses_(refuses) {}
  std::string_view name() const override { return "evaluating"; }
  std::vector<std::string> tactics(const NodeView&, std::string&) const override { return {"plain"}; }
  std::vector<Tensor> pack(const NodeView& view, std::string_view tactic) const override {
    return kEvaluating.pack(view, tactic);
  }
  std::unique_ptr<Step> load(const NodeView& view, std::string_view tactic,
                             std::vector<Tensor> packed) const override {
    if (refuses_ && view.outputs[0].shape->front() != 4) fail("this takes 4 images");
    return kEvaluating.load(view, tactic, std::move(packed));
  }
  bool runs_on_team(std::string_view) const override { return refuses_; }

 private:
  bool refuses_;
};

TEST(ImagesApart, NotWhereATacticWillNot) {
  const ir::Graph graph = typed(resnet_v1());
  const std::vector<Tensor> inputs = random_inputs(graph);
  const std::vector<Tensor> expected = Engine(plan_of(graph, 2), kBackends).run(inputs);
  for (const bool refuses : {false, true}) {
    const OwnThreads backend(refuses);
    const std::vector<const Backend*> backends = {&backend};
    Engine engine(build(graph, ops::standard(), backends, {.threads = 2}), backends);
    EXPECT_EQ(engine.images_apart(), 1);
    EXPECT_EQ(engine.run(inputs), expected);
  }
}

// A product reads each weight once for a row: with few rows better for all images together.
TEST(ImagesApart, NotWhereLayersWaitForTheirWeights) {
  const auto images = [](int rows, int width) {
    const ir::Graph graph = typed(fmt::format(
        "graph \"g\" {{\ninput %x: f32[4,{0},{1}]\nconst %w: f32[{1},{1}] = rand(3)\nconst %b: f32[{1}] = "
        "rand(4)\n%m = MatMul \"m\" (%x, %w)\n%y = Add \"y\" (%m, %b)\noutput %y\n}}\n",
        rows, width));
    return Engine(plan_of(graph, 2), kBackends).images_apart();
  };
  EXPECT_EQ(images(1, 300), 1);
  EXPECT_EQ(images(40, 300), 4);
  EXPECT_EQ(images(1, 30), 4) << "few weights stay in the cache";
}

}  // namespace
}  // namespace kvant::engine
