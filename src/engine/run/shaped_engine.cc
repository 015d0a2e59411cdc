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

void ShapedEngine::check_shape(size_t input, const Shape& shape) const {
  const ir::Value& value = graph_.value(graph_.inputs()[input]);
  const std::optional<Shape>& declared = value.type.shape;
  if (declared && declared->size() != shape.size())
    fail("input '{}' has shape {} where the model takes {} dimensions", value.name, kvant::to_string(shape),
         declared->size());
  for (size_t d = 0; d < shape.size(); ++d) {
    const bool open = !declared || (*declared)[d] == kUnknownDim;
    if (open && shape[d] == 0)
      fail("input '{}' has shape {}: nothing to compute along dimension {}", value.name,
           kvant::to_string(shape), d);
    if (!open && shape[d] != (*declared)[d])
      fail("input '{}' has shape {}: dimension {} of the model is {}", value.name, kvant::to_string(shape), d,
           (*declared)[d]);
  }
}

Engine& ShapedEngine::engine_for(const std::vector<Shape>& shapes) {
  KVANT_CHECK(shapes.size() == graph_.inputs().size(), "a shape for each input");
  for (size_t i = 0; i < shapes.size(); ++i) check_shape(i, shapes[i]);
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
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  return engine_for(shapes).run(inputs, observer);
}

}  // namespace kvant::engine
