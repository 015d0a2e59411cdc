// SPDX-License-Identifier: Apache-2.0
// Reference networks, made as float graphs with random weights: to train, to bench, to test with.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace kvant::zoo {

class Builder;

struct Network {
  std::string_view name;
  std::string_view summary;
  int64_t classes;                  // default
  int64_t channels, height, width;  // default input
  std::string_view preprocess;      // recipe of data/preprocess.h that published weights expect, or ""
  void (*build)(Builder&);
};

// In the order of zoo.inc.
std::span<const Network> networks();
// Fails on an unknown name (with the nearest ones).
const Network& find(std::string_view name);

struct Options {
  int64_t classes = 0;  // 0: the network's default
  Shape input = {};     // C, H, W; empty: the network's default
  uint64_t seed = 0;
  // false: all weights that would be drawn are zero, which is quick and takes no memory; for what only needs
  // shapes.
  bool random_weights = true;
};

// The network as a graph: input "input" [N,C,H,W] with symbolic batch "N", output "logits" [N,classes].
// There is no softmax at the end: training and evaluation take logits. A detector's output is "predictions"
// [N,4+classes,cells]: centre and size of a box in pixels, then a score a class. Convolutions are initialized
// after He et al. 2015 (normal, fan-in), the classifier uniformly in +-1/sqrt(inputs), transformers' layers
// and embeddings normally with deviation 0.02; batch norms are the identity. Nodes are named by their place
// ("layer1/0/conv1"), in the keras- and tf- networks as there ("conv2_block1_1_conv"); constants by their
// node
// ("layer1/0/conv1/weight", ".../bias", ".../scale", ".../mean", ".../var"). The same name, options and seed
// give the same bytes. Fails on an unknown name (with the nearest ones), on classes outside [1, 1e6] and on
// an input that is not three dimensions in [1, 65536].
ir::Graph create(std::string_view name, const Options& options = {});

}  // namespace kvant::zoo
