// SPDX-License-Identifier: Apache-2.0
// The dependency table of ARCHITECTURE.md and the size caps, enforced. Each rule is shown to fail on a
// planted violation in a toy tree.
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

using Names = std::set<std::string>;

// Each folder of src/ may include itself and these.
const std::map<std::string, Names> kMayInclude = {
    {"base", {}},
    {"tensor", {"base"}},
    {"ir", {"base", "tensor"}},
    {"ops", {"base", "tensor", "ir"}},
    {"data", {"base", "tensor"}},
    {"formats", {"base", "tensor", "ir", "ops"}},
    {"quant", {"base", "tensor", "ir", "ops", "data"}},
    {"train", {"base", "tensor", "ir", "ops", "data"}},
    {"zoo", {"base", "tensor", "ir", "ops"}},
    {"engine", {"base", "tensor", "ir", "ops"}},
    {"backends", {"base", "tensor", "ir", "ops", "engine"}},
    {"api", {"base", "tensor", "ir", "ops", "data", "formats", "quant", "engine", "backends"}},
    {"choose", {"base", "tensor", "ir", "ops", "data", "quant", "train", "engine"}},
    {"report", {"base", "tensor", "ir", "quant", "train", "engine"}},
    {"cli",
     {"base", "tensor", "ir", "ops", "data", "formats", "quant", "train", "zoo", "engine", "backends", "api",
      "choose", "report"}},
};
const Names kKernelsMayInclude = {"base", "tensor"};
// Kernels know no graph, so of their own folder they may include kernels and the emulator's device layer
// only.
const std::regex kOfKernels(R"re("backends/\w+/(kernels|emulator)/)re");

// Third-party headers and the only folders (or files, by suffix) that may see them.
struct ThirdParty {
  std::string header;  // regular expression on what stands between the brackets
  Names folders;       // path prefixes under src/
};
const std::vector<ThirdParty> kThirdParty = {
    {"(torch|ATen|c10)/.*", {"train/torch/"}},
    {"google/protobuf/.*", {"formats/onnx/"}},
    {"(jpeglib|png|zlib|zstd)\\.h", {"data/"}},
    {"(cuda|cudnn|cublas).*", {"backends/cuda/"}},
    {"dnnl\\.hpp|oneapi/dnnl/.*|dnnl\\.h", {"backends/cpu/"}},
    {"CLI/.*", {"cli/"}},
    {"toml\\+\\+/.*", {"quant/spec/"}},
};

constexpr size_t kMaxFileLines = 800;
constexpr size_t kMaxFunctionLines = 80;

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

bool is_source(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".h" || extension == ".cc" || extension == ".cu" || extension == ".cuh";
}

bool is_test(const fs::path& path) {
  const std::string stem = path.stem().string();
  return stem.ends_with("_test") || stem.ends_with("_bench");
}

std::vector<fs::path> sources_under(const fs::path& root) {
  std::vector<fs::path> files;
  if (!fs::exists(root)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() && is_source(entry.path())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void check_includes(const fs::path& file, const std::string& relative, std::vector<std::string>& faults) {
  static const std::regex own(R"re(^\s*#\s*include\s+"([\w]+)/)re");
  static const std::regex foreign(R"re(^\s*#\s*include\s+<([^>]+)>)re");
  const std::string folder = relative.substr(0, relative.find('/'));
  const auto row = kMayInclude.find(folder);
  if (row == kMayInclude.end()) {
    faults.push_back(relative + ": the folder " + folder + " is not in the dependency table");
    return;
  }
  const bool kernel =
      relative.find("/kernels/") != std::string::npos || relative.find("/emulator/") != std::string::npos;
  const bool device_code = relative.ends_with(".cu") || relative.ends_with(".cuh");
  if (device_code && !relative.starts_with("backends/cuda/kernels/"))
    faults.push_back(relative + ": device code belongs in backends/cuda/kernels");
  const Names& allowed = kernel ? kKernelsMayInclude : row->second;
  const std::vector<std::string> lines = lines_of(file);
  for (size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    const std::string place = relative + ":" + std::to_string(i + 1) + ": ";
    if (std::regex_search(lines[i], match, own)) {
      const std::string target = match[1];
      const bool fine = !kMayInclude.contains(target) || target == folder || allowed.contains(target);
      if (!fine) faults.push_back(place + folder + " may not include " + target);
      if (kernel && target == folder && !std::regex_search(lines[i], kOfKernels))
        faults.push_back(place + "a kernel may not include what knows the graph");
    } else if (std::regex_search(lines[i], match, foreign)) {
      for (const ThirdParty& party : kThirdParty) {
        if (!std::regex_match(match[1].str(), std::regex(party.header))) continue;
        bool fine = false;
        for (const std::string& prefix : party.folders) fine = fine || relative.starts_with(prefix);
        if (!fine)
          faults.push_back(place + "<" + match[1].str() + "> may only be seen in " +
                           fmt::format("{}", fmt::join(party.folders, ", ")));
      }
    }
  }
}

// Functions as clang-format writes them: a head at indent 0 or 2 that ends with "{", and "}" alone at the
// same indent.
void check_sizes(const fs::path& file, const std::string& relative, std::vector<std::string>& faults) {
  static const std::regex head(R"re(^(  )?[\w~].*\)[^;{}]*\{$)re");
  static const std::regex type(
      R"re(^\s*(namespace|class|struct|enum|union|extern|switch|if|for|while|else|do|return|try|#)\b)re");
  const std::vector<std::string> lines = lines_of(file);
  if (lines.size() > kMaxFileLines) {
    faults.push_back(relative + ": " + std::to_string(lines.size()) + " lines, the cap is " +
                     std::to_string(kMaxFileLines));
  }
  if (relative.find("/kernels/") != std::string::npos) return;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!std::regex_search(lines[i], head) || std::regex_search(lines[i], type)) continue;
    const std::string close = lines[i].starts_with("  ") ? "  }" : "}";
    for (size_t j = i + 1; j < lines.size(); ++j) {
      if (!lines[j].starts_with(close) || (lines[j].size() > close.size() && lines[j][close.size()] != ';'))
        continue;
      if (j - i + 1 > kMaxFunctionLines) {
        faults.push_back(relative + ":" + std::to_string(i + 1) + ": a function of " +
                         std::to_string(j - i + 1) + " lines, the cap is " +
                         std::to_string(kMaxFunctionLines));
      }
      break;
    }
  }
}

std::vector<std::string> faults_in(const fs::path& src) {
  std::vector<std::string> faults;
  static const std::regex vague(R"re(^(utils?|common|helpers?|misc)$)re");
  for (const fs::path& file : sources_under(src)) {
    const std::string relative = fs::relative(file, src).string();
    for (const fs::path& part : fs::path(relative)) {
      if (std::regex_match(part.stem().string(), vague))
        faults.push_back(relative + ": a name that says nothing: " + part.string());
    }
    check_sizes(file, relative, faults);
    if (!is_test(file)) check_includes(file, relative, faults);
    const std::vector<std::string> lines = lines_of(file);
    if (lines.empty() || lines[0].find("SPDX-License-Identifier: Apache-2.0") == std::string::npos) {
      faults.push_back(relative +
                       ": the first line must be the licence: SPDX-License-Identifier: Apache-2.0");
    }
  }
  return faults;
}

TEST(Architecture, TheTreeKeepsItsRules) {
  const std::vector<std::string> faults = faults_in(fs::path(KVANT_SOURCE_DIR) / "src");
  EXPECT_THAT(faults, IsEmpty());
  EXPECT_GT(sources_under(fs::path(KVANT_SOURCE_DIR) / "src").size(), 100u);
}

TEST(Architecture, TheTableHasNoMutualPairs) {
  for (const auto& [folder, allowed] : kMayInclude) {
    for (const std::string& other : allowed)
      EXPECT_FALSE(kMayInclude.at(other).contains(folder)) << folder << " and " << other;
  }
}

TEST(Architecture, TheDocumentHoldsTheSameTable) {
  std::string document;
  for (const std::string& line : lines_of(fs::path(KVANT_SOURCE_DIR) / "ARCHITECTURE.md"))
    document += line + "\n";
  for (const auto& [folder, allowed] : kMayInclude) {
    if (folder == "cli") continue;
    const std::string start = "| " + folder + " | ";
    const size_t row = document.find(start);
    ASSERT_NE(row, std::string::npos) << folder;
    std::istringstream words(
        document.substr(row + start.size(), document.find('|', row + start.size()) - row - start.size()));
    Names listed;
    for (std::string word; words >> word;) {
      if (word != "-") listed.insert(word);
    }
    EXPECT_EQ(listed, allowed) << folder;
  }
}

class Planted : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "kvant-tree-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(root_); }
  std::vector<std::string> faults_with(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << "// SPDX-License-Identifier: Apache-2.0\n" << text;
    return faults_in(root_);
  }
  fs::path root_;
};

TEST_F(Planted, AnUpwardIncludeIsCaught) {
  EXPECT_THAT(faults_with("quant/a.cc", "#include \"engine/engine.h\"\n"),
              testing::ElementsAre("quant/a.cc:2: quant may not include engine"));
}
TEST_F(Planted, AKernelThatKnowsTheGraphIsCaught) {
  EXPECT_THAT(faults_with("backends/cpu/kernels/q/a.cc", "#include \"ir/graph.h\"\n")[0],
              HasSubstr("may not include ir"));
}
TEST_F(Planted, AKernelThatKnowsItsBackendIsCaught) {
  EXPECT_THAT(faults_with("backends/cuda/kernels/q/a.cu", "#include \"backends/cuda/binding.h\"\n")[0],
              HasSubstr("a kernel may not include what knows the graph"));
}
TEST_F(Planted, DeviceCodeOutsideOfTheKernelsIsCaught) {
  EXPECT_THAT(faults_with("backends/cuda/a.cuh", "")[0], HasSubstr("device code belongs in"));
}
TEST_F(Planted, TorchOutsideItsFolderIsCaught) {
  EXPECT_THAT(faults_with("train/a.cc", "#include <ATen/ATen.h>\n")[0],
              HasSubstr("may only be seen in train/torch/"));
}
TEST_F(Planted, AnUnknownFolderIsCaught) {
  EXPECT_THAT(faults_with("extra/a.cc", "")[0], HasSubstr("not in the dependency table"));
}
TEST_F(Planted, AVagueNameIsCaught) {
  EXPECT_THAT(faults_with("base/utils.h", "")[0], HasSubstr("says nothing"));
}
TEST_F(Planted, ALongFileIsCaught) {
  EXPECT_THAT(faults_with("base/a.cc", std::string(900, '\n'))[0], HasSubstr("901 lines"));
}
TEST_F(Planted, ALongFunctionIsCaught) {
  std::string body;
  for (int i = 0; i < 100; ++i) body += "  work();\n";
  EXPECT_THAT(faults_with("base/a.cc", "void f(int x) {\n" + body + "}\n")[0],
              HasSubstr("a function of 102 lines"));
}
TEST_F(Planted, AMissingLicenceIsCaught) {
  std::ofstream(root_ / "x.txt") << "";
  fs::create_directories(root_ / "base");
  std::ofstream(root_ / "base/a.h") << "#pragma once\n";
  EXPECT_THAT(faults_in(root_)[0], HasSubstr("licence"));
}
TEST_F(Planted, ATidyTreePasses) {
  EXPECT_THAT(faults_with("quant/a.cc", "#include \"ir/graph.h\"\n"), IsEmpty());
}

}  // namespace
