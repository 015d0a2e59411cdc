// SPDX-License-Identifier: Apache-2.0
#include "cli/data_flags.h"

#include <fmt/ranges.h>

#include <charconv>

namespace kvant::cli {
namespace {

std::vector<double> numbers(const Flags& flags, const std::string& name) {
  std::vector<double> result;
  const std::string text = flags.text(name);
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    double value = 0;
    const auto [stop, code] = std::from_chars(text.data() + begin, text.data() + end, value);
    if (code != std::errc() || stop != text.data() + end) {
      throw UsageError(fmt::format("--{} takes numbers separated by commas, got '{}'", name, text));
    }
    result.push_back(value);
    begin = end + 1;
  }
  return result;
}

}  // namespace

std::vector<Flag> preprocess_flags() {
  return {
      {.name = "preprocess",
       .value = "NAME",
       .help = "from image to input; the model's own is used when it has one",
       .choices = data::preprocess_names()},
      {.name = "resize", .value = "N|HxW", .help = "resize the shorter side to N, or to HxW"},
      {.name = "crop", .value = "N|HxW", .help = "then take the centre"},
      {.name = "mean", .value = "X,Y,Z", .help = "subtract, by channel, after scaling"},
      {.name = "std", .value = "X,Y,Z", .help = "divide by, by channel"},
      {.name = "layout", .value = "LAYOUT", .help = "of the model's input", .choices = {"nchw", "nhwc"}},
      {.name = "channels",
       .value = "ORDER",
       .help = "of the model's input",
       .choices = {"rgb", "bgr", "gray", "stored"}},
  };
}

std::vector<Flag> data_flags(const std::string& samples) {
  std::vector<Flag> flags = {
      {.name = "data",
       .value = "FORMAT:PATH",
       .help = "images: idx, cifar10, imagefolder, csv, npz; #split at the end picks a part",
       .required = true},
      {.name = "samples", .value = "N", .help = "use N samples, spread over the set", .fallback = samples},
  };
  for (Flag& flag : preprocess_flags()) flags.push_back(std::move(flag));
  return flags;
}

data::Preprocess preprocess_of(const Flags& flags, const std::map<std::string, std::string>& metadata,
                               std::string& notes) {
  data::Preprocess result;
  const auto own = metadata.find(std::string(data::kPreprocessKey));
  if (flags.given("preprocess")) {
    result = data::parse_preprocess(flags.text("preprocess"));
  } else if (own != metadata.end()) {
    result = noting([] { return "in the model's metadata (kvant.preprocess)"; },
                    [&] { return data::parse_preprocess(own->second); });
  } else {
    result = data::parse_preprocess("scale");
    notes +=
        "note: the model does not say how its input is made; pixels are scaled to [0,1] (--preprocess "
        "changes that)\n";
  }
  if (flags.given("resize")) result.resize = data::parse_extent(flags.text("resize"));
  if (flags.given("crop")) result.crop = data::parse_extent(flags.text("crop"));
  if (flags.given("mean")) result.mean = numbers(flags, "mean");
  if (flags.given("std")) result.std = numbers(flags, "std");
  if (flags.given("layout")) result.layout = data::layout_named(flags.text("layout"));
  if (flags.given("channels")) result.channels = data::channels_named(flags.text("channels"));
  return result;
}

data::Dataset open_data(const std::string& spec, std::string& notes) {
  data::Dataset dataset = data::open(spec);
  if (dataset.guessed()) notes += fmt::format("note: {} was read as {}\n", spec, dataset.spec());
  return dataset;
}

data::Dataset dataset_of(const Flags& flags, std::string& notes) {
  const data::Dataset dataset = open_data(flags.text("data"), notes);
  if (flags.text("samples") == "all") return dataset;
  return dataset.spread(flags.integer("samples", 1, int64_t{1} << 40));
}

Shape sample_shape_of(const ir::Graph& graph, size_t input_count) {
  if (input_count != 1) {
    fail("the model has {} inputs; commands that take --data need a model of one input", input_count);
  }
  const ir::Value& input = graph.value(graph.inputs()[0]);
  if (!input.type.shape || input.type.shape->empty())
    fail("the shape of input '{}' is not declared", input.name);
  return {input.type.shape->begin() + 1, input.type.shape->end()};
}

std::optional<int64_t> own_batch(const ir::Graph& graph) {
  if (graph.inputs().empty()) return std::nullopt;
  const auto& shape = graph.value(graph.inputs()[0]).type.shape;
  if (!shape || shape->empty() || shape->front() == kUnknownDim) return std::nullopt;
  return shape->front();
}

int64_t batch_for(const Flags& flags, const ir::Graph& graph, int64_t most) {
  const std::optional<int64_t> fixed = own_batch(graph);
  const int64_t asked = fixed && !flags.given("batch") ? *fixed : flags.integer("batch", 1, most);
  const int64_t own = fixed.value_or(asked);
  if (asked != own) {
    fail(
        "input '{}' of the model takes {} image{} at a time, not {}: leave out --batch, or export the model "
        "with a "
        "batch that is not fixed",
        graph.value(graph.inputs()[0]).name, own, own == 1 ? "" : "s", asked);
  }
  return own;
}

std::unique_ptr<data::Loader> loader_of(const data::Dataset& dataset, const data::Preprocess& preprocess,
                                        const Shape& sample_shape, int64_t batch, int threads) {
  data::LoaderOptions options;
  options.batch = batch;
  options.threads = threads;
  options.preprocess = preprocess;
  options.sample_shape = sample_shape;
  options.cache_bytes = 0;
  return std::make_unique<data::Loader>(dataset, options);
}

}  // namespace kvant::cli
