// SPDX-License-Identifier: Apache-2.0
// One model at several batch sizes: planned once for each, refused where it cannot be.
#include "engine/run/shaped_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/passes/networks_test.h"
#include "engine/run/evaluating_backend_test.h"

namespace kvant::engine {
namespace {

using testing::HasSubstr;

const EvaluatingBackend kBackend;
const Backend* const kBackends[] = {&kBackend};

ir::Graph open_batch() {
  std::string text = resnet_v1();
  text.replace(text.find("f32[4,8,16,16]"), 14, "f32[N,8,16,16]");
  return typed(text);
}

Tensor batch_of(int64_t n) {
  Tensor tensor(DType::Float32, {n, 8, 16, 16});
  Random random(static_cast<uint64_t>(n) + 3);
  for (float& x : tensor.mutable_data<float>()) x = random.uniform(-2, 2);
  return tensor;
}

ShapedEngine shaped(size_t most_plans = ShapedEngine::kMostPlans) {
  return {open_batch(), ops::standard(), kBackends, {.threads = 1}, {}, most_plans};
}

std::string refusal_of(ir::Runner& runner, const Tensor& input) {
  try {
    runner.run(std::span(&input, 1));
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(ShapedEngines, PlanEachShapeOnceAndGiveWhatAPlanOfThatShapeGives) {
  ShapedEngine engine = shaped();
  EXPECT_EQ(engine.builds(), 0u);
  for (const int64_t n : {1, 3, 1, 2, 3, 1}) {
    const std::vector<Tensor> inputs = {batch_of(n)};
    Engine fixed(build(open_batch(), ops::standard(), kBackends, {.batch = n, .threads = 1}), kBackends);
    const std::vector<Tensor> have = engine.run(inputs);
    EXPECT_EQ(have, fixed.run(inputs));
    EXPECT_EQ(have.at(0).shape(), (Shape{n, 10}));
  }
  EXPECT_EQ(engine.builds(), 3u);
}

TEST(ShapedEngines, KeepNoMorePlansThanTold) {
  ShapedEngine engine = shaped(2);
  for (const int64_t n : {1, 2, 1, 3, 1}) engine.run(std::vector<Tensor>{batch_of(n)});
  EXPECT_EQ(engine.builds(), 3u) << "the plan for 2 was the one not used for the longest";
  engine.run(std::vector<Tensor>{batch_of(2)});
  EXPECT_EQ(engine.builds(), 4u);
}

TEST(ShapedEngines, ShowWatchedTensorsInEveryPlan) {
  ShapedEngine engine = shaped();
  engine.run(std::vector<Tensor>{batch_of(1)});
  engine.watch({"r1_q"});
  for (const int64_t n : {1, 2}) {
    Shape seen;
    engine.run(std::vector<Tensor>{batch_of(n)},
               [&](const std::string&, const Tensor& tensor) { seen = tensor.shape(); });
    EXPECT_EQ(seen, (Shape{n, 8, 16, 16}));
  }
}

TEST(ShapedEngines, RefuseInputsThatDoNotFitTheModel) {
  ShapedEngine engine = shaped();
  EXPECT_THAT(refusal_of(engine, batch_of(0)),
              HasSubstr("input 'x' has shape 0x8x16x16: nothing to compute along dimension 0"));
  EXPECT_THAT(refusal_of(engine, Tensor(DType::Float32, {1, 8, 16, 17})), HasSubstr("'x'"));
  EXPECT_THAT(refusal_of(engine, Tensor(DType::Float32, {8, 16, 16})), HasSubstr("'x'"));
  EXPECT_THAT(refusal_of(engine, Tensor(DType::Float16, {1, 8, 16, 16})), HasSubstr("'x'"));
  EXPECT_EQ(engine.builds(), 0u);
  EXPECT_EQ(engine.run(std::vector<Tensor>{batch_of(1)}).size(), 1u) << "a refusal leaves it as it was";
}

}  // namespace
}  // namespace kvant::engine
