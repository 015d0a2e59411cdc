// SPDX-License-Identifier: Apache-2.0
// ONNX's own backend node tests against the interpreter (every operator that kvant claims, imported, run,
// compared, and the same again after the model was written and read) and against the engine. What is left out
// is named in onnx_node_tests.list; what the list names and nothing needs is a failure. The data: the folder
// in KVANT_ONNX_NODE_TESTS; else made by KVANT_PYTHON with the package `onnx` (onnx_node_tests_export.py);
// else Debian's libonnx-testdata; else the tests are skipped with a notice.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "backends/backends.h"
#include "base/error.h"
#include "engine/engine.h"
#include "formats/model.h"
#include "formats/onnx/tensor_file.h"
#include "ir/interpreter.h"
#include "ir/qdq.h"
#include "ops/ops.h"

namespace kvant {
namespace {

namespace fs = std::filesystem;

using Reasons = std::map<std::string, std::string>;

// Lines of the list file: `operator NAME : reason`, `error TEXT : reason`, `test NAME : reason`,
// `untested OPERATOR : reason`, `package onnx : the version whose tests it fits`, and `old NAME : reason` for
// a test that only other versions have wrong.
struct SkipList {
  std::map<std::string, Reasons> by_kind;

  const Reasons& of(const std::string& kind) const {
    static const Reasons none;
    const auto it = by_kind.find(kind);
    return it != by_kind.end() ? it->second : none;
  }
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
    list.by_kind[line.substr(0, space)][line.substr(space + 1, colon - space - 1)] = line.substr(colon + 3);
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

  // Chains of operators round to 16 bits at every step; two units in the last place are the chain's own.
  double relative_of(DType dtype, bool chain) const {
    if (!chain) return relative;
    if (dtype == DType::Float16) return std::max(relative, 2 * 0x1p-10);
    return dtype == DType::BFloat16 ? std::max(relative, 2 * 0x1p-7) : relative;
  }
};

// "" when they agree as numpy.testing.assert_allclose means it, else where they do not.
std::string difference(const Tensor& have, const Tensor& want, double relative, double absolute) {
  if (have.dtype() != want.dtype())
    return fmt::format("{} instead of {}", name(have.dtype()), name(want.dtype()));
  if (have.shape() != want.shape()) return to_string(have.shape()) + " instead of " + to_string(want.shape());
  const Tensor wide_have = have.cast(DType::Float64);
  const Tensor wide_want = want.cast(DType::Float64);
  for (size_t i = 0; i < static_cast<size_t>(have.size()); ++i) {
    const double a = wide_have.data<double>()[i];
    const double b = wide_want.data<double>()[i];
    const bool equal = a == b || (std::isnan(a) && std::isnan(b));
    if (!equal && !(std::abs(a - b) <= absolute + relative * std::abs(b))) {
      return fmt::format("element {} is {} instead of {}", i, a, b);
    }
  }
  return "";
}

// Older releases of the tests hold bfloat16 as numbers of 16 bits.
void restore_bfloat16(std::vector<Tensor>& tensors, const ir::Graph& graph,
                      std::span<const ir::ValueId> values) {
  for (size_t i = 0; i < std::min(tensors.size(), values.size()); ++i) {
    if (tensors[i].dtype() != DType::UInt16 || graph.value(values[i]).type.dtype != DType::BFloat16) continue;
    Tensor bits(DType::BFloat16, tensors[i].shape());
    std::memcpy(bits.mutable_raw(), tensors[i].raw(), bits.byte_size());
    tensors[i] = bits;
  }
}

// What a test runs a model with.
using Evaluate = std::function<std::vector<Tensor>(const ir::Graph&, const std::vector<Tensor>&)>;

std::vector<Tensor> interpret(const ir::Graph& graph, const std::vector<Tensor>& inputs) {
  return ir::evaluate(graph, ops::standard(), inputs);
}

std::string run_data_set(const ir::Graph& graph, const fs::path& folder, Tolerance tolerance,
                         const Evaluate& evaluate) {
  std::vector<Tensor> inputs = read_tensors(folder, "input");
  std::vector<Tensor> want = read_tensors(folder, "output");
  restore_bfloat16(inputs, graph, graph.inputs());
  restore_bfloat16(want, graph, graph.outputs());
  const std::vector<Tensor> have = evaluate(graph, inputs);
  if (have.size() != want.size()) return fmt::format("{} outputs instead of {}", have.size(), want.size());
  for (size_t i = 0; i < have.size(); ++i) {
    const double relative = tolerance.relative_of(want[i].dtype(), graph.node_count() > 1);
    const std::string where = difference(have[i], want[i], relative, tolerance.absolute);
    if (!where.empty()) return fmt::format("output {}: {}", i, where);
  }
  return "";
}

void collect_operators(const ir::Graph& graph, std::set<std::string>& ops) {
  for (const ir::NodeId id : graph.topological_order()) ops.insert(graph.node(id).op);
}

Tolerance tolerance_of(const fs::path& folder) {
  Tolerance tolerance;
  if (std::ifstream file(folder / "tolerance.txt"); file) file >> tolerance.relative >> tolerance.absolute;
  return tolerance;
}

// "" when the model gives what it shall, read as told and again after writing. Errors pass. `ops` gets the
// operators of a model that passed.
std::string run_test(const fs::path& folder, bool lift, std::set<std::string>& ops) {
  const Tolerance tolerance = tolerance_of(folder);
  const ir::Graph graph = formats::read(folder / "model.onnx", {.lift = lift});
  const fs::path copy = fs::path(KVANT_BINARY_DIR) / fmt::format("onnx_node_test_{}.onnx", getpid());
  formats::write(graph, copy);
  const ir::Graph again = formats::read(copy, {.lift = false});
  for (int set = 0;; ++set) {
    const fs::path data = folder / fmt::format("test_data_set_{}", set);
    if (!fs::exists(data)) {
      if (set == 0) return "no data";
      collect_operators(graph, ops);
      return "";
    }
    std::string wrong = run_data_set(graph, data, tolerance, interpret);
    if (wrong.empty()) wrong = run_data_set(again, data, tolerance, interpret);
    if (!wrong.empty()) return wrong;
  }
}

// The inputs of `graph` from `first` on as constants of these values.
ir::Graph with_constants(ir::Graph graph, const std::vector<Tensor>& inputs, size_t first) {
  const std::vector<ir::ValueId> ids(graph.inputs().begin(), graph.inputs().end());
  for (size_t i = first; i < ids.size(); ++i) {
    const std::string name = graph.value(ids[i]).name;
    graph.rename_value(ids[i], name + "~");
    graph.replace_uses(ids[i], graph.add_constant(name, inputs[i]));
    graph.remove_input(ids[i]);
  }
  return graph;
}

// Built for inputs of these shapes, kept in a file, and run twice: the second run finds memory as the first
// left it.
std::vector<Tensor> run_engine(const ir::Graph& graph, const std::vector<Tensor>& inputs, engine::Mode mode) {
  engine::BuildOptions options{.threads = 2, .mode = mode};
  for (size_t i = 0; i < inputs.size(); ++i)
    options.shapes[graph.value(graph.inputs()[i]).name] = inputs[i].shape();
  const fs::path file = fs::path(KVANT_BINARY_DIR) / fmt::format("onnx_node_test_{}.plan", getpid());
  engine::write_plan(engine::build(graph, ops::standard(), backends::shared(), options), file);
  engine::Engine engine(engine::read_plan(file, ops::standard()), backends::shared());
  fs::remove(file);
  engine.run(inputs);
  return engine.run(inputs);
}

// With the first `runtime` inputs given at each run and the others as constants.
std::string run_plans(const ir::Graph& graph, const fs::path& folder, size_t runtime, engine::Mode mode) {
  const Evaluate evaluate = [&](const ir::Graph& model, const std::vector<Tensor>& inputs) {
    const size_t given = std::min(runtime, inputs.size());
    return run_engine(with_constants(model, inputs, given),
                      {inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(given)}, mode);
  };
  for (int set = 0;; ++set) {
    const fs::path data = folder / fmt::format("test_data_set_{}", set);
    if (!fs::exists(data)) return set == 0 ? "no data" : "";
    const std::string wrong = run_data_set(graph, data, tolerance_of(folder), evaluate);
    if (!wrong.empty())
      return fmt::format("{} ({} of the inputs given at each run, {})", wrong, runtime,
                         mode == engine::Mode::Integer ? "integer" : "simulated");
  }
}

// A plan has fixed shapes, scales and zero points and refuses in these words what makes them of data.
bool depends_on_data(const Error& error) {
  const std::string_view what = error.what();
  const auto says = [&](const char* text) { return what.find(text) != std::string_view::npos; };
  return says("depends on the data") || says("scale is not a constant") ||
         says("zero point is not a constant");
}

// "" when the model's plans give what they shall: one that takes all inputs at each run, and one that has all
// but the first as constants, as networks have weights. Where a shape or a scale depends on one of them only
// plans that know it are built; the last resort is a plan without any inputs.
std::string run_engine_test(const fs::path& folder) {
  const ir::Graph graph = formats::read(folder / "model.onnx", {.lift = true});
  const size_t count = graph.inputs().size();
  std::set<std::string> ops;
  collect_operators(graph, ops);
  const bool quantized = ops.contains("QuantizeLinear") || ops.contains("DequantizeLinear");
  bool built = false;
  for (const size_t runtime : {count, size_t{1}, size_t{0}}) {
    if (runtime > count || (built && (runtime == 0 || runtime == count))) continue;
    try {
      std::string wrong = run_plans(graph, folder, runtime, engine::Mode::Integer);
      if (wrong.empty() && quantized) wrong = run_plans(graph, folder, runtime, engine::Mode::Simulate);
      if (!wrong.empty()) return wrong;
      built = true;
    } catch (const Error& error) {
      if (!depends_on_data(error)) throw;
    }
  }
  return built ? "" : "its shapes depend on the data, constants or not";
}

struct Outcome {
  std::string failure;  // "" is a pass
  std::string kind;     // of the list's entry that allows the failure: kind, key and reason
  std::string key;
  std::string reason;
};

// The operator that `failure` says kvant does not know, or "".
std::string unknown_operator(const std::string& failure) {
  const std::string marker = "': operator ";
  const size_t at = failure.find(marker);
  if (at == std::string::npos) return "";
  std::istringstream words(failure.substr(at + marker.size()));
  std::string op;
  words >> op;
  return op;
}

// Finds the entry of the list that allows the failure.
void excuse(const std::string& test, const SkipList& list, Outcome& outcome) {
  const auto take = [&](const std::string& kind, const auto& entry, const std::string& reason) {
    outcome.kind = kind;
    outcome.key = entry.first;
    outcome.reason = reason;
  };
  if (outcome.failure.empty()) return;
  if (const auto it = list.of("test").find(test); it != list.of("test").end())
    return take("test", *it, it->second);
  const Reasons& operators = list.of("operator");
  if (const auto it = operators.find(unknown_operator(outcome.failure)); it != operators.end())
    return take("operator", *it, fmt::format("operator not claimed: {} ({})", it->first, it->second));
  for (const auto& entry : list.of("error")) {
    if (outcome.failure.find(entry.first) != std::string::npos) return take("error", entry, entry.second);
  }
}

Outcome judge_engine(const fs::path& folder, const SkipList& list, std::set<std::string>& /*ops*/) {
  Outcome outcome;
  try {
    outcome.failure = run_engine_test(folder);
  } catch (const Error& error) {
    outcome.failure = error.what();
  }
  excuse(folder.filename().string(), list, outcome);
  return outcome;
}

Outcome judge_interpreter(const fs::path& folder, const SkipList& list, std::set<std::string>& ops) {
  Outcome outcome;
  const std::string test = folder.filename().string();
  try {
    outcome.failure = run_test(folder, true, ops);
    const bool integer =
        test.find("integer") != std::string::npos || test.find("qlinear") != std::string::npos;
    if (outcome.failure.empty() && integer) outcome.failure = run_test(folder, false, ops);
  } catch (const Error& error) {
    outcome.failure = error.what();
  }
  excuse(test, list, outcome);
  return outcome;
}

// What came of all tests together.
struct Tally {
  size_t passed = 0;
  size_t failed = 0;
  std::map<std::string, size_t> skipped;               // by reason
  std::set<std::pair<std::string, std::string>> used;  // entries of the list, kind and key
  std::set<std::string> ops;                           // of tests that passed

  void print() const {
    size_t left_out = 0;
    for (const auto& [reason, count] : skipped) {
      std::cout << fmt::format("{:5} skipped: {}\n", count, reason);
      left_out += count;
    }
    std::cout << fmt::format("node tests: {} run, {} passed, {} failed, {} skipped\n", passed + failed,
                             passed, failed, left_out);
  }
};

using Judge = Outcome (*)(const fs::path&, const SkipList&, std::set<std::string>&);

Tally run_all(const std::vector<fs::path>& folders, const SkipList& list, Judge judge) {
  Tally tally;
  for (const fs::path& folder : folders) {
    const Outcome outcome = judge(folder, list, tally.ops);
    if (!outcome.kind.empty()) tally.used.emplace(outcome.kind, outcome.key);
    if (!outcome.reason.empty()) {
      ++tally.skipped[outcome.reason];
    } else if (outcome.failure.empty()) {
      ++tally.passed;
    } else {
      ++tally.failed;
      ADD_FAILURE() << folder.filename().string() << ": " << outcome.failure;
    }
  }
  return tally;
}

// Every claimed operator is in a test that passed, and every entry of the list was needed. Only for the
// version of the tests that the list is for: others have other tests.
void expect_complete(const Tally& tally, const SkipList& list) {
  for (const ir::OpDef& op : ops::standard().all()) {
    if (op.is(ir::Trait::Internal) || tally.ops.contains(std::string(op.name))) continue;
    EXPECT_TRUE(list.of("untested").contains(std::string(op.name)))
        << op.name << " is in no test that passed";
  }
  for (const auto& [op, reason] : list.of("untested")) {
    EXPECT_FALSE(tally.ops.contains(op)) << op << " is tested; take it off the list";
    EXPECT_NE(ops::standard().find(op), nullptr) << op << " is not claimed; take it off the list";
  }
  for (const char* kind : {"operator", "error", "test"}) {
    for (const auto& [key, reason] : list.of(kind)) {
      EXPECT_TRUE(tally.used.contains({kind, key})) << "no test needs the entry: " << kind << " " << key;
    }
  }
}

class OnnxNodeTests : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path data = find_data();
    if (data.empty()) {
      GTEST_SKIP() << "no node tests: set KVANT_PYTHON to a Python with the package onnx, or "
                      "KVANT_ONNX_NODE_TESTS to a folder of them, or install libonnx-testdata";
    }
    std::string version;
    std::ifstream(data / "version.txt") >> version;
    pinned_ = version == list_.of("package").at("onnx");
    if (!pinned_) list_.by_kind["test"].merge(list_.by_kind["old"]);
    for (const auto& entry : fs::directory_iterator(data)) {
      if (fs::exists(entry.path() / "model.onnx")) folders_.push_back(entry.path());
    }
    std::sort(folders_.begin(), folders_.end());
    ASSERT_GT(folders_.size(), 500u) << "too few tests in " << data;
  }

  SkipList list_ = read_list();
  bool pinned_ = false;  // the tests are of the version that the list is for
  std::vector<fs::path> folders_;
};

TEST_F(OnnxNodeTests, EveryClaimedOperatorPasses) {
  const Tally tally = run_all(folders_, list_, judge_interpreter);
  tally.print();
  EXPECT_GT(tally.passed, folders_.size() / 2);
  if (pinned_) expect_complete(tally, list_);
}

TEST_F(OnnxNodeTests, TheEngineGivesTheSame) {
  const Tally tally = run_all(folders_, list_, judge_engine);
  tally.print();
  EXPECT_GT(tally.passed, folders_.size() / 2);
}

TEST(OnnxNodeTestList, NamesNoClaimedOperator) {
  const auto list = read_list();
  for (const auto& [op, reason] : list.of("operator")) {
    EXPECT_EQ(ops::standard().find(op), nullptr) << op << " is claimed; take it off the list";
  }
}

}  // namespace
}  // namespace kvant
