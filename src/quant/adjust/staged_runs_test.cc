// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/staged_runs.h"

#include <gmock/gmock.h>

#include "quant/adjust/adjust_testing.h"

namespace kvant::quant {
namespace {

// A shortcut over two stages, shape arithmetic, and a constant branch.
const std::string kNet = R"(input %x: f32[N,4,6,6]
    const %w: f32[4,4,1,1] = rand(1)
    %a = Conv "a" (%x, %w)
    %r = Relu "r" (%a)
    const %v: f32[4,4,1,1] = rand(2)
    const %s: f32[] = {0.02}
    const %z: i8[] = {0}
    %vq = QuantizeLinear "vq" (%v, %s, %z)
    %vd = DequantizeLinear "vd" (%vq, %s, %z)
    %b = Conv "b" (%r, %vd)
    %t = Shape "t" (%r)
    %f = Reshape "f" (%b, %t)
    %y = Add "y" (%f, %r)
    const %u: f32[4,4,1,1] = rand(3)
    %c = Conv "c" (%y, %u)
    output %c)";

std::vector<std::vector<Tensor>> inputs_of(std::initializer_list<int64_t> sizes) {
  std::vector<std::vector<Tensor>> batches;
  for (const int64_t size : sizes)
    batches.push_back({noise({size, 4, 6, 6}, static_cast<uint64_t>(batches.size() + 1))});
  return batches;
}

Tensor value_of(const ir::Graph& graph, const std::string& name, const std::vector<Tensor>& inputs) {
  ir::Graph part = graph;
  part.set_outputs({graph.find_value(name)});
  return ir::evaluate(part, ops::standard(), inputs)[0];
}

TEST(StagedRuns, ShowWhatTheWholeGraphComputes) {
  const ir::Graph graph = parsed(kNet);
  const RunnerFactory factory = interpret;
  const std::vector<Stage> stages{{{"x"}, {"a"}}, {{"r"}, {"b"}}, {{"y"}, {"c"}}, {{"y", "c"}, {}}};
  StagedRuns runs(graph, ops::standard(), factory, stages);
  const auto batches = inputs_of({3, 3, 2});
  runs.set_batches(batches);
  for (const Stage& stage : stages) {
    runs.advance();
    for (size_t batch = 0; batch < batches.size(); ++batch) {
      const std::vector<Tensor> tensors = runs.run(batch);
      size_t i = 0;
      for (const auto* names : {&stage.shown, &stage.tried}) {
        for (const std::string& name : *names)
          EXPECT_EQ(tensors.at(i++), name == "x" ? batches[batch][0] : value_of(graph, name, batches[batch]))
              << name;
      }
      EXPECT_EQ(i, tensors.size());
    }
  }
}

TEST(StagedRuns, GoOnWithTheConstantsAsTheyAreThen) {
  ir::Graph graph = parsed(kNet);
  const RunnerFactory factory = interpret;
  StagedRuns runs(graph, ops::standard(), factory, {{{"x"}, {"a"}}, {{"r"}, {}}, {{"c"}, {}}});
  const auto batches = inputs_of({2});
  runs.set_batches(batches);
  runs.advance();
  const Tensor tried = runs.run(0)[1];
  graph.set_constant(graph.find_value("w"), noise({4, 4, 1, 1}, 50));
  runs.advance();
  const Tensor r = runs.run(0)[0];
  EXPECT_EQ(r, value_of(graph, "r", batches[0]));  // the layer that was only tried has its new weight
  EXPECT_NE(tried, value_of(graph, "a", batches[0]));
  graph.set_constant(graph.find_value("u"), noise({4, 4, 1, 1}, 51));
  runs.advance();
  EXPECT_EQ(runs.run(0)[0], value_of(graph, "c", batches[0]));
}

TEST(StagedRuns, KeepOnlyWhatIsReadLater) {
  const ir::Graph graph = parsed(kNet);
  const RunnerFactory factory = interpret;
  StagedRuns runs(graph, ops::standard(), factory, {{{"x"}, {}}, {{"r"}, {}}, {{"y"}, {}}, {{"c"}, {}}});
  const auto batches = inputs_of({2});
  // The tensor that a stage reads and the one that it leaves, 2 x 4 x 6 x 6 floats each.
  EXPECT_EQ(runs.bytes_for(batches[0]), 2 * 2 * 4 * 6 * 6 * 4);
}

TEST(StagedRuns, RefuseInputsThatDoNotFit) {
  const ir::Graph graph = parsed(kNet);
  const RunnerFactory factory = interpret;
  StagedRuns runs(graph, ops::standard(), factory, {{{"c"}, {}}});
  EXPECT_THROW(runs.set_batches({{noise({1, 3, 6, 6}, 1)}}), Error);
}

TEST(SpreadBatches, TakesAsManyAsFitFromAllOverTheData) {
  const CalibrationSet data = noise_set({3}, 10);
  const auto first_values = [&](int64_t limit) {
    std::vector<float> values;
    for (const auto& batch :
         spread_batches(data, Part::All, limit, [](std::span<const Tensor>) { return int64_t{100}; }))
      values.push_back(batch[0].data<float>()[0]);
    return values;
  };
  const std::vector<float> all = first_values(1000);
  ASSERT_EQ(all.size(), 10u);
  EXPECT_EQ(first_values(500), (std::vector<float>{all[0], all[2], all[4], all[6], all[8]}));
  EXPECT_EQ(first_values(1), (std::vector<float>{all[0]}));
  EXPECT_EQ(first_values(5000), all);
}

}  // namespace
}  // namespace kvant::quant
