// SPDX-License-Identifier: Apache-2.0
// How far a quantized model's outputs are from the float model's, in one number.
#pragma once

#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::quant {

// Adds up over batches. Outputs that are probabilities (rows along the last axis, non-negative, sum 1) count
// by their Kullback-Leibler divergence from the float ones, in nats a row; others by their squared error
// over the float values' squares about their mean. Several outputs add. Integer outputs are left out.
class OutputError {
 public:
  // The model's outputs, of equal types, for one batch.
  void add(std::span<const Tensor> expected, std::span<const Tensor> actual);
  // 0 when all was equal; lower is better. Infinity when some actual value is not finite.
  double value() const;

 private:
  struct Sums {
    double rows = 0, divergence = 0;  // of probabilities
    double count = 0, sum = 0, squares = 0, error = 0;
    bool probabilities = true;
  };
  std::vector<Sums> outputs_;
};

}  // namespace kvant::quant
