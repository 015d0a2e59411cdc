// SPDX-License-Identifier: Apache-2.0
#include "api/states.h"
#include "data/dataset.h"
#include "data/loader.h"

namespace kvant::api {
namespace {

data::Preprocess preprocess_for(const ir::Graph& graph, const std::string& named) {
  if (!named.empty()) return data::parse_preprocess(named);
  const auto own = graph.metadata.find(std::string(data::kPreprocessKey));
  return data::parse_preprocess(own == graph.metadata.end() ? "scale" : own->second);
}

data::LoaderOptions loader_options(const ir::Graph& graph, const Images& options) {
  if (graph.inputs().size() != 1)
    fail("the model has {} inputs; images() is for models of one", graph.inputs().size());
  const ir::Value& input = graph.value(graph.inputs()[0]);
  if (!input.type.shape || input.type.shape->empty())
    fail("the shape of input '{}' is not declared", input.name);
  data::LoaderOptions result;
  const int64_t own = input.type.shape->front();  // most exporters write 1
  result.batch = own == kUnknownDim ? options.batch : own;
  result.threads = options.threads;
  result.preprocess = preprocess_for(graph, options.preprocess);
  result.sample_shape = {input.type.shape->begin() + 1, input.type.shape->end()};
  result.cache_bytes = 0;
  return result;
}

}  // namespace

Samples batches(std::vector<Batch> all) {
  auto kept = std::make_shared<const std::vector<Batch>>(std::move(all));
  return [kept] {
    return [kept, at = size_t{0}]() mutable { return at < kept->size() ? (*kept)[at++] : Batch{}; };
  };
}

Samples images(const Model& model, const Images& options) {
  return guarded([&]() -> Samples {
    data::Dataset dataset = data::open(options.data);
    if (options.count > 0) dataset = dataset.spread(options.count);
    auto loader = std::make_shared<data::Loader>(dataset, loader_options(model.state().graph, options));
    return [loader] {
      loader->seek(0);
      return [loader]() -> Batch {
        const auto batch = loader->next();
        return batch ? Batch{array_of(batch->samples)} : Batch{};
      };
    };
  });
}

}  // namespace kvant::api
