// SPDX-License-Identifier: Apache-2.0
// Building, writing, reading and running plans over a backend that evaluates each operator's reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "engine/engine.h"
#include "engine/passes/graph_text_test.h"
#include "engine/plan/header.h"

namespace kvant::engine {
namespace {

class EvaluatingStep final : public Step {
 public:
  EvaluatingStep(const NodeView& view, std::vector<Tensor> packed) : view_(view), packed_(std::move(packed)) {
    if (packed_.size() != view_.inputs.size()) fail("packed constants do not fit");
  }
  void run(const RunArgs& args) override {
    std::vector<const Tensor*> inputs(view_.inputs.size(), nullptr);
    std::vector<Tensor> values(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!view_.has(i)) continue;
      inputs[i] = &packed_[i];
      if (args.inputs[i] == nullptr) continue;
      values[i] = Tensor(view_.inputs[i].dtype, *view_.inputs[i].shape);
      std::memcpy(values[i].mutable_raw(), args.inputs[i], values[i].byte_size());
      inputs[i] = &values[i];
    }
    const auto results = ops::standard().get(view_.node.op).evaluate({view_.node, inputs});
    for (size_t i = 0; i < results.size() && i < args.outputs.size(); ++i)
      std::memcpy(args.outputs[i], results[i].raw(), results[i].byte_size());
  }

 private:
  NodeView view_;
  std::vector<Tensor> packed_;
};

class EvaluatingBackend final : public Backend {
 public:
  std::string_view name() const override { return "evaluating"; }
  std::vector<std::string> tactics(const NodeView&, std::string&) const override { return {"plain"}; }
  std::vector<Tensor> pack(const NodeView& view, std::string_view) const override {
    std::vector<Tensor> packed;
    for (const Tensor* constant : view.constants)
      packed.push_back(constant != nullptr ? *constant : Tensor());
    return packed;
  }
  std::unique_ptr<Step> load(const NodeView& view, std::string_view tactic,
                             std::vector<Tensor> packed) const override {
    if (tactic != "plain") fail("unknown tactic");
    return std::make_unique<EvaluatingStep>(view, std::move(packed));
  }
};

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
  write_plan(plan(), path_.string() + "2");
  EXPECT_EQ(bytes, read_text(path_.string() + "2"));
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

}  // namespace
}  // namespace kvant::engine
