// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <numeric>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/nearest.h"
#include "base/random.h"
#include "base/thread_pool.h"

namespace kvant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "kvant-base-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  size_t files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {})); }
  fs::path folder_;
};

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ErrorTest, CollectsNotesFromTheInnermostOut) {
  try {
    noting(
        [] { return "while reading m.onnx"; },
        [] { noting([] { return "while importing Conv 'c1'"; }, [] { fail("no kernel of size {}", 9); }); });
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "no kernel of size 9");
    EXPECT_THAT(error.trail(), ElementsAre("while importing Conv 'c1'", "while reading m.onnx"));
  }
}

TEST(ErrorTest, ABrokenInvariantIsABugWithItsPlace) {
  try {
    KVANT_CHECK(1 > 2, "order");
    FAIL();
  } catch (const Bug& bug) {
    EXPECT_THAT(bug.what(), HasSubstr("base_test.cc"));
    EXPECT_THAT(bug.what(), HasSubstr("order (1 > 2)"));
  }
}

TEST_F(Folder, AnAtomicFileAppearsOnlyOnCommit) {
  const fs::path path = folder_ / "out.bin";
  {
    AtomicFile file(path);
    file.write("half");
    EXPECT_FALSE(fs::exists(path));
  }
  EXPECT_EQ(files(), 0u);
  write_text(path, "whole");
  EXPECT_EQ(read_text(path), "whole");
  EXPECT_EQ(files(), 1u);
}

TEST_F(Folder, AnExistingFileIsReplacedOnlyAsAWhole) {
  const fs::path path = folder_ / "out.bin";
  write_text(path, "old");
  {
    AtomicFile file(path);
    file.write("new, not finished");
  }
  EXPECT_EQ(read_text(path), "old");
}

TEST_F(Folder, FilesThatCannotBeWrittenAreRefusedByName) {
  EXPECT_EQ(message_of([&] { require_writable(folder_); }),
            "cannot write " + folder_.string() + ": it is a folder");
  EXPECT_THAT(message_of([&] { require_writable(folder_ / "none" / "x"); }),
              HasSubstr("none does not exist"));
  EXPECT_THAT(message_of([&] { MappedFile(folder_ / "missing"); }), HasSubstr("missing: No such file"));
  EXPECT_THAT(message_of([&] { MappedFile{folder_}; }), HasSubstr("is not a regular file"));
}

TEST_F(Folder, AFullDiskIsAnErrorAndLeavesNothing) {
  // A file size limit stands in for a full disk: write() fails half way just the same.
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit small { 1000, before.rlim_max };
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = message_of([&] { write_text(folder_ / "big.bin", std::string(5000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, HasSubstr("big.bin: File too large"));
  EXPECT_EQ(files(), 0u);
}

TEST(NearestTest, RanksByEditDistance) {
  const std::vector<std::string> known = {"percentile", "max", "entropy"};
  EXPECT_THAT(nearest("percentil", known, 1), ElementsAre("percentile"));
  EXPECT_EQ(nearest_hint("mx", known), " (nearest: max, entropy, percentile)");
  EXPECT_EQ(nearest_hint("mx", {}), "");
}

TEST(ThreadPoolTest, VisitsEveryItemOnceAndRethrows) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> seen(1000);
  for (int round = 0; round < 20; ++round) {
    pool.parallel_for(1000, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
  }
  for (const auto& count : seen) EXPECT_EQ(count.load(), 20);
  EXPECT_EQ(message_of([&] {
              pool.parallel_for(3, [](int64_t begin, int64_t) { fail("part at {}", begin); });
            }).substr(0, 8),
            "part at ");
}

TEST(RandomTest, IsTheSameEverywhere) {
  Random random(1);
  EXPECT_EQ(random.next(), 0x910A2DEC89025CC1u);  // SplitMix64's published sequence for seed 1
  EXPECT_EQ(random.next(), 0xBEEB8DA1658EEC67u);
  double sum = 0, squares = 0;
  for (int i = 0; i < 20000; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 20000, 0, 0.03);
  EXPECT_NEAR(squares / 20000, 1, 0.05);
}

TEST(CpuTest, TacticsNameTheirInstructionSet) {
  EXPECT_EQ(isa_in("qconv_u8s8_7x64_avx512vnni"), Isa::Avx512vnni);
  EXPECT_EQ(isa_in("qconv_u8s8_6x16_avxvnni"), Isa::AvxVnni);
  EXPECT_EQ(isa_in("qmatmul_avx2"), Isa::Avx2);
  EXPECT_EQ(isa_in("qconv_u8s8_amx"), Isa::Amx);
  EXPECT_EQ(isa_in("max_pool_plain"), Isa::None);
}

TEST(CpuTest, SetsAreOfferedUpToTheBest) {
  EXPECT_TRUE(supports(Isa::None));
  EXPECT_TRUE(supports(best_isa()));
  for (const Isa isa : kAllIsas) {
    EXPECT_TRUE(isa <= best_isa() || !supports(isa)) << name(isa);
    EXPECT_TRUE(isa == Isa::AvxVnni || isa > best_isa() || supports(isa)) << name(isa);
    EXPECT_EQ(isa_in(name(isa)), isa);
  }
  EXPECT_TRUE(worth_offering(best_isa()));
  EXPECT_FALSE(worth_offering(Isa::AvxVnni) && supports(Isa::Avx512vnni));
}

TEST(InterruptTest, ThrowsAtTheNextSafePoint) {
  EXPECT_NO_THROW(check_interrupt());
  request_interrupt(SIGINT);
  EXPECT_THROW(check_interrupt(), Interrupted);
  request_interrupt(0);
  EXPECT_NO_THROW(check_interrupt());
}

}  // namespace
}  // namespace kvant
