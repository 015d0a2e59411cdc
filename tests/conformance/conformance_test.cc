// SPDX-License-Identifier: Apache-2.0
// One suite over every choice of backends: whole networks, built and run by the engine, against the
// interpreter on the graph as it was given. A new backend is right when this passes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "backends/backends.h"
#include "conformance/float_networks.h"
#include "engine/engine.h"
#include "engine/passes/networks_test.h"
#include "ir/qdq.h"

namespace kvant::engine {
namespace {

// Where passes and kernels reorder float operations a code may fall to the next one, and only so often.
constexpr int kCodes = 1;
constexpr double kShare = 1e-3;

struct Subject {
  std::string network, text;
  std::vector<std::string> backends;
  int threads;
  Mode mode;
};

void PrintTo(const Subject& s, std::ostream* out) { *out << s.network << " on " << s.threads << " threads"; }

std::vector<Subject> subjects() {
  std::vector<Subject> result;
  const auto add = [&](const std::string& name, const std::string& text, Mode mode) {
    for (const int threads : {1, 2}) {
      result.push_back({name, text, {"reference"}, threads, mode});
      result.push_back({name, text, {"cpu", "reference"}, threads, mode});
    }
    result.push_back({name, text, {"cuda", "cpu", "reference"}, 1, mode});
  };
  for (const Network& network : networks()) {
    add(network.name, network.text, Mode::Integer);
    // Behind an attention one code that falls to the next moves a whole row of results: only the integer
    // form, whose kernels are exact, is told from a wrong one by such shares.
    if (network.name != "transformer") add(network.name + "_simulated", network.text, Mode::Simulate);
  }
  add("tensorrt_style", tensorrt_style(), Mode::Integer);
  for (const auto& [name, text] : float_networks()) add(name, text, Mode::Integer);
  return result;
}

// Kernels of a card run in the emulator, or on the card that KVANT_TEST_DEVICE names (bench/gpu.sh).
const char* test_device() {
  const char* given = std::getenv("KVANT_TEST_DEVICE");
  return given != nullptr ? given : "emulated-cuda";
}

class Conformance : public testing::TestWithParam<Subject> {
 protected:
  Conformance() : all_(GetParam().backends[0] == "cuda" ? test_device() : "cpu") {
    for (const std::string& name : GetParam().backends) {
      for (const Backend* backend : all_.list()) {
        if (backend->name() == name) chosen_.push_back(backend);
      }
    }
  }

  backends::DeviceBackends all_;
  std::vector<const Backend*> chosen_;
};

using Seen = std::map<std::string, Tensor>;

// Tensors of codes that the engine still holds.
std::vector<std::string> code_tensors(const ir::Graph& graph, const Engine& engine) {
  const std::vector<std::string> held = engine.watchable();
  std::vector<std::string> names;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    const std::string& name = graph.value(node.outputs[0]).name;
    if (ir::is_quantize(node) && std::ranges::binary_search(held, name)) names.push_back(name);
  }
  return names;
}

// Codes that differ and codes in all: a share is one of a whole network, whose smallest tensors have few.
struct Tally {
  size_t different = 0, all = 0;
  double share() const { return all == 0 ? 0 : static_cast<double>(different) / static_cast<double>(all); }
};

void compare_codes(const std::string& name, const Tensor& expected, const Tensor& actual, Tally& tally) {
  ASSERT_EQ(expected.dtype(), actual.dtype()) << name;
  ASSERT_EQ(expected.shape(), actual.shape()) << name;
  const std::vector<int64_t> a = expected.to_ints(), b = actual.to_ints();
  int64_t largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    tally.different += a[i] != b[i];
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  tally.all += a.size();
  EXPECT_LE(largest, kCodes) << name;
}

TEST_P(Conformance, EqualsTheInterpreter) {
  const ir::Graph graph = typed(GetParam().text);
  const std::vector<Tensor> inputs = random_inputs(graph);
  Engine engine(
      build(graph, ops::standard(), chosen_, {.threads = GetParam().threads, .mode = GetParam().mode}),
      chosen_);
  const std::vector<std::string> names = code_tensors(graph, engine);
  ir::Interpreter interpreter(graph, ops::standard());
  interpreter.watch(names);
  engine.watch(names);
  Seen expected, actual;
  const auto want = interpreter.run(inputs, [&](const std::string& n, const Tensor& t) { expected[n] = t; });
  const auto have = engine.run(inputs, [&](const std::string& n, const Tensor& t) { actual[n] = t; });
  ASSERT_EQ(want.size(), have.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_LE(differing(want[i], have[i], 1e-4), kShare);
  ASSERT_EQ(actual.size(), names.size());
  EXPECT_EQ(names.empty(), count(graph, "QuantizeLinear") == 0);
  Tally tally;
  for (const std::string& name : names) compare_codes(name, expected[name], actual[name], tally);
  EXPECT_LE(tally.share(), kShare) << tally.different << " of " << tally.all << " codes";
  if (tally.different > 0)
    fmt::print("{} of {} codes differ ({:.1e})\n", tally.different, tally.all, tally.share());
  EXPECT_EQ(have, engine.run(inputs)) << "the second run";
}

// Kernels of codes are exact: what is integer from end to end gives the lowered graph's very bits, whatever
// the backend, the instruction set and the number of threads.
TEST_P(Conformance, IntegerNetworksGiveTheLoweredGraphsBits) {
  const ir::Graph graph = typed(GetParam().text);
  const ir::Graph lowered = lower(graph, ops::standard(), {.mode = GetParam().mode});
  for (const char* op : {"ConvNhwc", "Linear", "Conv", "MatMul", "Gemm", "AveragePoolNhwc",
                         "GlobalAveragePoolNhwc", "Sigmoid", "Softmax", "HardSwish", "BatchNormalization"}) {
    if (count(lowered, op) > 0) return;
  }
  const std::vector<Tensor> inputs = random_inputs(graph);
  const Plan plan =
      build(graph, ops::standard(), chosen_, {.threads = GetParam().threads, .mode = GetParam().mode});
  const auto expected = ir::evaluate(lowered, ops::standard(), inputs);
  for (const int threads : {1, 2, 3}) {
    Engine engine(plan, chosen_, {.threads = threads});
    EXPECT_EQ(expected, engine.run(inputs)) << threads << " threads";
  }
}

// The reference is for what no other backend has a kernel for; these networks never need it.
TEST_P(Conformance, RunsOnTheFirstBackend) {
  const Plan plan = build(typed(GetParam().text), ops::standard(), chosen_,
                          {.threads = GetParam().threads, .mode = GetParam().mode});
  for (const PlanStep& step : plan.steps) {
    const ir::Node& node = plan.graph.node(step.node);
    EXPECT_EQ(step.fallback, "") << node.op << " '" << node.name << "'";
    EXPECT_TRUE(step.backend == kView || step.backend == GetParam().backends[0])
        << node.op << " '" << node.name << "'";
  }
}

// Arrays from files lie where they lie: whole elements, on no vector's alignment.
TEST_P(Conformance, TakesInputsAtAnyAddress) {
  const ir::Graph graph = typed(GetParam().text);
  const std::vector<Tensor> inputs = random_inputs(graph);
  Engine engine(build(graph, ops::standard(), chosen_, {.threads = GetParam().threads}), chosen_);
  std::vector<Tensor> moved;
  for (const Tensor& input : inputs) {
    const size_t offset = size_of(input.dtype());
    const Tensor room(DType::UInt8, {static_cast<int64_t>(input.byte_size() + 64)});
    const auto bytes = std::make_shared<Tensor>(room);
    std::byte* place = bytes->mutable_raw() + offset;
    std::memcpy(place, input.raw(), input.byte_size());
    moved.emplace_back(input.dtype(), input.shape(), std::shared_ptr<const std::byte>(bytes, place));
  }
  EXPECT_NE(reinterpret_cast<uintptr_t>(moved[0].raw()) % 16, 0u);
  EXPECT_EQ(engine.run(inputs), engine.run(moved));
}

INSTANTIATE_TEST_SUITE_P(Networks, Conformance, testing::ValuesIn(subjects()),
                         [](const testing::TestParamInfo<Subject>& info) {
                           const Subject& s = info.param;
                           return s.network + "_" + s.backends[0] + "_" + std::to_string(s.threads);
                         });

}  // namespace
}  // namespace kvant::engine
