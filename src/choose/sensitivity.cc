// SPDX-License-Identifier: Apache-2.0
#include "choose/sensitivity.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/interrupt.h"
#include "choose/layers.h"
#include "choose/score_file.h"
#include "ir/infer.h"

namespace kvant::choose {
namespace {

using Clock = std::chrono::steady_clock;

ir::Graph with_layers(const ir::Graph& qdq, const ir::OpTable& ops, const std::set<std::string>& names) {
  ir::Graph graph = qdq;
  keep_layers(graph, names);
  ir::infer_types(graph, ops);
  return graph;
}

std::optional<double> time_of(const Timing& timing, const std::string& name) {
  const auto found = timing.ms.find(name);
  return found == timing.ms.end() ? std::nullopt : std::optional(found->second);
}

// Progress of the layers; the passes over the samples inside are not shown.
class Walk {
 public:
  Walk(const ir::Graph& qdq, const ir::OpTable& ops, Scorer& scorer, ScoreFile& file)
      : qdq_(qdq), ops_(ops), scorer_(scorer), file_(file) {}

  // The score with these layers alone, measured or remembered.
  Score score(const std::string& key, const std::set<std::string>& names) {
    if (const Score* known = file_.find(key)) return *known;
    const Score score = scorer_.score(with_layers(qdq_, ops_, names), silent_progress());
    file_.add(key, score);
    return score;
  }

 private:
  const ir::Graph& qdq_;
  const ir::OpTable& ops_;
  Scorer& scorer_;
  ScoreFile& file_;
};

void add_times(Sensitivity& result, const Timing& floats, const Timing& integers) {
  result.float_ms = floats.total_ms;
  result.int8_ms = integers.total_ms;
  for (LayerCost& layer : result.layers) {
    layer.float_ms = time_of(floats, layer.name);
    layer.int8_ms = time_of(integers, layer.name);
    const auto owner = integers.fused.find(layer.name);
    if (owner != integers.fused.end()) layer.fused_into = owner->second;
  }
}

}  // namespace

Sensitivity sensitivity(const ir::Graph& qdq, const ir::OpTable& ops, Samples& samples,
                        const quant::RunnerFactory& make_runner,
                        std::span<const engine::Backend* const> backends, const SensitivityOptions& options,
                        Progress& progress) {
  const std::vector<std::string> names = quantized_layers(qdq);
  if (names.empty()) fail("the model has no quantized layer whose cost could be measured");
  ScoreFile file(options.state, fingerprint(qdq, options.data), options.resume);
  const ir::Graph floats = with_layers(qdq, ops, {});
  Scorer scorer(floats, ops, make_runner, samples, progress);
  Walk walk(qdq, ops, scorer, file);
  Sensitivity result;
  result.of_float = scorer.of_float();
  const auto begin = Clock::now();
  progress.begin("quantizing one layer at a time", static_cast<int64_t>(names.size()), "layers");
  result.of_quantized = walk.score("all layers", std::set<std::string>(names.begin(), names.end()));
  for (const std::string& name : names) {
    check_interrupt();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const std::string key = "layer " + name;
    if (options.budget_seconds > 0 && seconds > options.budget_seconds && file.find(key) == nullptr) {
      ++result.left;
      continue;
    }
    LayerCost layer{.name = name, .op = qdq.node(qdq.find_node(name)).op, .score = walk.score(key, {name})};
    result.layers.push_back(std::move(layer));
    progress.update(static_cast<int64_t>(result.layers.size()), name);
  }
  progress.end();
  add_times(result, time_model(floats, ops, backends, options.timing),
            time_model(qdq, ops, backends, options.timing));
  std::stable_sort(result.layers.begin(), result.layers.end(), [](const LayerCost& a, const LayerCost& b) {
    return a.score.relative_error > b.score.relative_error;
  });
  return result;
}

}  // namespace kvant::choose
