// SPDX-License-Identifier: Apache-2.0
// What the border's kvant_train_session is: a graph with its optimizer.
#pragma once

#include <memory>
#include <vector>

#include "train/torch/executor.h"
#include "train/torch/optimizer.h"

namespace kvant::train::plugin {

class Session {
 public:
  Session(const kvant_train_graph& graph, const kvant_train_settings& settings);
  kvant_train_outcome step(const kvant_train_batch& batch);
  // Fills `outputs` with views of tensors that live until the next call.
  void forward(const kvant_train_tensor* inputs, int32_t count, kvant_train_tensor* outputs,
               int32_t output_count);
  void bench(const kvant_train_tensor* inputs, int32_t count, int32_t warmup, int32_t iterations,
             double* milliseconds);
  int32_t state_count() const { return static_cast<int32_t>(state_.size()); }
  kvant_train_state state_at(int32_t index) const;
  void state_read(int32_t index, float* data);
  void state_write(int32_t index, const float* data);

 private:
  struct Entry {
    size_t constant;
    size_t parameter;  // of the optimizer, when slot > 0
    int32_t slot;
  };
  // `teacher` may be undefined.
  at::Tensor loss_of(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& teacher);
  at::Tensor tensor_of(const Entry& entry);

  kvant_train_settings settings_;
  Executor executor_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Entry> state_;
  std::vector<at::Tensor> outputs_;
  bool followed_ = false;  // scales have been brought to their weights
};

}  // namespace kvant::train::plugin
