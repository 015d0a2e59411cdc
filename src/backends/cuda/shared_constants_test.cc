// SPDX-License-Identifier: Apache-2.0
// Contexts of one plan on one card: its constants are there once, and gone with the last of them; what
// kernels count in is each context's own. Tensors that lie on the card are used there.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "backends/backends.h"
#include "backends/cuda/cuda_backend.h"
#include "backends/cuda/emulated_device.h"
#include "base/error.h"
#include "engine/engine.h"
#include "engine/passes/networks_test.h"

namespace kvant::backends::cuda {
namespace {

constexpr size_t kMemory = size_t{64} << 20;

struct Card {
  explicit Card(int sm = 90, const emulator::Options& schedule = {})
      : device(emulated_device({sm, kMemory, schedule})), own(cuda_backend(device)) {
    list.push_back(own.get());
    for (const engine::Backend* host : shared()) list.push_back(host);
  }
  // By asking for more than there is: "... bytes are needed and N are free".
  size_t used() const {
    try {
      device->open()->allocate(kMemory + 1);
    } catch (const Error& error) {
      const std::string text = error.what();
      const size_t at = text.find(" and ") + 5;
      return kMemory - std::stoull(text.substr(at));
    }
    return 0;
  }
  std::shared_ptr<Device> device;
  std::unique_ptr<engine::Backend> own;
  std::vector<const engine::Backend*> list;
};

TEST(SharedConstants, AreOnTheCardOnceAndGoWithTheLastContext) {
  const ir::Graph graph = engine::typed(engine::resnet_v1());
  const std::vector<Tensor> inputs = engine::random_inputs(graph);
  const Card card;
  EXPECT_EQ(card.used(), 0u);
  const engine::Plan plan = engine::build(graph, ops::standard(), card.list, {.threads = 1});
  size_t constants = 0;
  for (const engine::PlanStep& step : plan.steps) {
    if (step.backend != "cuda") continue;
    for (const Tensor& tensor : step.packed) constants += tensor.byte_size();
  }
  ASSERT_GT(constants, 1000u);
  auto first = std::make_unique<engine::Engine>(plan, card.list);
  const size_t one = card.used();
  for (const engine::PlanStep& step : first->plan().steps)
    EXPECT_TRUE(step.backend != "cuda" || step.packed.empty()) << "constants are still on the host";
  auto second = std::make_unique<engine::Engine>(first->context());
  const size_t each = card.used() - one;  // arena, scratch, inputs and outputs
  EXPECT_GT(each, 0u);
  EXPECT_GT(one, each) << "a context brought constants of its own";
  {
    const engine::Engine apart(plan, card.list);
    EXPECT_EQ(card.used(), one + each + one) << "another engine, not a context, has its own";
  }
  const std::vector<Tensor> expected = first->run(inputs);
  first.reset();
  EXPECT_EQ(card.used(), one) << "what the first had of its own is free again";
  for (int run = 0; run < 3; ++run) EXPECT_EQ(second->run(inputs), expected) << "run " << run;
  auto third = std::make_unique<engine::Engine>(second->context());
  second.reset();
  EXPECT_EQ(third->run(inputs), expected);
  third.reset();
  EXPECT_EQ(card.used(), 0u);
}

// Two convolutions on a small map with long sums: where there are no clusters, blocks share their tiles.
std::string long_sums() {
  const engine::ConvText form{.out = 64, .in = 1024};
  return engine::graph_text(engine::pair("x", 0.02f) + engine::conv("c1", "x_dq", form) +
                                engine::pair("c1", 0.2f) + engine::conv("c2", "x_dq", form) +
                                engine::binary("a", "Add", "c2", "c1_dq") + engine::pair("a", 0.2f),
                            "a_dq", "f32[1,1024,5,5]");
}

bool shares_tiles(const engine::PlanStep& step) {
  return step.tactic.ends_with("_s4") || step.tactic.ends_with("_s8");
}

TEST(SharedConstants, AreNotCountedIn) {
  const ir::Graph graph = engine::typed(long_sums());
  const Card card(80, {emulator::Copies::Random, true, 5});
  const engine::Plan plan = engine::build(graph, ops::standard(), card.list, {.threads = 1});
  ASSERT_EQ(std::ranges::count_if(plan.steps, shares_tiles), 2);
  const auto host = shared();
  engine::Engine first(plan, card.list),
      on_host(engine::build(graph, ops::standard(), host, {.threads = 1}), host);
  std::vector<std::vector<Tensor>> inputs, expected;
  for (uint64_t user = 0; user < 3; ++user) {
    inputs.push_back(engine::random_inputs(graph, user + 1));
    expected.push_back(on_host.run(inputs.back()));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (size_t user = 0; user < inputs.size(); ++user) {
    users.emplace_back([&, user] {
      engine::Engine context = first.context();
      for (int run = 0; run < 3; ++run) wrong += context.run(inputs[user]) != expected[user];
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_EQ(wrong, 0);
  for (size_t user = 0; user < inputs.size(); ++user) EXPECT_EQ(first.run(inputs[user]), expected[user]);
}

TEST(TensorsOnTheCard, AreReadAndWrittenWhereTheyLie) {
  const ir::Graph graph = engine::typed(engine::resnet_v1());
  const std::vector<Tensor> inputs = engine::random_inputs(graph);
  const Card card;
  engine::Engine engine(engine::build(graph, ops::standard(), card.list, {.threads = 1}), card.list);
  const std::vector<Tensor> expected = engine.run(inputs);
  const auto queue = card.device->open();  // of somebody else
  const auto in = queue->allocate(inputs[0].byte_size());
  queue->upload(in.get(), inputs[0].raw(), inputs[0].byte_size());
  queue->wait();
  const engine::Place from{in.get(), "cuda"};
  std::vector<std::shared_ptr<std::byte>> places;
  for (int i = 0; i < 2; ++i) places.push_back(engine.allocate("cuda", expected[0].byte_size()));
  for (const int i : {0, 0, 0, 1, 1, 1, 0}) {
    const engine::Place to{places[static_cast<size_t>(i)].get(), "cuda"};
    engine.run_at({&from, 1}, {&to, 1});
    Tensor result(expected[0].dtype(), expected[0].shape());
    queue->download(result.mutable_raw(), to.data, result.byte_size());
    queue->wait();
    EXPECT_EQ(result, expected[0]) << "in place " << i;
    const std::vector<std::byte> nothing(result.byte_size());
    queue->upload(to.data, nothing.data(), nothing.size());
    queue->wait();
  }
  EXPECT_EQ(engine.run(inputs), expected);
}

}  // namespace
}  // namespace kvant::backends::cuda
