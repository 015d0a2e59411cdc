// SPDX-License-Identifier: Apache-2.0
// Weights from elsewhere into a network of the zoo: by our names, by Keras's variable names, by the names of
// a PyTorch state_dict.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace kvant::zoo {

using NamedTensor = std::pair<std::string, Tensor>;

// What became of a file's tensors; each entry is a name, with what is wrong where something is.
struct WeightMatch {
  std::vector<std::string> loaded;       // names of the network's tensors
  std::vector<std::string> missing;      // the network's, that the file lacks: "conv1/weight (conv1.weight)"
  std::vector<std::string> unexpected;   // the file's, that the network has no place for
  std::vector<std::string> wrong_shape;  // "fc/weight: 10x512 instead of 1000x512"
  bool complete() const { return missing.empty() && unexpected.empty() && wrong_shape.empty(); }
};

// Sets the weights, biases and statistics of `graph`, made by create(network). A tensor of the file is found
// by
// - our own name ("layer1/0/conv1/weight"), in our layout;
// - in the keras- and tf- networks Keras's variable name ("conv1_conv/kernel:0", also without ":0" and with
//   the layer's name twice as in .h5 files): kernels HWIO or HWCM, dense kernels [in, out];
// - in the others the name in the state_dict of torchvision, timm or, for efficientnet-lite0, also of
//   efficientnet_lite_pytorch ("layer1.0.bn1.running_mean", also behind "module."): linear weights [out, in].
// Numbers of any float type become f32. PyTorch's num_batches_tracked and Keras's normalization/count are
// passed over. A tensor that does not match changes nothing.
WeightMatch load_weights(ir::Graph& graph, std::string_view network, std::span<const NamedTensor> tensors);

// The sentence for a user: counts, and the first names of each kind; "" when complete.
std::string describe(const WeightMatch& match);

}  // namespace kvant::zoo
