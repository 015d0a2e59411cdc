// SPDX-License-Identifier: Apache-2.0
// The flags by which commands take images, and the loader made from them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/preprocess.h"
#include "ir/graph.h"

namespace kvant::cli {

// --preprocess and its parts.
std::vector<Flag> preprocess_flags();
// --data (required), --samples (with this default; "all": every sample) and preprocess_flags().
std::vector<Flag> data_flags(const std::string& samples);

// The recipe: the model's own (metadata kvant.preprocess) unless --preprocess names one, then the parts on
// top. Without either, pixels are scaled to [0,1] and `notes` says so.
data::Preprocess preprocess_of(const Flags& flags, const std::map<std::string, std::string>& metadata,
                               std::string& notes);

// Opens `spec`; `notes` tells a guessed format.
data::Dataset open_data(const std::string& spec, std::string& notes);

// Shape of one sample as the graph's first input takes it (without the batch dimension). Fails if it has
// none.
Shape sample_shape_of(const ir::Graph& graph, size_t input_count);

// The batch that the graph's first input is fixed to (most exporters write 1); nothing where it takes any.
std::optional<int64_t> own_batch(const ir::Graph& graph);
// Images at a time: the graph's own number if it has one, else that of --batch, 1 to `most`. Fails where both
// are given and differ.
int64_t batch_for(const Flags& flags, const ir::Graph& graph, int64_t most);

// The dataset of --data, cut to --samples spread evenly over it.
data::Dataset dataset_of(const Flags& flags, std::string& notes);

// A sequential loader over one epoch of `dataset`, for samples of this shape.
std::unique_ptr<data::Loader> loader_of(const data::Dataset& dataset, const data::Preprocess& preprocess,
                                        const Shape& sample_shape, int64_t batch, int threads);

}  // namespace kvant::cli
