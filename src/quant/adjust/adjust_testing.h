// SPDX-License-Identifier: Apache-2.0
// What the tests of the repair steps share: models as text, noise, and a step run on its own.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "quant/adjust/adjust.h"
#include "quant/quantize.h"

namespace kvant::quant {

inline std::unique_ptr<ir::Runner> interpret(const ir::Graph& graph) {
  return std::make_unique<ir::Interpreter>(graph, ops::standard());
}

inline ir::Graph parsed(const std::string& body) {
  ir::Graph graph = ir::parse("graph \"g\" {\n" + body + "\n}\n");
  ir::infer_types(graph, ops::standard());
  return graph;
}

inline Tensor noise(Shape shape, uint64_t seed, float scale = 1) {
  Tensor x(DType::Float32, std::move(shape));
  Random random(seed);
  for (float& value : x.mutable_data<float>()) value = scale * random.normal();
  return x;
}

inline std::vector<Tensor> evaluated(const ir::Graph& graph, const Tensor& input) {
  const std::vector<Tensor> inputs{input};
  return ir::evaluate(graph, ops::standard(), inputs);
}

// Batches of 4 samples.
inline CalibrationSet noise_set(const Shape& sample, int batches, uint64_t seed = 100) {
  return CalibrationSet::reopened([=] {
    std::vector<std::vector<Tensor>> result;
    for (int i = 0; i < batches; ++i) {
      Shape shape{4};
      shape.insert(shape.end(), sample.begin(), sample.end());
      result.push_back({noise(shape, seed + static_cast<uint64_t>(i))});
    }
    return batches_of(std::move(result));
  });
}

inline const AdjustEntry& step_named(const std::string& name) {
  for (const AdjustEntry& entry : adjusts()) {
    if (entry.name == name) return entry;
  }
  throw std::runtime_error("no step " + name);
}

// Applies one step; returns its remark.
inline std::string apply_step(const std::string& name, ir::Graph& graph, const CalibrationSet& data,
                              const ir::Graph* reference = nullptr, const AdjustOptions& options = {}) {
  const RunnerFactory factory = interpret;
  AdjustJob job{graph, reference, ops::standard(), data, Part::All, factory, options, silent_progress()};
  step_named(name).apply(job);
  ir::infer_types(graph, ops::standard());
  return job.remark;
}

inline double squared_error(const Tensor& a, const Tensor& b) {
  double error = 0;
  for (size_t i = 0; i < static_cast<size_t>(a.size()); ++i) {
    const double d = a.data<float>()[i] - b.data<float>()[i];
    error += d * d;
  }
  return error;
}

}  // namespace kvant::quant
