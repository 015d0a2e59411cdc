// SPDX-License-Identifier: Apache-2.0
#include "quant/quantize.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "ir/infer.h"
#include "ir/verify.h"
#include "quant/adjust/adjust_and_pair.h"
#include "quant/adjust/fold_batch_norm.h"
#include "quant/adjust/hidden_bounds.h"
#include "quant/placement/apply_spec.h"
#include "quant/placement/placement.h"

namespace kvant::quant {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

// Of calibration batches, for steps that go over them again.
constexpr size_t kKeptBytes = size_t{512} << 20;

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

// Further tensors whose ranges the target needs, read off a copy that has its pairs.
std::vector<std::string> wishes_of_target(const Sites& sites, const QuantizeOptions& options) {
  CalibrationTable any;
  for (const std::string& name : tensors_to_calibrate(sites)) any.ranges[name] = {-1, 1};
  Graph trial = sites.graph();
  insert_pairs(trial, sites, any, options.bits, options.weights, options.calibration.options.codes);
  return outputs_to_calibrate(trial, target_named(options.target));
}

CalibrationTable ranges_for(const Graph& graph, const Sites& sites, const ir::OpTable& ops,
                            const CalibrationSet& data, const RunnerFactory& make_runner,
                            const QuantizeOptions& options, Progress& progress) {
  std::vector<std::string> missing;
  const auto need = [&](const std::string& name) {
    if (!options.ranges.ranges.contains(name)) missing.push_back(name);
  };
  for (const std::string& name : tensors_to_calibrate(sites)) need(name);
  if (data) {  // a target's wishes do without a range
    for (const std::string& name : wishes_of_target(sites, options)) need(name);
  }
  if (missing.empty()) return options.ranges;
  if (!data) {
    fail("tensor '{}' has no range in the given ranges: give calibration data too", missing.front());
  }
  CalibrateOptions calibration = options.calibration;
  calibration.options.bits = options.bits;
  calibration.bits_of.merge(bits_of(sites, options.bits));
  calibration.calibrator_of.merge(calibrators_of(sites));
  ModelRuns runners(graph, ops, make_runner);
  CalibrationTable table = calibrate(
      graph, missing,
      [&](std::span<const Tensor> inputs) -> ir::Runner& { return runners.runner_for(inputs); }, data.open(),
      calibration, progress);
  if (!options.ranges.ranges.empty() && options.ranges.calibrator != table.calibrator)
    table.calibrator.clear();
  table.ranges.insert(options.ranges.ranges.begin(), options.ranges.ranges.end());
  table.calibrator_of.insert(options.ranges.calibrator_of.begin(), options.ranges.calibrator_of.end());
  return table;
}

[[noreturn]] void refuse_nothing(const PlaceOptions& placement) {
  if (placement.mode == PlaceMode::Partial || !placement.spec.layers.empty())
    fail("nothing to quantize: the spec and the cases leave every layer of the model in float");
  fail(
      "nothing to quantize: the model has no Conv, ConvTranspose, Gemm or MatMul with a constant f32 weight");
}

// Placement, ranges and pairs for a float graph that is ready for them.
QuantizeResult pair_up(const Graph& floats, const ir::OpTable& ops, const CalibrationSet& data,
                       const RunnerFactory& make_runner, const QuantizeOptions& options, Progress& progress) {
  PlaceOptions placement = options.placement;
  placement.spec = without_removed(floats, placement.spec);
  const Sites sites = place(floats, placement);
  if (sites.all().empty()) refuse_nothing(options.placement);
  check_weights(sites);
  QuantizeResult result;
  result.table = ranges_for(floats, sites, ops, data, make_runner, options, progress);
  result.graph = floats;
  result.report = insert_pairs(result.graph, sites, result.table, options.bits, options.weights,
                               options.calibration.options.codes);
  for (const std::string& name : drop_hidden_bounds(result.graph)) {
    std::erase_if(result.report.layers, [&](const LayerReport& layer) { return layer.name == name; });
  }
  ir::infer_types(result.graph, ops);
  ir::verify_qdq(result.graph);
  return result;
}

// Whether the steps go over the data more often than calibration does.
bool reads_again(const std::vector<std::string>& steps) {
  if (steps.size() == 1 && steps[0] == kAutoAdjust) return true;
  return std::any_of(adjusts().begin(), adjusts().end(), [&](const AdjustEntry& entry) {
    return entry.needs_data && std::find(steps.begin(), steps.end(), entry.name) != steps.end();
  });
}

}  // namespace

void prepare(Graph& graph, const ir::OpTable& ops, bool fold_norms) {
  ir::infer_types(graph, ops);
  ir::fold_constants(graph, ops);
  remove_pass_through(graph);
  if (fold_norms) fold_batch_norm(graph);
  ir::infer_types(graph, ops);
}

QuantizeResult quantize(Graph model, const ir::OpTable& ops, CalibrationSet data,
                        const RunnerFactory& make_runner, const QuantizeOptions& options,
                        Progress& progress) {
  check_options(options.placement);
  if (options.calibration.options.codes == Codes::Affine && options.bits < 8)
    fail("{} bits: affine codes are of 8 bits", options.bits);
  ir::infer_types(model, ops);
  check_matches(model, options.placement.spec);
  AdjustOptions adjusting = options.adjusting;
  adjusting.keep_norms.merge(names_to_keep(model, options.placement.spec));
  prepare(model, ops, false);
  if (reads_again(options.adjust)) data.keep(kKeptBytes);
  QuantizeOptions now = options;
  const PairUp pairs = [&](const Graph& floats) {
    QuantizeResult result = pair_up(floats, ops, data, make_runner, now, progress);
    now.calibration.checkpoint.clear();
    return result;
  };
  QuantizeResult result =
      adjust_and_pair(std::move(model), options.adjust, pairs, {ops, data, make_runner, adjusting, progress});
  TargetOptions target = options.target_options;
  target.ranges = result.table;
  target.drop_output_pairs = false;  // what a spec or the model itself put there was asked for
  result.target = convert(result.graph, ops, target_named(options.target), target);
  return result;
}

}  // namespace kvant::quant
