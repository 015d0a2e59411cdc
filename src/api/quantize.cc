// SPDX-License-Identifier: Apache-2.0
#include "quant/quantize.h"

#include "api/calibration_runner.h"
#include "api/states.h"
#include "base/cpu.h"
#include "base/nearest.h"
#include "ops/ops.h"
#include "quant/spec/read_spec.h"

namespace kvant::api {
namespace {

class Listener final : public Progress {
 public:
  explicit Listener(const QuantizeOptions& options) : tell_(options.progress) {}
  void begin(std::string_view what, int64_t total, std::string_view) override {
    what_ = what;
    total_ = total;
    update(0, "");
  }
  void update(int64_t done, std::string_view) override {
    if (tell_) tell_(what_, done, total_);
  }
  void end() override {}

 private:
  const std::function<void(const std::string&, int64_t, int64_t)>& tell_;
  std::string what_;
  int64_t total_ = 0;
};

int threads_of(int asked) {
  if (asked < 0) fail("{} threads: give 1 or more, or 0 for the cores available", asked);
  return asked > 0 ? asked : available_cores();
}

quant::PlaceOptions placement_of(const QuantizeOptions& options) {
  quant::PlaceOptions result;
  result.mode = options.partial ? quant::PlaceMode::Partial : quant::PlaceMode::Full;
  result.cases = options.cases;
  result.attention = options.attention;
  result.activation_tables = options.activation_tables;
  const size_t first = options.spec.find_first_not_of(" \t\r\n");
  if (first != std::string::npos) {
    result.spec = options.spec[first] == '{' ? quant::spec_from_json(options.spec)
                                             : quant::spec_from_toml(options.spec);
  }
  for (const OwnCase& own : options.own_cases) {
    result.own_cases.push_back({own.name, [&own](quant::Sites& sites) {
                                  Placement::State state{sites, own.name};
                                  Placement placement(state);
                                  own.place(placement);
                                }});
  }
  quant::check_options(result);
  return result;
}

// `own`: the caller's options, which must outlive the result.
quant::QuantizeOptions options_of(const QuantizeOptions& own) {
  quant::QuantizeOptions options;
  options.calibration.calibrator = own.calibrator;
  options.calibration.options.percentile = own.percentile;
  options.weights = quant::weight_calibrator_named(own.weight_calibrator);
  if (own.bits < 2 || own.bits > 8) fail("{} bits: 2 to 8 are possible", own.bits);
  options.bits = own.bits;
  options.placement = placement_of(own);
  options.adjust = quant::parse_adjusts(own.adjust);
  options.adjusting.seed = own.seed;
  options.adjusting.threads = threads_of(own.threads);
  options.target = own.target;
  options.calibration.options.codes = quant::activation_codes(own.target, own.bits);
  return options;
}

ir::NodeId node_named(const ir::Graph& graph, const std::string& name) {
  std::vector<std::string> names;
  for (const ir::NodeId id : graph.topological_order()) {
    names.push_back(quant::label(graph, id));
    if (names.back() == name) return id;
  }
  fail("there is no node '{}'{}", name, nearest_hint(name, {names.begin(), names.end()}));
}

}  // namespace

std::vector<Node> Placement::nodes() const {
  std::vector<Node> nodes;
  const ir::Graph& graph = state_.sites.graph();
  for (const ir::NodeId id : graph.topological_order()) nodes.push_back(node_of(graph, id));
  return nodes;
}

void Placement::quantize_input(const std::string& node, int input, const std::string& reason) {
  const ir::Graph& graph = state_.sites.graph();
  const ir::NodeId id = node_named(graph, node);
  const size_t count = graph.node(id).inputs.size();
  if (input < 0 || static_cast<size_t>(input) >= count)
    fail("case {}: node '{}' has {} inputs and none with the index {}", state_.origin, node, count, input);
  state_.sites.want_activation(id, input, reason);
}

void Placement::keep_float(const std::string& node, const std::string& reason) {
  state_.sites.set_rule(node_named(state_.sites.graph(), node),
                        {.input = false, .weight = false, .origin = reason});
}

void Placement::set_precision(const std::string& node, int bits, const std::string& calibrator) {
  if (bits < 2 || bits > 8)
    fail("case {}: node '{}': {} bits; 2 to 8 are possible", state_.origin, node, bits);
  state_.sites.set_rule(node_named(state_.sites.graph(), node),
                        {.bits = bits, .calibrator = calibrator, .origin = "case " + state_.origin});
}

Quantized quantize(const Model& model, const Samples& samples, const QuantizeOptions& options) {
  return guarded([&] {
    const ir::Graph& graph = model.state().graph;
    Listener listener(options);
    quant::QuantizeResult result =
        quant::quantize(graph, ops::standard(), calibration_set_of(samples, graph),
                        calibration_runners(threads_of(options.threads)), options_of(options), listener);
    std::vector<LayerPrecision> layers;
    for (const quant::LayerReport& layer : result.report.layers)
      layers.push_back({layer.name, layer.op, layer.quantized, layer.reason});
    return Quantized{model_of(std::move(result.graph)), std::move(layers)};
  });
}

Converted convert(const Model& qdq, const std::string& target, const std::string& activations, bool fp16,
                  const Samples& samples) {
  return guarded([&] {
    const quant::Target& wanted = quant::target_named(target);
    quant::TargetOptions options{.fp16 = fp16};
    if (!activations.empty()) {
      if (activations != "int8" && activations != "uint8")
        fail("activations are int8 or uint8, not '{}'", activations);
      options.activations = activations == "uint8" ? DType::UInt8 : DType::Int8;
    }
    ir::Graph graph = qdq.state().graph;
    const std::vector<std::string> missing = quant::outputs_to_calibrate(graph, wanted);
    if (samples && !missing.empty()) {
      const quant::RunnerFactory factory = calibration_runners(available_cores());
      quant::ModelRuns runs(graph, ops::standard(), factory);
      options.ranges = quant::calibrate(
          graph, missing,
          [&](std::span<const Tensor> inputs) -> ir::Runner& { return runs.runner_for(inputs); },
          calibration_set_of(samples, graph).open(), {.calibrator = "auto"}, silent_progress());
    }
    const quant::TargetReport report = quant::convert(graph, ops::standard(), wanted, options);
    std::vector<LayerPrecision> left;
    for (const quant::LeftFloat& layer : report.left_float) {
      const ir::NodeId id = graph.find_node(layer.node);
      left.push_back({layer.node, id == ir::kNone ? "" : graph.node(id).op, false, layer.reason});
    }
    return Converted{model_of(std::move(graph)), std::move(left)};
  });
}

}  // namespace kvant::api
