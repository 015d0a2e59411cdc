// SPDX-License-Identifier: Apache-2.0
// Building, writing, reading and running plans over a backend that evaluates each operator's reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "engine/passes/graph_text_test.h"
#include "engine/plan/header.h"
#include "engine/run/evaluating_backend_test.h"

namespace kvant::engine {
namespace {

std::string residual_text() {
  return graph_text(pair("x", 0.02f) + conv("c1", "x_dq", {}) + unary("r1", "Relu", "c1") +
                        pair("r1", 0.02f) + conv("c2", "r1_dq", {}) + binary("a", "Add", "c2", "x_dq") +
                        pair("a", 0.03f) + unary("f", "Flatten", "a_dq"),
                    "f");
}

class Plans : public testing::Test {
 protected:
  EvaluatingBackend backend_;
  std::vector<const Backend*> backends_ = {&backend_};
  std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) / "engine_plan_test.plan";

  Plan plan() { return build(typed(residual_text()), ops::standard(), backends_, {.threads = 2}); }
  std::string message(const std::string& bytes) {
    write_text(path_, bytes);
    try {
      Engine engine(read_plan(path_, ops::standard()), backends_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(Plans, RunLikeTheInterpreterAndShowTensorsOfTheModel) {
  const ir::Graph graph = typed(residual_text());
  const std::vector<Tensor> inputs = random_inputs(graph);
  std::map<std::string, Tensor> expected, seen;
  ir::Interpreter interpreter(graph, ops::standard());
  const std::vector<std::string> names = {"x_q", "r1_q", "a_q"};
  interpreter.watch(names);
  const auto reference =
      interpreter.run(inputs, [&](const std::string& n, const Tensor& t) { expected[n] = t; });
  Engine engine(plan(), backends_);
  engine.watch(names);
  const auto first = engine.run(inputs, [&](const std::string& n, const Tensor& t) { seen[n] = t; });
  EXPECT_LE(differing(reference[0], first[0], 1e-4), 1e-3);
  EXPECT_EQ(first, engine.run(inputs));
  ASSERT_EQ(seen.size(), names.size());
  for (const std::string& name : names) EXPECT_LE(differing(expected[name], seen[name], 1e-4), 1e-3) << name;
}

TEST_F(Plans, KeepTheirMeaningAndBytesInAFile) {
  const std::vector<Tensor> inputs = random_inputs(typed(residual_text()));
  write_plan(plan(), path_);
  const std::string bytes = read_text(path_);
  Engine engine(plan(), backends_);
  Engine loaded(read_plan(path_, ops::standard()), backends_);
  EXPECT_EQ(engine.run(inputs), loaded.run(inputs));
  const std::filesystem::path second = path_.string() + "2";
  write_plan(plan(), second);
  EXPECT_EQ(bytes, read_text(second));
  write_plan(read_plan(path_, ops::standard()), second);
  EXPECT_EQ(bytes, read_text(second)) << "read and written again";
}

TEST_F(Plans, RefuseOtherVersionsTruncationAndEveryFlippedBit) {
  write_plan(plan(), path_);
  const std::string bytes = read_text(path_);
  EXPECT_EQ(message(bytes), "");
  std::string other = bytes;
  other[8] = 3;
  EXPECT_THAT(message(other),
              testing::HasSubstr("made by another version of kvant (format 3, this build reads 1)"));
  EXPECT_THAT(message(bytes.substr(0, bytes.size() / 2)), testing::HasSubstr("truncated"));
  EXPECT_THAT(message("hello"), testing::HasSubstr("not a kvant plan"));
  for (size_t at = 0; at < bytes.size(); at += at < 256 ? 1 : 97) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    EXPECT_NE(message(flipped), "") << "byte " << at;
  }
}

// A file with right checksums and wrong content: nothing but an Error may come of it.
TEST_F(Plans, SurviveForgedText) {
  write_plan(plan(), path_);
  const std::string bytes = read_text(path_);
  PlanHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  for (size_t at = sizeof header; at < sizeof header + header.text_bytes; at += 7) {
    std::string forged = bytes;
    forged[at] = forged[at] == '9' ? '1' : '9';
    header.content_check = checksum(std::as_bytes(std::span(forged)).subspan(sizeof header));
    header.header_check = checksum_of(header);
    std::memcpy(forged.data(), &header, sizeof header);
    EXPECT_NO_FATAL_FAILURE(message(forged)) << at;
  }
}

// The environment variable that limits a machine is read once in a process, so the file is what changes here.
TEST_F(Plans, RefuseInstructionsThatThisMachineLacks) {
  EXPECT_EQ(plan().isa, Isa::None);
  for (const Isa isa : kAllIsas) {
    Plan needy = plan();
    needy.isa = isa;
    write_plan(needy, path_);
    if (supports(isa)) {
      EXPECT_EQ(read_plan(path_, ops::standard()).isa, isa);
    } else {
      EXPECT_THAT(message(read_text(path_)),
                  testing::HasSubstr(fmt::format("the plan needs {} instructions and this machine offers {}",
                                                 name(isa), name(best_isa()))));
    }
  }
}

TEST_F(Plans, RefuseInputsOfAnotherShape) {
  Engine engine(plan(), backends_);
  const std::vector<Tensor> inputs = {Tensor(DType::Float32, {1, 8, 8, 8})};
  try {
    engine.run(inputs);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("takes f32 4x8x16x16, not f32 1x8x8x8"));
  }
}

TEST_F(Plans, RefuseInputsOfAnotherTypeOrNumberAndUnknownBackends) {
  const auto refusal = [&](const auto& act) -> std::string {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  Engine engine(plan(), backends_);
  const std::vector<Tensor> codes = {Tensor(DType::Int8, {4, 8, 16, 16})};
  EXPECT_THAT(refusal([&] { engine.run(codes); }),
              testing::HasSubstr("not i8 4x8x16x16: build a plan for that shape"));
  EXPECT_THAT(refusal([&] { engine.run({}); }), testing::HasSubstr("the plan takes 1 inputs, not 0"));
  EXPECT_THAT(refusal([&] { Engine other(plan(), {}); }),
              testing::HasSubstr("needs the backend 'evaluating', which this build"));
  Plan odd = plan();
  for (PlanStep& step : odd.steps) step.tactic = step.backend == kView ? step.tactic : "odd";
  EXPECT_THAT(refusal([&] { Engine other(odd, backends_); }), testing::HasSubstr("unknown tactic"));
  EXPECT_THAT(refusal([&] { engine.watch({"a_p"}); }), testing::HasSubstr("the plan holds no tensor 'a_p'"));
}

TEST_F(Plans, RefuseWrongPlacesInTheArena) {
  const auto refusal = [&](const auto& change) -> std::string {
    Plan changed = plan();
    change(changed);
    try {
      check_memory(changed);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal([](Plan&) {}), "");
  const auto first = [](Plan& p) -> int64_t& {
    return *std::ranges::find_if(p.offsets, [](int64_t offset) { return offset != kNoOffset; });
  };
  EXPECT_THAT(refusal([&](Plan& p) { first(p) = 8; }), testing::HasSubstr("has no place in the arena"));
  EXPECT_THAT(refusal([&](Plan& p) { first(p) = 1 << 30; }), testing::HasSubstr("lies outside the arena"));
  EXPECT_THAT(refusal([&](Plan& p) {
                for (int64_t& offset : p.offsets) offset = offset == kNoOffset ? offset : 0;
              }),
              testing::HasSubstr("overlap in the arena"));
}

}  // namespace
}  // namespace kvant::engine
