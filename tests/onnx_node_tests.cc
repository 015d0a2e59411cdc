// SPDX-License-Identifier: Apache-2.0
// ONNX's own backend node tests against the interpreter: every operator that kvant claims, imported, run,
// compared, and the same again after the model was written and read. What is left out is named in
// onnx_node_tests.list. The data: the folder in KVANT_ONNX_NODE_TESTS; else made by KVANT_PYTHON with the
// package `onnx` (onnx_node_tests_export.py); else Debian's libonnx-testdata; else the test is skipped with a
// notice.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "formats/model.h"
#include "formats/onnx/tensor_file.h"
#include "ir/interpreter.h"
#include "ops/ops.h"

namespace kvant {
namespace {

namespace fs = std::filesystem;

// Lines of the list file: `operator NAME : reason`, `error TEXT : reason`, `test NAME : reason`.
struct SkipList {
  std::map<std::string, std::string> operators, errors, tests;
};

SkipList read_list() {
  SkipList list;
  std::ifstream file(std::string(KVANT_SOURCE_DIR) + "/tests/onnx_node_tests.list");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.find(' ');
    const size_t colon = line.rfind(" : ");
    if (space == std::string::npos || colon == std::string::npos)
      throw Error("bad line in the list: " + line);
    const std::string kind = line.substr(0, space);
    auto& into = kind == "operator" ? list.operators : kind == "error" ? list.errors : list.tests;
    into[line.substr(space + 1, colon - space - 1)] = line.substr(colon + 3);
  }
  return list;
}

// Where the tests are, or "" when nothing has them.
fs::path find_data() {
  if (const char* folder = std::getenv("KVANT_ONNX_NODE_TESTS")) return folder;
  const fs::path made = fs::path(KVANT_BINARY_DIR) / "onnx-node-tests";
  if (fs::exists(made / "version.txt")) return made;
  const char* python = std::getenv("KVANT_PYTHON");
  const std::string command =
      fmt::format("'{}' '{}/tests/onnx_node_tests_export.py' '{}' >/dev/null 2>&1",
                  python != nullptr ? python : "python3", KVANT_SOURCE_DIR, made.string());
  if (std::system(command.c_str()) == 0) return made;
  for (const char* debian :
       {"/usr/share/libonnx-testdata/data/node", "/usr/share/onnx/backend/test/data/node"}) {
    if (fs::exists(debian)) return debian;
  }
  return {};
}

std::vector<Tensor> read_tensors(const fs::path& folder, const std::string& kind) {
  std::vector<Tensor> tensors;
  for (int i = 0;; ++i) {
    const fs::path file = folder / fmt::format("{}_{}.pb", kind, i);
    if (!fs::exists(file)) return tensors;
    tensors.push_back(formats::read_tensor(file));
  }
}

struct Tolerance {
  double relative = 1e-3;
  double absolute = 1e-7;
};

// "" when they agree as numpy.testing.assert_allclose means it, else where they do not.
std::string difference(const Tensor& have, const Tensor& want, Tolerance tolerance) {
  if (have.dtype() != want.dtype())
    return fmt::format("{} instead of {}", name(have.dtype()), name(want.dtype()));
  if (have.shape() != want.shape()) return to_string(have.shape()) + " instead of " + to_string(want.shape());
  const Tensor wide_have = have.cast(DType::Float64);
  const Tensor wide_want = want.cast(DType::Float64);
  for (size_t i = 0; i < static_cast<size_t>(have.size()); ++i) {
    const double a = wide_have.data<double>()[i];
    const double b = wide_want.data<double>()[i];
    const bool equal = a == b || (std::isnan(a) && std::isnan(b));
    if (!equal && !(std::abs(a - b) <= tolerance.absolute + tolerance.relative * std::abs(b))) {
      return fmt::format("element {} is {} instead of {}", i, a, b);
    }
  }
  return "";
}

std::string run_data_set(const ir::Graph& graph, const fs::path& folder, Tolerance tolerance) {
  const std::vector<Tensor> inputs = read_tensors(folder, "input");
  const std::vector<Tensor> want = read_tensors(folder, "output");
  const std::vector<Tensor> have = ir::evaluate(graph, ops::standard(), inputs);
  if (have.size() != want.size()) return fmt::format("{} outputs instead of {}", have.size(), want.size());
  for (size_t i = 0; i < have.size(); ++i) {
    const std::string where = difference(have[i], want[i], tolerance);
    if (!where.empty()) return fmt::format("output {}: {}", i, where);
  }
  return "";
}

// "" when the model gives what it shall, read as told and again after writing. Errors pass.
std::string run_test(const fs::path& folder, bool lift) {
  Tolerance tolerance;
  if (std::ifstream file(folder / "tolerance.txt"); file) file >> tolerance.relative >> tolerance.absolute;
  const ir::Graph graph = formats::read(folder / "model.onnx", {.lift = lift});
  const fs::path copy = fs::path(testing::TempDir()) / "onnx_node_test.onnx";
  formats::write(graph, copy);
  const ir::Graph again = formats::read(copy, {.lift = false});
  for (int set = 0;; ++set) {
    const fs::path data = folder / fmt::format("test_data_set_{}", set);
    if (!fs::exists(data)) return set == 0 ? "no data" : "";
    std::string wrong = run_data_set(graph, data, tolerance);
    if (wrong.empty()) wrong = run_data_set(again, data, tolerance);
    if (!wrong.empty()) return wrong;
  }
}

struct Outcome {
  std::string failure;  // "" is a pass
  std::string reason;   // of the skip, if the failure is one that the list allows
};

Outcome judge(const fs::path& folder, const SkipList& list) {
  Outcome outcome;
  const std::string test = folder.filename().string();
  try {
    outcome.failure = run_test(folder, true);
    const bool integer =
        test.find("integer") != std::string::npos || test.find("qlinear") != std::string::npos;
    if (outcome.failure.empty() && integer) outcome.failure = run_test(folder, false);
  } catch (const Error& error) {
    outcome.failure = error.what();
  }
  if (const auto listed = list.tests.find(test); listed != list.tests.end()) {
    if (outcome.failure.empty())
      outcome.failure = "passes although listed: " + listed->second;
    else
      outcome.reason = listed->second;
    return outcome;
  }
  const std::string marker = "': operator ";
  if (const size_t at = outcome.failure.find(marker); at != std::string::npos) {
    std::istringstream words(outcome.failure.substr(at + marker.size()));
    std::string op;
    words >> op;
    if (const auto listed = list.operators.find(op); listed != list.operators.end()) {
      outcome.reason = "operator not claimed: " + op + " (" + listed->second + ")";
    }
  }
  for (const auto& [text, reason] : list.errors) {
    if (outcome.failure.find(text) != std::string::npos) outcome.reason = reason;
  }
  return outcome;
}

TEST(OnnxNodeTests, EveryClaimedOperatorPasses) {
  const fs::path data = find_data();
  if (data.empty()) {
    GTEST_SKIP()
        << "no node tests: set KVANT_PYTHON to a Python with the package onnx, or KVANT_ONNX_NODE_TESTS to a "
           "folder of them, or install libonnx-testdata";
  }
  const SkipList list = read_list();
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(data)) {
    if (fs::exists(entry.path() / "model.onnx")) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  ASSERT_GT(folders.size(), 500u) << "too few tests in " << data;
  size_t passed = 0;
  std::map<std::string, size_t> skipped;
  for (const fs::path& folder : folders) {
    const Outcome outcome = judge(folder, list);
    if (!outcome.reason.empty()) {
      ++skipped[outcome.reason];
    } else if (outcome.failure.empty()) {
      ++passed;
    } else {
      ADD_FAILURE() << folder.filename().string() << ": " << outcome.failure;
    }
  }
  size_t left_out = 0;
  for (const auto& [reason, count] : skipped) {
    std::cout << fmt::format("{:5} skipped: {}\n", count, reason);
    left_out += count;
  }
  std::cout << fmt::format("node tests: {} run, {} passed, {} skipped\n", folders.size() - left_out, passed,
                           left_out);
  EXPECT_GT(passed, folders.size() / 2);
}

TEST(OnnxNodeTests, TheListNamesNoClaimedOperator) {
  for (const auto& [op, reason] : read_list().operators) {
    EXPECT_EQ(ops::standard().find(op), nullptr) << op << " is claimed; take it off the list";
  }
}

}  // namespace
}  // namespace kvant
