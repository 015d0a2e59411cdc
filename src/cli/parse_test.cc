// SPDX-License-Identifier: Apache-2.0
#include "cli/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/classify.h"
#include "cli/progress_bar.h"

namespace kvant::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Command toy() {
  return {
      .name = "toy",
      .summary = "does nothing",
      .example = "m.onnx -o out",
      .flags =
          {{.name = "MODEL", .value = "", .help = "a model", .required = true},
           {.name = "output", .value = "FILE", .help = "to write", .required = true, .letter = "o"},
           {.name = "mode", .value = "M", .help = "how", .fallback = "fast", .choices = {"fast", "exact"}},
           {.name = "input", .value = "X", .help = "several", .many = true},
           {.name = "count", .value = "N", .help = "number", .fallback = "3"},
           {.name = "deep", .value = "", .help = "a switch"}},
      .run = {}};
}

Flags parsed(std::vector<std::string> arguments) { return parse(toy(), arguments); }

std::string refusal(std::vector<std::string> arguments) {
  try {
    parsed(std::move(arguments));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Parse, ReadsWhatIsGivenAndKeepsDefaults) {
  const Flags flags = parsed({"m.onnx", "-o", "x", "--input", "a", "--input=b", "--deep", "--threads", "2"});
  EXPECT_EQ(flags.text("MODEL"), "m.onnx");
  EXPECT_EQ(flags.text("output"), "x");
  EXPECT_THAT(flags.texts("input"), ElementsAre("a", "b"));
  EXPECT_TRUE(flags.on("deep"));
  EXPECT_FALSE(flags.given("mode"));
  EXPECT_EQ(flags.text("mode"), "fast");
  EXPECT_EQ(flags.integer("count", 0, 10), 3);
  EXPECT_EQ(threads_of(flags), 2);
}

TEST(Parse, LetsOnlySomeCommandsLeaveTheCpu) {
  EXPECT_THAT(refusal({"m", "-o", "x", "--device", "cuda"}),
              HasSubstr("kvant toy computes on the CPU: leave out --device cuda"));
  EXPECT_THAT(refusal({"m", "-o", "x", "--device", "gpu"}), HasSubstr("--device does not take 'gpu'"));
  Command any = toy();
  any.any_device = true;
  EXPECT_EQ(parse(any, std::vector<std::string>{"m", "-o", "x", "--device", "cuda:1"}).text("device"),
            "cuda:1");
  EXPECT_EQ(refusal({"m", "-o", "x", "--device", "cpu"}), "accepted");
}

TEST(Parse, RefusesWithWhatToDo) {
  EXPECT_EQ(refusal({"m", "-o", "x", "--modus", "fast"}).find("unknown flag --modus (nearest: --mode"), 0u);
  EXPECT_THAT(refusal({"m", "-o", "x", "--mode", "fats"}),
              HasSubstr("--mode does not take 'fats': use fast, exact"));
  EXPECT_THAT(refusal({"m"}), HasSubstr("--output is missing; see kvant toy --help"));
  EXPECT_THAT(refusal({"-o", "x"}), HasSubstr("MODEL is missing"));
  EXPECT_THAT(refusal({"m", "extra", "-o", "x"}), HasSubstr("extra"));
}

TEST(Parse, NumbersHaveBounds) {
  const Flags flags = parsed({"m", "-o", "x", "--count", "12"});
  EXPECT_THROW(flags.integer("count", 0, 10), UsageError);
  EXPECT_EQ(flags.real("count", 0, 100), 12.0);
  EXPECT_THROW(parsed({"m", "-o", "x", "--count", "3x"}).integer("count", 0, 10), UsageError);
  EXPECT_THROW(parsed({"m", "-o", "x", "--count", "nan"}).real("count", 0, 10), UsageError);
}

TEST(Parse, AFlagThatIsNotDeclaredIsABug) { EXPECT_THROW(parsed({"m", "-o", "x"}).text("outptu"), Bug); }

TEST(Commands, AllAreFoundAndExplainThemselves) {
  const std::vector<Command> all = commands();
  EXPECT_GE(all.size(), 9u);
  for (const Command& command : all) {
    EXPECT_EQ(&find(all, command.name), &command);
    EXPECT_THAT(help(command), HasSubstr("kvant " + command.name + " " + command.example));
  }
  try {
    find(all, "evla");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("unknown command 'evla' (nearest: eval"));
  }
}

// Output = first row of the input, whatever it is.
class Echo final : public ir::Runner {
 public:
  void watch(std::vector<std::string>) override {}
  std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer&) override {
    batches.push_back(inputs[0].dim(0));
    return {inputs[0]};
  }
  std::vector<int64_t> batches;
};

TEST(Classify, FillsUpTheLastBatchAndCutsItAgain) {
  Echo echo;
  const Tensor rows = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(run_batch(echo, rows, 4), rows);
  EXPECT_THAT(echo.batches, ElementsAre(4));
  EXPECT_EQ(argmax(std::vector<float>{1, 3, 3}), 1);
}

TEST(ProgressBarTest, EndsWithOnePlainLine) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* out = open_memstream(&text, &size);
  {
    ProgressBar bar(out);
    bar.begin("calibrating", 10, "images");
    bar.update(5, "");
    bar.update(10, "done soon");
    bar.end();
  }
  std::fclose(out);
  EXPECT_THAT(std::string(text), HasSubstr("calibrating 10/10 images"));
  EXPECT_THAT(std::string(text), HasSubstr("done soon"));
  free(text);
}

}  // namespace
}  // namespace kvant::cli
