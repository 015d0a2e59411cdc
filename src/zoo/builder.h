// SPDX-License-Identifier: Apache-2.0
// What the families build with: named layers whose weights are drawn, and whose types are known, as they are
// added.
#pragma once

#include <string>

#include "base/random.h"
#include "ir/graph.h"
#include "ir/infer.h"
#include "zoo/zoo.h"

namespace kvant::zoo {

// Zeros around a window: kernel / 2 on every side, none, or TensorFlow's "SAME" (as many as make the output
// ceil(input / stride); the odd one goes below and to the right).
enum class Padding { Half, Valid, Same };

struct Conv {
  int64_t out;
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t groups = 1;
  bool bias = false;
  Padding padding = Padding::Half;
  int64_t kernel_w = 0;  // 0: as `kernel`, which is then the height
};

struct Pool {
  int64_t kernel, stride;
  Padding padding = Padding::Valid;
  bool ceil = false;  // a window that begins inside the input counts, even if it ends outside
};

struct BatchNorm {
  float epsilon = 1e-5f;
  float momentum = 0.9f;  // share of the old statistics in ONNX's sense
};

// Names of the head's nodes.
struct Head {
  std::string pool = "avgpool", flatten = "flatten", linear = "fc";
};

class Builder {
 public:
  // A graph with its input.
  Builder(std::string_view name, const Shape& input, int64_t classes, const Options& options);

  // Weights: normal with deviation sqrt(2 / fan-in) (He et al. 2015).
  ir::ValueId conv(const std::string& name, ir::ValueId x, const Conv& shape);
  ir::ValueId depthwise(const std::string& name, ir::ValueId x, int64_t kernel, int64_t stride,
                        Padding padding = Padding::Half);
  // Every batch_norm from now on.
  void set_batch_norm(BatchNorm settings) { batch_norm_ = settings; }
  ir::ValueId batch_norm(const std::string& name, ir::ValueId x);
  ir::ValueId relu(const std::string& name, ir::ValueId x) { return node("Relu", name, {x}); }
  ir::ValueId relu6(const std::string& name, ir::ValueId x);
  // x * sigmoid(x), as the two nodes that exporters write.
  ir::ValueId swish(const std::string& name, const std::string& sigmoid_name, ir::ValueId x);
  ir::ValueId add(const std::string& name, ir::ValueId a, ir::ValueId b) { return node("Add", name, {a, b}); }
  ir::ValueId concat(const std::string& name, std::vector<ir::ValueId> parts, int64_t axis = 1);
  // Equal parts.
  std::vector<ir::ValueId> split(const std::string& name, ir::ValueId x, int64_t parts, int64_t axis);
  // Parts of these sizes.
  std::vector<ir::ValueId> split(const std::string& name, ir::ValueId x, const std::vector<int64_t>& sizes,
                                 int64_t axis);
  ir::ValueId reshape(const std::string& name, ir::ValueId x, std::vector<int64_t> shape);
  ir::ValueId transpose(const std::string& name, ir::ValueId x, std::vector<int64_t> permutation);
  // A layer of its own that pads rows and columns with zeros.
  ir::ValueId zero_pad(const std::string& name, ir::ValueId x, int64_t top, int64_t left, int64_t bottom,
                       int64_t right);
  // Every second row and column, and `channels_before`, `channels_after` channels of zeros (ResNet's option
  // A).
  ir::ValueId subsample_and_pad(const std::string& name, ir::ValueId x, int64_t channels_before,
                                int64_t channels_after);
  ir::ValueId max_pool(const std::string& name, ir::ValueId x, const Pool& pool);
  // Zeros around the input do not count.
  ir::ValueId average_pool(const std::string& name, ir::ValueId x, const Pool& pool);
  ir::ValueId global_average_pool(const std::string& name, ir::ValueId x) {
    return node("GlobalAveragePool", name, {x});
  }
  ir::ValueId layer_norm(const std::string& name, ir::ValueId x, float epsilon);
  // x [..., in] -> [..., out]: MatMul `name` and Add `name`/bias_add. Weights: normal, deviation 0.02.
  ir::ValueId linear(const std::string& name, ir::ValueId x, int64_t out);
  // Drawn from a normal distribution.
  ir::ValueId embedding(const std::string& name, Shape shape, double deviation);

  // Global average pool, flatten, linear layer (Gemm, transB), which becomes the output.
  void classify(ir::ValueId x, const Head& names = {});
  // Linear layer on features [N, in], which becomes the output.
  void classify_features(ir::ValueId x, const std::string& name);
  // `x`, [N, classes], becomes the graph's output "logits".
  void finish(ir::ValueId x);
  // `x`, [N, 4 + classes, cells], becomes the graph's output "predictions".
  void finish_detections(ir::ValueId x);

  ir::ValueId node(const char* op, const std::string& name, std::vector<ir::ValueId> inputs,
                   ir::Attributes attributes = {});
  ir::ValueId constant(const std::string& name, Tensor value) {
    return graph_.add_constant(name, std::move(value));
  }
  ir::ValueId integers(const std::string& name, const std::vector<int64_t>& values) {
    return constant(name, Tensor::vector<int64_t>(values));
  }

  ir::ValueId input() const { return graph_.inputs()[0]; }
  int64_t classes() const { return classes_; }
  // Of what was added; dimension 0 is unknown.
  const Shape& shape(ir::ValueId x) const { return *graph_.value(x).type.shape; }
  int64_t channels(ir::ValueId x) const { return shape(x).at(1); }
  ir::Graph take() { return std::move(graph_); }

 private:
  std::vector<ir::ValueId> split_node(const std::string& name, std::vector<ir::ValueId> inputs, int64_t parts,
                                      ir::Attributes attributes);
  void add_output(ir::ValueId x, std::string_view name, Shape shape);
  Tensor normal(Shape shape, double deviation);
  Tensor uniform(Shape shape, float bound);
  // Memory that all weights share while only their shapes matter.
  Tensor zeros(Shape shape);
  ir::Attributes window(ir::ValueId x, int64_t height, int64_t width, int64_t stride, Padding padding) const;

  ir::Graph graph_;
  ir::Inference inference_;
  Random random_;
  bool random_weights_;
  Tensor zeros_;
  int64_t classes_;
  BatchNorm batch_norm_;
};

}  // namespace kvant::zoo
