// SPDX-License-Identifier: Apache-2.0
// Whole lowering of small networks: every pass is checked by evaluating the graph before and after it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/build/build.h"
#include "engine/passes/networks_test.h"

namespace kvant::engine {
namespace {

// Of elements that may differ after a pass that reorders float operations.
constexpr double kShare = 1e-3;

class Lowering : public testing::TestWithParam<Network> {};

// Both sides of every pass, and of the whole, evaluated by the interpreter.
void check_lowering(const Network& network, Mode mode) {
  const ir::Graph graph = typed(network.text);
  const std::vector<Tensor> inputs = random_inputs(graph);
  BuildOptions options{.mode = mode};
  options.check = [&](const ir::Pass& pass, const ir::Graph& before, const ir::Graph& after) {
    const auto a = ir::evaluate(before, ops::standard(), inputs);
    const auto b = ir::evaluate(after, ops::standard(), inputs);
    ASSERT_EQ(a.size(), b.size()) << pass.name;
    for (size_t i = 0; i < a.size(); ++i) {
      if (pass.exactness == ir::Exactness::BitExact) {
        EXPECT_EQ(a[i], b[i]) << pass.name << "\n" << ir::print(after);
      } else {
        EXPECT_LE(differing(a[i], b[i], 1e-4), kShare) << pass.name << "\n" << ir::print(after);
      }
    }
  };
  const ir::Graph lowered = lower(graph, ops::standard(), options);
  const auto expected = ir::evaluate(graph, ops::standard(), inputs);
  const auto actual = ir::evaluate(lowered, ops::standard(), inputs);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_LE(differing(expected[i], actual[i], 1e-4), kShare);
  if (mode == Mode::Simulate) return;
  for (const std::string& op : network.absent)
    EXPECT_EQ(count(lowered, op), 0u) << op << "\n" << ir::print(lowered);
  EXPECT_LE(count(lowered, "Transpose"), network.transposes) << ir::print(lowered);
}

TEST_P(Lowering, KeepsResultsInIntegers) { check_lowering(GetParam(), Mode::Integer); }
TEST_P(Lowering, KeepsResultsSimulated) { check_lowering(GetParam(), Mode::Simulate); }

// Running the pipeline again changes nothing that matters: the graph computes the same.
TEST_P(Lowering, SurvivesASecondRun) {
  const ir::Graph graph = typed(GetParam().text);
  const std::vector<Tensor> inputs = random_inputs(graph);
  const ir::Graph once = lower(graph, ops::standard(), {});
  const ir::Graph twice = lower(once, ops::standard(), {});
  EXPECT_EQ(ir::evaluate(once, ops::standard(), inputs), ir::evaluate(twice, ops::standard(), inputs));
  EXPECT_EQ(once.node_count(), twice.node_count());
}

INSTANTIATE_TEST_SUITE_P(Networks, Lowering, testing::ValuesIn(networks()),
                         [](const testing::TestParamInfo<Network>& info) { return info.param.name; });

}  // namespace
}  // namespace kvant::engine
