// SPDX-License-Identifier: Apache-2.0
// Plans for a card of the zoo's networks at full size, as text in golden/: one line a layer with the kernels
// for sm_90 and, where it differs, for sm_80. Nothing is run.
#include <gmock/gmock.h>

#include <map>

#include "backends/backends.h"
#include "emulated/quantized_network.h"

namespace kvant {
namespace {

struct Planned {
  std::string network;
  int64_t side;
  // Layers that only move data or change its type, by operator; views and what reads the network's input
  // excepted.
  std::map<std::string, int> moves = {};
  bool attention = false;
};
void PrintTo(const Planned& p, std::ostream* out) { *out << p.network; }

engine::Plan plan_for(const ir::Graph& model, const std::string& device) {
  const backends::DeviceBackends backends(device);
  return engine::build(model, ops::standard(), backends.list(), {.batch = 1, .threads = 1});
}

std::string plan_text(const engine::Plan& sm90, const engine::Plan& sm80) {
  std::string text = fmt::format("arena {}\n", sm90.arena_bytes);
  for (size_t i = 0; i < sm90.steps.size(); ++i) {
    const engine::PlanStep &step = sm90.steps[i], &other = sm80.steps[i];
    const ir::Node& node = sm90.graph.node(step.node);
    text += fmt::format("{} {} {}", node.op, node.name, runner_of(step));
    if (runner_of(other) != runner_of(step)) text += " | " + runner_of(other);
    text += " -> " + result_of(sm90, step) + '\n';
  }
  return text;
}

bool reads_input(const engine::Plan& plan, const ir::Node& node) {
  for (ir::ValueId value = node.inputs[0]; value != ir::kNone;) {
    const ir::NodeId producer = plan.graph.value(value).producer;
    if (producer == ir::kNone) return true;
    const std::string& op = plan.graph.node(producer).op;
    if (op != "QuantizeLinear" && op != "Mul" && op != "Sub" && op != "Div") return false;
    value = plan.graph.node(producer).inputs[0];
  }
  return false;
}

std::map<std::string, int> moves_of(const engine::Plan& plan) {
  std::map<std::string, int> moves;
  for (const engine::PlanStep& step : plan.steps) {
    const ir::Node& node = plan.graph.node(step.node);
    const bool moving = node.op == "Transpose" || node.op == "QuantizeLinear" || node.op == "Reshape" ||
                        node.op == "DequantizeLinear" || node.op.ends_with("Concat") || node.op == "Split" ||
                        node.op == "Slice" || node.op == "Gather" || node.op == "Pad" ||
                        node.op == "Identity";
    if (moving && step.backend != engine::kView && !reads_input(plan, node)) ++moves[node.op];
  }
  return moves;
}

class PlanOfTheZoo : public testing::TestWithParam<Planned> {};

TEST_P(PlanOfTheZoo, StaysOnTheCard) {
  const Planned& subject = GetParam();
  const ir::Graph model = quantized_network(subject.network, subject.side, 0, 1, subject.attention);
  const engine::Plan sm90 = plan_for(model, "emulated-cuda"), sm80 = plan_for(model, "emulated-cuda:sm_80");
  EXPECT_EQ(sm80.needs.at("cuda"), "sm_80");
  ASSERT_EQ(sm90.steps.size(), sm80.steps.size());
  for (const engine::Plan* plan : {&sm90, &sm80}) {
    for (const engine::PlanStep& step : plan->steps) {
      const ir::Node& node = plan->graph.node(step.node);
      EXPECT_EQ(step.fallback, "") << node.op << " '" << node.name << "'";
      EXPECT_TRUE(step.backend == "cuda" || step.backend == engine::kView) << node.name << step.backend;
      if (plan == &sm80) {
        EXPECT_THAT(step.tactic, testing::Not(testing::HasSubstr("cluster"))) << node.name;
        EXPECT_FALSE(step.tactic.ends_with("_c4") || step.tactic.ends_with("_c8")) << node.name;
      }
    }
  }
  EXPECT_EQ(moves_of(sm90), subject.moves);
  compare_with_golden("full/" + subject.network, plan_text(sm90, sm80));
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, PlanOfTheZoo,
    testing::Values(
        Planned{"keras-resnet50-v1", 224}, Planned{"keras-resnet50-v2", 224, {{"Pad", 1}}},
        Planned{"keras-resnet101-v1", 224}, Planned{"keras-resnet101-v2", 224, {{"Pad", 1}}},
        Planned{"keras-mobilenet-v1", 224, {{"Reshape", 1}}}, Planned{"keras-mobilenet-v2", 224},
        Planned{"keras-efficientnet-b0", 224}, Planned{"keras-efficientnet-b3", 300},
        Planned{"keras-inception-v3", 299, {{"QConcat", 15}}},
        Planned{"yolov8n",
                640,
                {{"Concat", 6}, {"QConcat", 13}, {"QuantizeLinear", 4}, {"Split", 10}, {"Transpose", 5}}},
        Planned{"deit-tiny", 224, {{"Gather", 1}, {"Pad", 1}, {"Transpose", 2}}, true}),
    [](const testing::TestParamInfo<Planned>& info) {
      std::string name = info.param.network;
      std::ranges::replace(name, '-', '_');
      return name;
    });

}  // namespace
}  // namespace kvant
