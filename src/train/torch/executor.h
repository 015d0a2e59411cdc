// SPDX-License-Identifier: Apache-2.0
// A graph from over the border, ready to run as ATen calls.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "train/torch/kernel.h"

namespace kvant::train::plugin {

// A copy of a border tensor as a torch one.
at::Tensor import_tensor(const kvant_train_tensor& tensor);

class Executor {
 public:
  // Copies everything it keeps. `channels_last`: 4-D weights and inputs are stored NHWC. What is computed
  // with lies on `device`; integers of at most one axis (shapes, axes, indices), which the host reads, stay
  // there.
  Executor(const kvant_train_graph& graph, bool channels_last, at::Device device = at::kCPU);
  at::Device device() const { return device_; }

  struct Constant {
    int32_t value;
    int32_t role;
    at::Tensor tensor;
  };
  // A scale that is max|weight| / high, times what the calibration chose of it.
  struct Follower {
    int32_t weight;
    int32_t scale;
    int64_t axis;
    float high;
    bool whole;                // all of it
    std::vector<float> share;  // by channel
  };
  std::vector<Constant>& constants() { return constants_; }
  const std::vector<Constant>& constants() const { return constants_; }
  const std::vector<Follower>& followers() const { return followers_; }
  // A new tensor takes the place of a constant's.
  void set_constant(size_t index, at::Tensor tensor);
  // Outputs in the graph's order.
  std::vector<at::Tensor> run(const kvant_train_tensor* inputs, int32_t count, Mode mode);
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, Mode mode);
  // Border tensors as the graph's inputs, in the layout that it wants.
  std::vector<at::Tensor> import_inputs(const kvant_train_tensor* inputs, int32_t count) const;
  // Recomputes the scales that follow their weights.
  void follow();

 private:
  struct Step {
    Kernel kernel;
    std::vector<int32_t> inputs, outputs;
    std::vector<int32_t> done;  // values that nobody needs after this step
    std::string where;
  };
  void add_constants(const kvant_train_graph& graph, bool channels_last);
  void add_steps(const kvant_train_graph& graph);
  void plan_release();
  // Scales by channel that put max |weight| on the highest code.
  std::vector<float> full_scales(const Follower& follower);
  void find_shares();
  at::Tensor& constant_of(int32_t value);
  at::Tensor placed(at::Tensor tensor) const;

  int32_t value_count_;
  bool channels_last_;
  at::Device device_;
  std::vector<Constant> constants_;
  std::vector<Follower> followers_;
  std::vector<Step> steps_;
  std::vector<int32_t> inputs_, outputs_;
};

}  // namespace kvant::train::plugin
