// SPDX-License-Identifier: Apache-2.0
#include "backends/device_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/backends.h"
#include "backends/cuda/fatbins.h"
#include "base/error.h"

namespace kvant::backends {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

std::string refusal(const std::string& name) {
  try {
    DeviceBackends device(name);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DeviceNames, AreRead) {
  EXPECT_EQ(parse_device("cpu").kind, DeviceKind::Cpu);
  EXPECT_EQ(parse_device("cuda").kind, DeviceKind::Cuda);
  EXPECT_EQ(parse_device("cuda").ordinal, 0);
  EXPECT_EQ(parse_device("cuda:3").ordinal, 3);
  EXPECT_EQ(parse_device("emulated-cuda").sm, 90);
  EXPECT_EQ(parse_device("emulated-cuda:sm_80").sm, 80);
}

TEST(DeviceNames, AreRefusedWithTheNearest) {
  EXPECT_THAT(refusal("cud"),
              HasSubstr("--device does not take 'cud': use cpu, cuda, cuda:N (nearest: cuda"));
  EXPECT_EQ(refusal("cuda:x"), "--device cuda:x: a card is named by its number, as in cuda:0");
  EXPECT_EQ(refusal("cuda:-1"), "--device cuda:-1: a card is named by its number, as in cuda:0");
  EXPECT_EQ(refusal("emulated-cuda:sm_70"),
            "--device emulated-cuda:sm_70: the emulator stands for sm_80 or sm_90");
}

TEST(DeviceNames, PutTheirBackendFirst) {
  const DeviceBackends host("cpu"), emulated("emulated-cuda");
  ASSERT_EQ(host.list().size() + 1, emulated.list().size());
  EXPECT_EQ(host.list()[0]->name(), "cpu");
  EXPECT_EQ(emulated.list()[0]->name(), "cuda");
  EXPECT_EQ(emulated.list()[0]->needs(), "sm_90");
  EXPECT_EQ(emulated.device(), "emulated-cuda");
  EXPECT_THAT(emulated.list()[0]->processor(), HasSubstr("sm_90 multiprocessors 132"));
  EXPECT_FALSE(emulated.list()[0]->has_clock());
}

// On a machine without a card, whatever is missing is said in one sentence.
TEST(DeviceNames, SayWhatIsMissing) {
  const std::string why = refusal("cuda:0");
  if (cuda::fatbins().empty()) {
    EXPECT_THAT(why, HasSubstr("this build of kvant has no CUDA kernels"));
  } else if (!why.empty()) {
    EXPECT_THAT(why, AnyOf(HasSubstr("no NVIDIA driver is installed on this machine"),
                           HasSubstr("finds no card on this machine"), HasSubstr("stub and no driver")));
  }
}

}  // namespace
}  // namespace kvant::backends
