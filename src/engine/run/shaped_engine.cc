// SPDX-License-Identifier: Apache-2.0
#include "engine/run/shaped_engine.h"

#include <algorithm>

#include "base/error.h"

namespace kvant::engine {

ShapedEngine::ShapedEngine(ir::Graph graph, const ir::OpTable& ops, std::span<const Backend* const> backends,
                           BuildOptions options, EngineOptions engine_options, size_t most_plans)
    : graph_(std::move(graph)),
      ops_(ops),
      backends_(backends.begin(), backends.end()),
      options_(std::move(options)),
      engine_options_(engine_options),
      most_plans_(std::max<size_t>(1, most_plans)) {}

void ShapedEngine::watch(std::vector<std::string> names) {
  for (Entry& entry : entries_) entry.engine.watch(names);
  watched_ = std::move(names);
}

Engine& ShapedEngine::engine_for(const std::vector<Shape>& shapes) {
  const auto found = std::ranges::find(entries_, shapes, &Entry::shapes);
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front().engine;
  }
  BuildOptions options = options_;
  options.shapes.clear();
  for (size_t i = 0; i < shapes.size(); ++i)
    options.shapes[graph_.value(graph_.inputs()[i]).name] = shapes[i];
  Engine engine(build(graph_, ops_, backends_, options), backends_, engine_options_);
  if (!watched_.empty()) engine.watch(watched_);
  ++builds_;
  // Before the new plan takes its memory for good the oldest gives its own back.
  while (entries_.size() >= most_plans_) entries_.pop_back();
  entries_.push_front({shapes, std::move(engine)});
  return entries_.front().engine;
}

std::vector<Tensor> ShapedEngine::run(std::span<const Tensor> inputs, const Observer& observer) {
  ir::check_inputs(graph_, inputs);
  std::vector<Shape> shapes;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Value& value = graph_.value(graph_.inputs()[i]);
    const Shape& shape = inputs[i].shape();
    for (size_t d = 0; d < shape.size(); ++d) {
      const bool open = !value.type.shape || (*value.type.shape)[d] == kUnknownDim;
      if (open && shape[d] == 0)
        fail("input '{}' has shape {}: nothing to compute along dimension {}", value.name,
             kvant::to_string(shape), d);
    }
    shapes.push_back(shape);
  }
  return engine_for(shapes).run(inputs, observer);
}

}  // namespace kvant::engine
