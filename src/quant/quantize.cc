// SPDX-License-Identifier: Apache-2.0
#include "quant/quantize.h"

#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "ir/infer.h"
#include "ir/verify.h"
#include "quant/adjust/fold_batch_norm.h"
#include "quant/placement/placement.h"

namespace kvant::quant {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

// Identity, or a Dropout that does nothing: inference mode and its mask unused.
bool passes_through(const Graph& graph, const Node& node) {
  if (node.op == "Identity") return true;
  if (node.op != "Dropout") return false;
  if (node.outputs.size() > 1 && node.outputs[1] != kNone && graph.use_count(node.outputs[1]) > 0)
    return false;
  if (node.inputs.size() < 3 || node.inputs[2] == kNone) return true;
  const Tensor* training = graph.constant(node.inputs[2]);
  return training != nullptr && training->size() == 1 && training->to_ints()[0] == 0;
}

void remove_pass_through(Graph& graph) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!passes_through(graph, node)) continue;
    const ValueId in = node.inputs[0], out = node.outputs[0];
    if (!graph.is_output(out)) {
      graph.replace_uses(out, in);
      continue;
    }
    // The graph's output keeps its name, which an input, a constant or another output cannot take.
    if (graph.value(in).producer == kNone || graph.is_output(in)) continue;
    const std::string name = graph.value(out).name;
    const std::vector<std::string> dim_names = graph.value(out).dim_names;
    graph.replace_uses(out, in);
    graph.rename_value(out, name + "_removed");
    graph.rename_value(in, name);
    graph.set_dim_names(in, dim_names);
  }
  graph.erase_dead();
}

// Runners of copies of the graph with static shapes, one for each set of input shapes.
class BoundRunners {
 public:
  BoundRunners(const Graph& graph, const ir::OpTable& ops, const RunnerFactory& make)
      : graph_(graph), ops_(ops), make_(make) {}

  ir::Runner& for_inputs(std::span<const Tensor> inputs) {
    std::vector<Shape> shapes;
    for (const Tensor& input : inputs) shapes.push_back(input.shape());
    const auto [entry, fresh] = bound_.try_emplace(shapes);
    if (!fresh) return *entry->second.runner;
    entry->second.graph = std::make_unique<Graph>(graph_);
    std::map<std::string, Shape> by_name;
    for (size_t i = 0; i < shapes.size(); ++i) by_name[graph_.value(graph_.inputs()[i]).name] = shapes[i];
    ir::bind_shapes(*entry->second.graph, ops_, by_name);
    entry->second.runner = make_(*entry->second.graph);
    return *entry->second.runner;
  }

 private:
  struct Bound {
    std::unique_ptr<Graph> graph;
    std::unique_ptr<ir::Runner> runner;
  };
  const Graph& graph_;
  const ir::OpTable& ops_;
  const RunnerFactory& make_;
  std::map<std::vector<Shape>, Bound> bound_;
};

CalibrationTable ranges_for(const Graph& graph, const Sites& sites, const ir::OpTable& ops,
                            const BatchSource& batches, const RunnerFactory& make_runner,
                            const QuantizeOptions& options, Progress& progress) {
  std::vector<std::string> missing;
  for (const std::string& name : tensors_to_calibrate(sites)) {
    if (!options.ranges.ranges.contains(name)) missing.push_back(name);
  }
  if (missing.empty()) return options.ranges;
  if (!batches) {
    fail("tensor '{}' has no range in the given ranges: give calibration data too", missing.front());
  }
  BoundRunners runners(graph, ops, make_runner);
  CalibrationTable table = calibrate(
      graph, missing,
      [&](std::span<const Tensor> inputs) -> ir::Runner& { return runners.for_inputs(inputs); }, batches,
      options.calibration, progress);
  if (!options.ranges.ranges.empty() && options.ranges.calibrator != table.calibrator)
    table.calibrator.clear();
  table.ranges.insert(options.ranges.ranges.begin(), options.ranges.ranges.end());
  return table;
}

}  // namespace

void prepare(Graph& graph, const ir::OpTable& ops, Adjust adjust) {
  ir::infer_types(graph, ops);
  ir::fold_constants(graph, ops);
  remove_pass_through(graph);
  if (adjust == Adjust::FoldBatchNorm) fold_batch_norm(graph);
  ir::infer_types(graph, ops);
}

QuantizeResult quantize(Graph model, const ir::OpTable& ops, const BatchSource& batches,
                        const RunnerFactory& make_runner, const QuantizeOptions& options,
                        Progress& progress) {
  prepare(model, ops, options.adjust);
  const Sites sites = place(model);
  if (sites.all().empty()) {
    fail(
        "nothing to quantize: the model has no Conv, ConvTranspose, Gemm or MatMul with a constant f32 "
        "weight");
  }
  check_weights(sites);
  QuantizeResult result;
  result.table = ranges_for(model, sites, ops, batches, make_runner, options, progress);
  result.graph = model;
  result.report = insert_pairs(result.graph, sites, result.table, options.bits);
  ir::infer_types(result.graph, ops);
  ir::verify_qdq(result.graph);
  return result;
}

}  // namespace kvant::quant
