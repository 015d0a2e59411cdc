// SPDX-License-Identifier: Apache-2.0
#include "engine/build/timing_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"

namespace kvant::engine {
namespace {

using testing::HasSubstr;

std::filesystem::path file_with(const std::string& text) {
  const auto path = std::filesystem::path(testing::TempDir()) / "kvant_timings";
  write_text(path, text);
  return path;
}

std::string refusal(const std::string& text) {
  try {
    TimingCache cache(file_with(text));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TimingCacheFile, IsReadMergedAndWritten) {
  TimingCache cache(
      file_with("# kvant timings 1\na b\tslow\t20\nc\tone\t5\n# kvant timings 1\na b\tfast\t10\n"));
  ASSERT_NE(cache.find("a b"), nullptr);
  EXPECT_EQ(cache.find("a b")->tactic, "fast");
  EXPECT_EQ(cache.find("nothing"), nullptr);
  cache.set("d", {"two", 7});
  cache.save();
  const TimingCache again(std::filesystem::path(testing::TempDir()) / "kvant_timings");
  EXPECT_EQ(again.find("a b")->nanoseconds, 10);
  EXPECT_EQ(again.find("d")->tactic, "two");
  EXPECT_EQ(TimingCache(std::filesystem::path(testing::TempDir()) / "kvant_no_timings").find("a"), nullptr);
}

TEST(TimingCacheFile, RefusesWhatIsNone) {
  EXPECT_THAT(refusal("something else\n"), HasSubstr("is not a timing cache of kvant"));
  EXPECT_THAT(refusal("# kvant timings 1\na\tb\tx\n"), HasSubstr("line 2 of the timing cache"));
  EXPECT_THAT(refusal("# kvant timings 1\na\tb\t-1\n"), HasSubstr("line 2 of the timing cache"));
  EXPECT_THAT(refusal("# kvant timings 1\nnothing\n"), HasSubstr("line 2 of the timing cache"));
}

TEST(TimingKey, NamesTheProcessorOfADevice) {
  ir::Node node;
  node.op = "QConv";
  const NodeView view{.node = node, .inputs = {}, .outputs = {}, .constants = {}, .threads = 3};
  EXPECT_THAT(timing_key(view, "NVIDIA H100 sm_90 multiprocessors 132"),
              testing::StartsWith("NVIDIA H100 sm_90 multiprocessors 132 QConv"));
}

TEST(TimingKey, TellsWhatDecidesAboutSpeed) {
  const auto key = [](int threads, int64_t stride, int64_t width) {
    ir::Node node;
    node.op = "QConv";
    node.attributes.set("stride", stride);
    node.attributes.set("beta", 0.5f);
    NodeView view{.node = node,
                  .inputs = {{DType::UInt8, Shape{1, width}}},
                  .outputs = {},
                  .constants = {},
                  .threads = threads};
    return timing_key(view);
  };
  EXPECT_THAT(key(2, 1, 8), HasSubstr(" 2 threads QConv stride=1 "));
  EXPECT_EQ(key(2, 1, 8).find("beta"), std::string::npos) << "values do not matter to the clock";
  EXPECT_NE(key(2, 1, 8), key(1, 1, 8));
  EXPECT_NE(key(2, 1, 8), key(2, 2, 8));
  EXPECT_NE(key(2, 1, 8), key(2, 1, 9));
}

}  // namespace
}  // namespace kvant::engine
