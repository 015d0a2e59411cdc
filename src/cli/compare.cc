// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>

#include "base/interrupt.h"
#include "cli/classify.h"
#include "cli/data_flags.h"
#include "ir/qdq.h"
#include "ops/ops.h"
#include "report/table.h"
#include "tensor/quantize.h"

namespace kvant::cli {
namespace {

// What two tensors of one name differ by, over all batches. Codes are compared as codes, and as reals through
// `scale`.
struct Difference {
  bool codes = false;
  double scale = 1;
  int64_t count = 0, differing = 0, max_lsb = 0;
  double max_abs = 0, sum_abs = 0, signal = 0, noise = 0, other = 0, product = 0;

  void add(const Tensor& a, const Tensor& b) {
    if (a.shape() != b.shape()) fail("shape {} against {}", to_string(a.shape()), to_string(b.shape()));
    codes = !is_float(a.dtype());
    const Tensor x = a.cast(DType::Float64), y = b.cast(DType::Float64);
    for (size_t i = 0; i < static_cast<size_t>(x.size()); ++i) add(x.data<double>()[i], y.data<double>()[i]);
  }
  double sqnr_db() const { return noise == 0 ? 200.0 : std::min(200.0, 10 * std::log10(signal / noise)); }
  double cosine() const {
    return signal == 0 || other == 0 ? (signal == other ? 1.0 : 0.0) : product / std::sqrt(signal * other);
  }
  double share() const {
    return count == 0 ? 0 : static_cast<double>(differing) / static_cast<double>(count);
  }

 private:
  void add(double p, double q) {
    ++count;
    const double d = std::abs(p - q);
    if (p != q) ++differing;
    if (codes) max_lsb = std::max(max_lsb, static_cast<int64_t>(d));
    max_abs = std::max(max_abs, d * scale);
    sum_abs += d * scale;
    signal += p * p;
    other += q * q;
    product += p * q;
    noise += d * d;
  }
};

// One side of the comparison.
struct Side {
  ModelFile file;
  backends::DeviceBackends device;
  LoadedModel loaded;
  const ir::Graph& graph() const { return file.network(); }
};

// A plan runs on what it was built for; --device says which card, and where the engine runs a model.
backends::DeviceBackends device_for_side(const Flags& flags, const ModelFile& file) {
  if (file.is_plan() && !file.plan->needs.contains("cuda")) return backends::DeviceBackends();
  if (!file.is_plan() && flags.text("runner") == "interpreter") return backends::DeviceBackends();
  return device_of(flags, file);
}

Side open_side(const Flags& flags, const std::string& name) {
  ModelFile file = read_model(flags.path(name));
  backends::DeviceBackends device = device_for_side(flags, file);
  return {.file = std::move(file), .device = std::move(device), .loaded = {}};
}

// Codes of activations: what QuantizeLinear nodes make.
std::vector<std::string> code_tensors(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (ir::is_quantize(node) && !graph.is_constant(node.inputs[0]))
      names.push_back(graph.value(node.outputs[0]).name);
  }
  return names;
}

int64_t fixed_batch(const ModelFile& file) {
  return own_batch(file.network()).value_or(file.is_plan() ? 1 : 0);
}

int64_t common_batch(const Side& a, const Side& b, const Flags& flags) {
  const int64_t x = fixed_batch(a.file), y = fixed_batch(b.file);
  if (x != 0 && y != 0 && x != y)
    fail("the models have batch sizes {} and {}; build plans with the same", x, y);
  return x != 0 ? x : (y != 0 ? y : flags.integer("batch", 1, 65536));
}

void load(Side& side, const std::vector<std::string>& watched, int64_t batch, const Flags& flags) {
  if (side.file.is_plan() || flags.text("runner") == "interpreter") {
    side.loaded = load_runner(side.file, {.runner = side.file.is_plan() ? "engine" : "interpreter",
                                          .batch = batch,
                                          .threads = threads_of(flags),
                                          .backends = side.device.list()});
    return;
  }
  // Fusion must leave the tensors that are compared.
  engine::BuildOptions build{.batch = batch, .threads = threads_of(flags), .mode = engine::Mode::Simulate};
  build.watch = watched;
  side.loaded = {
      std::make_unique<engine::Engine>(
          engine::build(*side.file.graph, ops::standard(), side.device.list(), build), side.device.list()),
      batch};
}

std::vector<std::string> names_of(const Side& side) {
  if (!side.file.is_plan()) return code_tensors(*side.file.graph);
  return engine::Engine(*side.file.plan, side.device.list()).watchable();
}

std::vector<std::string> common_tensors(const Side& a, const Side& b) {
  std::vector<std::string> x = names_of(a), y = names_of(b);
  const std::set<std::string> other(y.begin(), y.end());
  std::erase_if(x, [&](const std::string& name) { return !other.contains(name); });
  return x;
}

double scale_of(const Side& a, const Side& b, const std::string& name) {
  for (const Side* side : {&a, &b}) {
    if (side->file.is_plan()) continue;
    const ir::ValueId value = side->graph().find_value(name);
    if (value == ir::kNone) continue;
    if (const auto params = ir::params_of(side->graph(), side->graph().value(value).producer))
      return params->scale[0];
  }
  return 1;
}

Json to_json(const std::string& name, const Difference& d) {
  return {{"name", name},
          {"max_abs", d.max_abs},
          {"mean_abs", d.count == 0 ? 0 : d.sum_abs / static_cast<double>(d.count)},
          {"sqnr_db", d.sqnr_db()},
          {"cosine", d.cosine()},
          {"max_lsb", d.codes ? Json(d.max_lsb) : Json()},
          {"differing", d.share()}};
}

struct Outcome {
  std::map<std::string, Difference> own;         // each computed from B's codes: what this layer alone does
  std::map<std::string, Difference> end_to_end;  // each model left to itself: differences add up on the way
  std::vector<Difference> outputs;
  int64_t rows = 0, agreeing = 0;
};

void compare_outputs(const std::vector<Tensor>& x, const std::vector<Tensor>& y, int64_t rows,
                     Outcome& outcome) {
  if (x.size() != y.size()) fail("the models have {} and {} outputs", x.size(), y.size());
  outcome.outputs.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) outcome.outputs[i].add(x[i], y[i]);
  if (x.empty() || x[0].rank() < 2 || !is_float(x[0].dtype())) return;
  const auto classes = static_cast<size_t>(x[0].size() / x[0].dim(0));
  const std::vector<float> p = x[0].to_floats(), q = y[0].to_floats();
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    ++outcome.rows;
    if (argmax(std::span(p).subspan(r * classes, classes)) ==
        argmax(std::span(q).subspan(r * classes, classes)))
      ++outcome.agreeing;
  }
}

// A cut at its quantized tensors: each QuantizeLinear still makes its codes (as further outputs), but what
// follows reads codes from further inputs. Given B's codes there, every layer of A starts from the same
// numbers as B's.
ir::Graph cut_at(ir::Graph graph, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const ir::ValueId made = graph.find_value(name);
    const ir::ValueId given = graph.add_input(name + "_given", graph.value(made).type);
    graph.replace_uses(made, given, false);
    graph.add_output(made);
  }
  return graph;
}

using Codes = std::map<std::string, Tensor>;

void add(std::map<std::string, Difference>& differences, const Codes& a, const Codes& b) {
  for (auto& [name, difference] : differences) {
    noting([&, &name = name] { return "while comparing " + name; },
           [&, &name = name, &d = difference] { d.add(a.at(name), b.at(name)); });
  }
}

// A's codes, each computed from B's codes before it.
Codes recompute(ir::Interpreter& cut, size_t model_outputs, const Tensor& input,
                const std::vector<std::string>& names, const Codes& b) {
  std::vector<Tensor> inputs = {input};
  for (const std::string& name : names) inputs.push_back(b.at(name));
  const std::vector<Tensor> outputs = cut.run(inputs);
  Codes codes;
  for (size_t i = 0; i < names.size(); ++i) codes[names[i]] = outputs[model_outputs + i];
  return codes;
}

Outcome run_both(Side& a, Side& b, const std::vector<std::string>& names, data::Loader& loader, int64_t batch,
                 int64_t samples, Progress& progress) {
  Outcome outcome;
  for (const std::string& name : names)
    outcome.own[name].scale = outcome.end_to_end[name].scale = scale_of(a, b, name);
  a.loaded.runner->watch(names);
  b.loaded.runner->watch(names);
  std::optional<ir::Graph> cut_graph;
  std::optional<ir::Interpreter> cut;
  if (!a.file.is_plan() && !names.empty()) {
    cut_graph = cut_at(a.graph(), names);
    cut.emplace(*cut_graph, ops::standard());
  }
  progress.begin("comparing", samples, "images");
  int64_t done = 0;
  while (std::optional<data::Batch> next = loader.next()) {
    check_interrupt();
    Shape shape = next->samples.shape();
    shape[0] = batch;
    Tensor input(DType::Float32, shape);
    std::ranges::copy(next->samples.data<float>(), input.mutable_data<float>().begin());
    Codes of_a, of_b;
    const std::vector<Tensor> x = a.loaded.runner->run(
        std::span(&input, 1), [&](const std::string& name, const Tensor& t) { of_a[name] = t; });
    const std::vector<Tensor> y = b.loaded.runner->run(
        std::span(&input, 1), [&](const std::string& name, const Tensor& t) { of_b[name] = t; });
    add(outcome.end_to_end, of_a, of_b);
    add(outcome.own, cut ? recompute(*cut, a.graph().outputs().size(), input, names, of_b) : of_a, of_b);
    compare_outputs(x, y, next->size(), outcome);
    done += next->size();
    progress.update(done, "");
  }
  progress.end();
  return outcome;
}

std::string mean_abs(const Difference& d) {
  return fmt::format("{:.3g}", d.count ? d.sum_abs / static_cast<double>(d.count) : 0.0);
}

double worst_share(const std::map<std::string, Difference>& differences) {
  double worst = 0;
  for (const auto& [name, d] : differences) worst = std::max(worst, d.share());
  return worst;
}

void describe(const Side& a, const std::vector<std::string>& names, const Outcome& outcome, Result& result) {
  using report::Align;
  report::Table table(
      {"tensor", "differing", "max LSB", "mean abs", "SQNR dB", "end to end", "SQNR dB"},
      {Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right});
  result.json["outputs"] = Json::array();
  result.json["tensors"] = Json::array();
  for (const std::string& name : names) {
    const Difference& own = outcome.own.at(name);
    const Difference& total = outcome.end_to_end.at(name);
    Json entry = to_json(name, own);
    entry["differing_end_to_end"] = total.share();
    result.json["tensors"].push_back(std::move(entry));
    table.add({name, fmt::format("{:.2e}", own.share()), own.codes ? std::to_string(own.max_lsb) : "-",
               mean_abs(own), fmt::format("{:.1f}", own.sqnr_db()), fmt::format("{:.2e}", total.share()),
               fmt::format("{:.1f}", total.sqnr_db())});
  }
  for (size_t i = 0; i < outcome.outputs.size(); ++i) {
    const std::string& name = a.graph().value(a.graph().outputs()[i]).name;
    const Difference& d = outcome.outputs[i];
    result.json["outputs"].push_back(to_json(name, d));
    table.add({name + " (output)", "", "", "", "", fmt::format("{:.2e}", d.share()),
               fmt::format("{:.1f}", d.sqnr_db())});
  }
  const double own = worst_share(outcome.own), total = worst_share(outcome.end_to_end);
  result.json["max_differing"] = own;
  result.json["max_differing_end_to_end"] = total;
  const double agreement =
      outcome.rows == 0 ? 0 : static_cast<double>(outcome.agreeing) / static_cast<double>(outcome.rows);
  result.json["top1_agreement"] = outcome.rows == 0 ? Json() : Json(agreement);
  result.text = table.text() + fmt::format(
                                   "\nlargest share of differing codes: {:.2e} when a layer starts from the "
                                   "same codes, {:.2e} end to end ({} tensors)\n",
                                   own, total, names.size());
  if (outcome.rows > 0)
    result.text += fmt::format("same top-1: {:.3f} % of {} images\n", 100 * agreement, outcome.rows);
}

Result run(const Flags& flags, Progress& progress) {
  Side a = open_side(flags, "A"), b = open_side(flags, "B");
  Result result;
  const data::Dataset dataset = dataset_of(flags, result.notes);
  const ModelFile& describing =
      a.file.metadata().contains(std::string(data::kPreprocessKey)) ? a.file : b.file;
  const data::Preprocess preprocess = preprocess_of(flags, describing.metadata(), result.notes);
  const int64_t batch = common_batch(a, b, flags);
  std::vector<std::string> names;
  if (!flags.given("outputs-only")) names = common_tensors(a, b);
  load(a, names, batch, flags);
  load(b, names, batch, flags);
  const auto loader =
      loader_of(dataset, preprocess, sample_shape_of(a.graph(), a.file.input_count()), batch, 1);
  const Outcome outcome = run_both(a, b, names, *loader, batch, dataset.size(), progress);
  describe(a, names, outcome, result);
  return result;
}

}  // namespace

Command compare() {
  std::vector<Flag> flags = {{.name = "A", .value = "", .help = "ONNX file or plan", .required = true},
                             {.name = "B", .value = "", .help = "ONNX file or plan", .required = true}};
  for (Flag& flag : data_flags("256")) flags.push_back(std::move(flag));
  flags.push_back(
      {.name = "batch", .value = "N", .help = "images at a time when neither is a plan", .fallback = "16"});
  Flag runner = runner_flag();
  runner.fallback = "interpreter";
  runner.choices = {"engine", "interpreter"};
  flags.push_back(std::move(runner));
  flags.push_back(
      {.name = "outputs-only", .value = "", .help = "leave out the tensors between: much faster"});
  return {.name = "compare",
          .summary =
              "the same inputs through two models or plans, tensor by tensor: each tensor computed from the "
              "same codes before it "
              "(differing), and each model left to itself (end to end)",
          .example = "model.qdq.onnx model.plan --data imagefolder:photos",
          .flags = std::move(flags),
          .run = run,
          .any_device = true};
}

}  // namespace kvant::cli
