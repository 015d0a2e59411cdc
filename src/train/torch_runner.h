// SPDX-License-Identifier: Apache-2.0
// A graph, float or QDQ, run by LibTorch: for accuracy over a test set, for calibration, and as the speed to
// compare with. QDQ graphs are simulated (fake-quantize), bit-equal in their codes up to LibTorch's own float
// sums.
#pragma once

#include <map>
#include <memory>

#include "ir/interpreter.h"
#include "train/session.h"

namespace kvant::train {

class TorchRunner final : public ir::Runner {
 public:
  // Fails if the plug-in is missing, or on an operator that it does not know. `threads` 0: all cores. Keeps
  // `graph`.
  explicit TorchRunner(const ir::Graph& graph, int threads = 0);
  // Float tensors and graph inputs only: integer codes do not exist here.
  void watch(std::vector<std::string> names) override;
  std::vector<Tensor> run(std::span<const Tensor> inputs, const Observer& observer = {}) override;
  // Milliseconds of each of `iterations` runs after `warmup` others.
  std::vector<double> bench(std::span<const Tensor> inputs, int iterations, int warmup = 10);

 private:
  void build();

  const ir::Graph& graph_;
  const Plugin& plugin_;
  std::vector<std::string> watched_;
  std::unique_ptr<Session> session_;
};

}  // namespace kvant::train
