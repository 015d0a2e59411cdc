// SPDX-License-Identifier: Apache-2.0
// Whole networks of the zoo, quantized, built for a card and run in the emulator: bit for bit what the
// interpreter gives for the lowered graph, and the plan as it stands in golden/ (KVANT_UPDATE_GOLDEN=1 writes
// it anew).
#include <gmock/gmock.h>
#include "backends/backends.h"
#include "emulated/quantized_network.h"
#include "ir/interpreter.h"

namespace kvant {
namespace {

struct Subject {
  std::string network;
  int64_t side;
};

// One line a step, without sizes of files: what runs where.
std::string text_of(const engine::Plan& plan) {
  std::string text;
  for (const auto& [backend, what] : plan.needs) text += fmt::format("needs {} {}\n", backend, what);
  text += fmt::format("arena {}\n", plan.arena_bytes);
  for (const engine::PlanStep& step : plan.steps) {
    const ir::Node& node = plan.graph.node(step.node);
    text += fmt::format("{} {} {} -> {}", node.op, node.name, runner_of(step), result_of(plan, step));
    if (!step.fallback.empty()) text += " (" + step.fallback + ")";
    text += '\n';
  }
  return text;
}

class EmulatedNetwork : public testing::TestWithParam<Subject> {};

TEST_P(EmulatedNetwork, GivesTheInterpretersBits) {
  const ir::Graph model = quantized_network(GetParam().network, GetParam().side, 10, 2);
  const backends::DeviceBackends device("emulated-cuda");
  const engine::BuildOptions options{.batch = 1, .threads = 1};
  const engine::Plan plan = engine::build(model, ops::standard(), device.list(), options);
  compare_with_golden(GetParam().network, text_of(plan));
  const std::vector<Tensor> inputs = {noise({1, 3, GetParam().side, GetParam().side}, 7)};
  // Without the fusions that only a card gains from.
  const ir::Graph lowered = engine::lower(model, ops::standard(), options);
  const std::vector<Tensor> expected = ir::evaluate(lowered, ops::standard(), inputs);
  engine::Engine engine(plan, device.list());
  EXPECT_EQ(expected, engine.run(inputs)) << "step by step";
  EXPECT_EQ(expected, engine.run(inputs)) << "as a recording";
}

// The same bytes whenever it is built: on the emulator the cost model alone decides.
TEST_P(EmulatedNetwork, IsBuiltTheSameWay) {
  ir::Graph model =
      zoo::create(GetParam().network, {.classes = 10, .input = {3, 32, 32}, .random_weights = false});
  const backends::DeviceBackends first("emulated-cuda"), second("emulated-cuda:sm_80");
  const engine::BuildOptions options{.batch = 1, .threads = 1, .tune = true};
  const engine::Plan one = engine::build(model, ops::standard(), first.list(), options);
  EXPECT_EQ(text_of(one), text_of(engine::build(model, ops::standard(), first.list(), options)));
  const engine::Plan other = engine::build(model, ops::standard(), second.list(), options);
  EXPECT_EQ(other.needs.at("cuda"), "sm_80");
}

INSTANTIATE_TEST_SUITE_P(Zoo, EmulatedNetwork,
                         testing::Values(Subject{"keras-resnet50-v1", 32}, Subject{"keras-resnet50-v2", 32},
                                         Subject{"keras-mobilenet-v2", 32},
                                         Subject{"keras-efficientnet-b0", 32}),
                         [](const testing::TestParamInfo<Subject>& info) {
                           std::string name = info.param.network;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace kvant
