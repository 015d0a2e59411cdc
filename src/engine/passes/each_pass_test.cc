// SPDX-License-Identifier: Apache-2.0
// Each pass alone: a small graph as text, what the pass makes of it as text, and both evaluated on the same
// random inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "engine/passes/graph_text_test.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

struct Case {
  std::string pass;
  std::string what;
  std::string before, after;
  Mode mode = Mode::Integer;
};

std::vector<ir::Pass> pipeline(Mode mode) { return default_pipeline({.mode = mode, .model_outputs = 1}); }

std::vector<Case> cases() {
  return {
#include "engine/passes/each_pass_test.inc"
  };
}

void PrintTo(const Case& c, std::ostream* out) { *out << c.pass << ": " << c.what; }

class EachPass : public testing::TestWithParam<Case> {};

TEST_P(EachPass, TurnsOneTextIntoTheOther) {
  const Case& c = GetParam();
  const ir::Graph before = typed("graph \"g\" {\n" + c.before + "}\n");
  ir::Graph after = before;
  std::vector<ir::Pass> passes = pipeline(c.mode);
  std::erase_if(passes, [&](const ir::Pass& pass) { return pass.name != c.pass; });
  ASSERT_EQ(passes.size(), 1u);
  const auto records = ir::run_passes(after, ops::standard(), passes);
  EXPECT_GT(records[0].changes, 0u);
  EXPECT_EQ(ir::print(after, {.max_elements = 4, .types = false}), "graph \"g\" {\n" + c.after + "}\n");
  const std::vector<Tensor> inputs = random_inputs(before);
  const auto a = ir::evaluate(before, ops::standard(), inputs),
             b = ir::evaluate(after, ops::standard(), inputs);
  ASSERT_GE(a.size(), b.size());
  for (size_t i = 0; i < b.size(); ++i) {
    if (passes[0].exactness == ir::Exactness::BitExact) {
      EXPECT_EQ(a[i], b[i]);
    } else {
      EXPECT_LE(differing(a[i], b[i], 1e-4), 1e-3);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, EachPass, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case>& info) {
                           std::string name = info.param.pass + "_" + info.param.what;
                           std::ranges::replace_if(
                               name, [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

TEST(Passes, HaveACaseEach) {
  std::set<std::string> tested;
  for (const Case& c : cases()) tested.insert(c.pass);
  for (const Mode mode : {Mode::Integer, Mode::Simulate}) {
    for (const ir::Pass& pass : pipeline(mode)) EXPECT_TRUE(tested.contains(pass.name)) << pass.name;
  }
}

TEST(Passes, AreSwitchedOffByName) {
  const ir::Graph graph = typed(
      "graph \"g\" {\ninput %x: f32[2]\n%a = Identity \"a\" (%x)\n%y = Relu \"y\" (%a)\noutput %y\n}\n");
  ir::Graph copy = graph;
  const auto records = ir::run_passes(copy, ops::standard(), pipeline(Mode::Integer),
                                      {.skip = {"fold-constants"}, .check = {}});
  EXPECT_EQ(count(copy, "Identity"), 1u);
  EXPECT_TRUE(records[0].skipped);
  try {
    ir::run_passes(copy, ops::standard(), pipeline(Mode::Integer), {.skip = {"fold-constant"}, .check = {}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("there is no pass 'fold-constant'"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace kvant::engine
