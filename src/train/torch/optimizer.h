// SPDX-License-Identifier: Apache-2.0
// SGD with momentum and AdamW over torch tensors, with their state in plain sight so that a checkpoint can
// hold it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "train/torch/executor.h"

namespace kvant::train::plugin {

class Optimizer {
 public:
  // Keeps a reference to the trained constants of `executor`.
  Optimizer(Executor& executor, const kvant_train_settings& settings);
  void clear_gradients();
  // `step` counts from 1. Frozen ranges: no scale changes, learned or following.
  void step(double learning_rate, int64_t step, bool frozen_ranges);
  // Slots of one parameter: the velocity, or both moments.
  size_t slots() const { return settings_.optimizer == 0 ? 1 : 2; }
  struct Parameter {
    size_t constant;  // index in the executor's list
    at::Tensor slot[2];
    double floor = 0;  // learned scales do not fall below
  };
  std::vector<Parameter>& parameters() { return parameters_; }

 private:
  void clip();
  void update(Parameter& parameter, double learning_rate, int64_t step);
  at::Tensor& tensor(const Parameter& parameter) { return executor_.constants()[parameter.constant].tensor; }

  Executor& executor_;
  kvant_train_settings settings_;
  std::vector<Parameter> parameters_;
};

}  // namespace kvant::train::plugin
