// SPDX-License-Identifier: Apache-2.0
// What the families build with: named layers with their weights drawn as they are added.
#pragma once

#include <string>

#include "base/random.h"
#include "ir/graph.h"

namespace kvant::zoo {

class Builder {
 public:
  // A graph with its input; `classes` is for the classifier.
  Builder(std::string_view name, int64_t channels, int64_t height, int64_t width, int64_t classes,
          uint64_t seed);

  struct Conv {
    int64_t in, out;
    int64_t kernel = 3;
    int64_t stride = 1;
    int64_t groups = 1;
    bool bias = false;
  };
  // Padding is kernel / 2 on all sides.
  ir::ValueId conv(const std::string& name, ir::ValueId x, const Conv& shape);
  ir::ValueId batch_norm(const std::string& name, ir::ValueId x, int64_t channels);
  ir::ValueId relu(const std::string& name, ir::ValueId x) { return graph_.add("Relu", name, {x}); }
  ir::ValueId relu6(const std::string& name, ir::ValueId x);
  ir::ValueId add(const std::string& name, ir::ValueId a, ir::ValueId b) {
    return graph_.add("Add", name, {a, b});
  }
  // Every second row and column, and `channels_before`, `channels_after` channels of zeros (ResNet's option
  // A).
  ir::ValueId subsample_and_pad(const std::string& name, ir::ValueId x, int64_t channels_before,
                                int64_t channels_after);
  ir::ValueId max_pool(const std::string& name, ir::ValueId x, int64_t kernel, int64_t stride, int64_t pad);
  // Global average pool, flatten, linear layer "fc" (Gemm, transB); its result is the graph's output
  // "logits".
  void classify(ir::ValueId x, int64_t channels);

  ir::ValueId input() const { return graph_.inputs()[0]; }
  int64_t channels() const { return channels_; }
  ir::Graph take() { return std::move(graph_); }

 private:
  Tensor normal(Shape shape, double deviation);

  ir::Graph graph_;
  Random random_;
  int64_t channels_, classes_;
};

}  // namespace kvant::zoo
