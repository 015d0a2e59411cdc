// SPDX-License-Identifier: Apache-2.0
// What nvcc made of the kernels, without a GPU: no spills, registers within registers.txt, and the
// instructions that are the point of each kernel in its PTX. Skipped where there was no nvcc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "backends/cuda/kernels/launch.h"

namespace kvant::backends::cuda {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

const fs::path kBuilt = fs::path(KVANT_BINARY_DIR) / "cuda";

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Modules for one capability alone are compiled for it with an "a".
fs::path built(const Kernel& kernel, int sm, const char* extension) {
  const std::string module = kernel.module;
  return kBuilt /
         (module + ".sm_" + std::to_string(sm) + (module.ends_with("_sm90a") ? "a" : "") + extension);
}

bool compiled_for(const Kernel& kernel, int sm) {
  return sm >= kernel.minimum_sm && fs::exists(built(kernel, sm, ".log"));
}

#define SKIP_WITHOUT_NVCC()                                                                               \
  if (!fs::exists(kBuilt / "implicit_gemm.sm_80.log") && !fs::exists(kBuilt / "implicit_gemm.sm_90.log")) \
  GTEST_SKIP() << "kernels were not compiled (no nvcc, or KVANT_CUDA=OFF)"

struct Usage {
  int registers = 0, stack = -1, spilled = -1;
};

// What ptxas -v says of each kernel of a log.
std::map<std::string, Usage> usage_in(const std::string& log) {
  static const std::regex entry("Compiling entry function '(\\w+)'");
  static const std::regex frame("(\\d+) bytes stack frame, (\\d+) bytes spill stores");
  static const std::regex used("Used (\\d+) registers");
  std::map<std::string, Usage> all;
  std::istringstream lines(log);
  std::string kernel;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_search(line, match, entry)) kernel = match[1];
    if (std::regex_search(line, match, frame)) {
      all[kernel].stack = std::stoi(match[1]);
      all[kernel].spilled = std::stoi(match[2]);
    }
    if (std::regex_search(line, match, used)) all[kernel].registers = std::stoi(match[1]);
  }
  return all;
}

// registers.txt: "kernel sm_80 sm_90", "-" where it is not compiled.
std::map<std::string, std::map<int, int>> register_budgets() {
  std::ifstream file(fs::path(KVANT_SOURCE_DIR) / "src/backends/cuda/kernels/registers.txt");
  std::map<std::string, std::map<int, int>> budgets;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kernel, first, second;
    if (line.empty() || line[0] == '#' || !(words >> kernel >> first >> second)) continue;
    if (first != "-") budgets[kernel][80] = std::stoi(first);
    if (second != "-") budgets[kernel][90] = std::stoi(second);
  }
  return budgets;
}

TEST(CompiledKernels, NoSpillsAndRegistersWithinTheBudget) {
  SKIP_WITHOUT_NVCC();
  const auto budgets = register_budgets();
  for (const Kernel& kernel : kernels()) {
    for (const int sm : {80, 90}) {
      if (!compiled_for(kernel, sm)) continue;
      const auto all = usage_in(text_of(built(kernel, sm, ".log")));
      const auto found = all.find(kernel.name);
      ASSERT_NE(found, all.end()) << kernel.name << " is not in module " << kernel.module;
      EXPECT_EQ(found->second.spilled, 0) << kernel.name << " sm_" << sm;
      EXPECT_EQ(found->second.stack, 0) << kernel.name << " sm_" << sm;
      const auto budget = budgets.find(kernel.name);
      ASSERT_NE(budget, budgets.end()) << kernel.name << " has no line in registers.txt; it uses "
                                       << found->second.registers << " for sm_" << sm;
      ASSERT_TRUE(budget->second.contains(sm)) << kernel.name << " sm_" << sm;
      EXPECT_LE(found->second.registers, budget->second.at(sm)) << kernel.name << " sm_" << sm;
    }
  }
}

TEST(CompiledKernels, EveryModuleHasAFatbin) {
  SKIP_WITHOUT_NVCC();
  for (const Kernel& kernel : kernels()) {
    const fs::path fatbin = kBuilt / (std::string(kernel.module) + ".fatbin");
    ASSERT_TRUE(fs::exists(fatbin)) << fatbin;
    const std::string bytes = text_of(fatbin);
    ASSERT_GE(bytes.size(), 16u);
    EXPECT_EQ(bytes.substr(0, 4), "\x50\xed\x55\xba") << "the mark of a fatbin";
  }
}

// The PTX of one kernel.
std::string ptx_of(std::string_view name, int sm) {
  const Kernel& kernel = kernel_named(name);
  const std::string all = text_of(built(kernel, sm, ".ptx"));
  const size_t begin = all.find(".entry " + std::string(name) + "(");
  if (begin == std::string::npos) return "";
  return all.substr(begin, all.find(".entry", begin + 1) - begin);
}

TEST(CompiledKernels, TheInstructionsThatAreTheirPoint) {
  SKIP_WITHOUT_NVCC();
  for (const int sm : {80, 90}) {
    if (!compiled_for(kernel_named("conv_64x64x64"), sm)) continue;
    const std::string tile = ptx_of("conv_64x64x64", sm);
    EXPECT_THAT(tile, HasSubstr("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32"));
    EXPECT_THAT(tile, HasSubstr("ldmatrix.sync.aligned.m8n8.x4.shared.b16"));
    EXPECT_THAT(tile, HasSubstr("cp.async.cg.shared.global"));
    EXPECT_THAT(tile, HasSubstr("cp.async.wait_group 2"));
    EXPECT_THAT(tile, HasSubstr("fma.rn.f32"));
    EXPECT_THAT(tile, HasSubstr("cvt.rni.s32.f32"));
    EXPECT_THAT(tile, Not(HasSubstr(".local")));
    EXPECT_THAT(ptx_of("conv_copy8_64x64x64", sm), HasSubstr("cp.async.ca.shared.global"));
    EXPECT_THAT(ptx_of("conv_depthwise_3s1", sm), HasSubstr("dp4a.s32.s32"));
    EXPECT_THAT(ptx_of("conv_depthwise_3s1", sm), HasSubstr("prmt"));
    EXPECT_THAT(ptx_of("product_codes", sm), HasSubstr("dp4a.s32.s32"));
    EXPECT_THAT(ptx_of("quantize_reals", sm), HasSubstr("div.rn.f32"));
    EXPECT_THAT(ptx_of("copy_16", sm), HasSubstr(".v4."));
    // Blocks that meet: past the first-level cache both ways, fences, a counter that wraps.
    const std::string shared = ptx_of("conv_64x64x128_k2_s4", sm);
    EXPECT_THAT(shared, testing::ContainsRegex("st\\.(global\\.)?cg\\.v4"));
    EXPECT_THAT(shared, testing::ContainsRegex("ld\\.(global\\.)?cg\\.v4"));
    EXPECT_THAT(shared, testing::ContainsRegex("membar\\.gl|fence\\.(acq_rel|sc)\\.gpu"));
    EXPECT_THAT(shared, testing::ContainsRegex("atom\\.(global\\.)?inc\\.u32"));
  }
  if (!compiled_for(kernel_named("conv_64x64x64"), 90)) return;
  const std::string cluster = ptx_of("conv_64x64x128_k2_c8", 90);
  EXPECT_THAT(cluster, HasSubstr("barrier.cluster.arrive"));
  EXPECT_THAT(cluster, HasSubstr("mapa.shared::cluster"));
  EXPECT_THAT(cluster, HasSubstr("ld.shared::cluster.v4"));
  EXPECT_THAT(ptx_of("excite_cluster", 90), HasSubstr("ld.shared::cluster.v4"));
  EXPECT_THAT(ptx_of("excite_cluster", 90), HasSubstr("dp4a"));
}

TEST(CompiledKernels, WarpgroupsMultiplyWhatTensorCopiesBring) {
  SKIP_WITHOUT_NVCC();
  if (!compiled_for(kernel_named("conv_wgmma_128x128x128"), 90)) GTEST_SKIP() << "no sm_90 in KVANT_CUDA_SMS";
  for (const char* columns : {"256", "128", "64"}) {
    const std::string kernel = std::string("conv_wgmma_128x") + columns + "x128";
    const std::string text = ptx_of(kernel, 90), shape = std::string("m64n") + columns + "k32.s32.";
    EXPECT_THAT(text, HasSubstr("wgmma.mma_async.sync.aligned." + shape + "s8.s8"));
    EXPECT_THAT(text, HasSubstr("wgmma.mma_async.sync.aligned." + shape + "u8.s8"));
    EXPECT_THAT(text, HasSubstr("wgmma.fence.sync.aligned"));
    EXPECT_THAT(text, HasSubstr("wgmma.wait_group.sync.aligned 1;"));
    EXPECT_THAT(text,
                HasSubstr("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"));
    EXPECT_THAT(text, HasSubstr("cp.async.bulk.tensor.4d.shared::cluster.global.im2col"));
    EXPECT_THAT(text, HasSubstr("mbarrier.try_wait.parity.shared::cta.b64"));
    EXPECT_THAT(text, Not(HasSubstr(".local")));
    // ptxas says so when it has to wait between products because registers are touched there.
    EXPECT_THAT(text_of(built(kernel_named(kernel), 90, ".log")), Not(HasSubstr("serialized")));
  }
}

// A kernel that does not wait would let the one after next start before its inputs are there.
TEST(CompiledKernels, EveryKernelWaitsForTheOneBefore) {
  SKIP_WITHOUT_NVCC();
  for (const Kernel& kernel : kernels()) {
    if (!compiled_for(kernel, 90)) continue;
    EXPECT_THAT(ptx_of(kernel.name, 90), HasSubstr("griddepcontrol.wait")) << kernel.name;
  }
}

}  // namespace
}  // namespace kvant::backends::cuda
