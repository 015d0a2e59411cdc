// SPDX-License-Identifier: Apache-2.0
// The plug-in's session with C++ manners: owned, and errors thrown.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "train/plugin.h"
#include "train/program.h"

namespace kvant::train {

class Session {
 public:
  // The program's border data are copied by the plug-in.
  Session(const Plugin& plugin, const Program& program, const kvant_train_settings& settings);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  kvant_train_outcome step(const kvant_train_batch& batch);
  std::vector<Tensor> forward(std::span<const Tensor> inputs);
  std::vector<double> bench(std::span<const Tensor> inputs, int warmup, int iterations);

  // The whole state, one list of floats each: first the program's slots in their order, then the optimizer's.
  std::vector<std::vector<float>> read_state(size_t count = SIZE_MAX);
  // Fails if the state is of another shape.
  void write_state(const std::vector<std::vector<float>>& state);

 private:
  const kvant_train_api& api_;
  kvant_train_session* session_ = nullptr;
  size_t outputs_;
  std::vector<kvant_train_state> states_;
};

// A view for the border; `tensor` must outlive it.
kvant_train_tensor border_tensor(const Tensor& tensor);

}  // namespace kvant::train
