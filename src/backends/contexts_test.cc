// SPDX-License-Identifier: Apache-2.0
// Several contexts of one plan, run from several threads at once: the same bits as one alone. Run under
// -fsanitize=thread as well (CMake preset "tsan").
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "backends/backends.h"
#include "engine/engine.h"
#include "engine/passes/networks_test.h"

namespace kvant::engine {
namespace {

// Each of `contexts` runs `rounds` times over inputs of its own.
size_t wrong_results(const std::string& text, int contexts, int threads, bool spin, int rounds = 4) {
  const ir::Graph graph = typed(text);
  const auto backends = backends::shared();
  const Engine first(build(graph, ops::standard(), backends, {.threads = threads}), backends);
  std::atomic<size_t> wrong{0};
  std::vector<std::thread> users;
  for (int user = 0; user < contexts; ++user) {
    users.emplace_back([&, user] {
      const std::vector<Tensor> inputs = random_inputs(graph, static_cast<uint64_t>(user) + 1);
      Engine engine = first.context({.threads = threads, .spin = spin});
      const std::vector<Tensor> expected = engine.run(inputs);
      for (int round = 0; round < rounds; ++round) wrong += engine.run(inputs) != expected;
      Engine alone = first.context({.threads = 1, .spin = spin});
      wrong += alone.run(inputs) != expected;
    });
  }
  for (std::thread& user : users) user.join();
  return wrong;
}

class Contexts : public testing::TestWithParam<bool> {};

TEST_P(Contexts, OfIntegerNetworksRunAtTheSameTime) {
  for (const Network& network : networks())
    EXPECT_EQ(wrong_results(network.text, 3, 2, GetParam(), 2), 0u) << network.name;
}

TEST_P(Contexts, OutliveTheOneThatTheyWereMadeFrom) {
  const ir::Graph graph = typed(conv_chain());
  const auto backends = backends::shared();
  auto first = std::make_unique<Engine>(build(graph, ops::standard(), backends, {.threads = 2}), backends);
  const std::vector<Tensor> inputs = random_inputs(graph);
  const std::vector<Tensor> expected = first->run(inputs);
  Engine second = first->context({.spin = GetParam()});
  EXPECT_EQ(second.threads(), 2);
  first.reset();
  EXPECT_EQ(second.run(inputs), expected);
  Engine third = second.context({.threads = 3, .spin = GetParam()});
  EXPECT_EQ(third.run(inputs), expected);
}

INSTANTIATE_TEST_SUITE_P(Waiting, Contexts, testing::Bool(),
                         [](const auto& info) { return info.param ? "Spin" : "Sleep"; });

}  // namespace
}  // namespace kvant::engine
