// SPDX-License-Identifier: Apache-2.0
// Networks of the zoo with random weights, quantized, and plans as text: what the tests of this folder share.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "api/calibration_runner.h"
#include "base/file.h"
#include "base/random.h"
#include "engine/engine.h"
#include "ops/ops.h"
#include "quant/quantize.h"
#include "zoo/zoo.h"

namespace kvant {

inline Tensor noise(const Shape& shape, uint64_t seed) {
  Tensor x(DType::Float32, shape);
  Random random(seed);
  for (float& value : x.mutable_data<float>()) value = random.normal();
  return x;
}

// `network` for input images [3,side,side], calibrated on one batch of noise.
inline ir::Graph quantized_network(const std::string& network, int64_t side, int64_t classes, int64_t batch,
                                   bool attention = false) {
  ir::Graph model = zoo::create(network, {.classes = classes, .input = {3, side, side}});
  std::vector<std::vector<Tensor>> batches = {{noise({batch, 3, side, side}, 1)}};
  quant::QuantizeOptions options;
  options.adjust = {};
  options.placement.attention = attention;
  return quant::quantize(std::move(model), ops::standard(), quant::batches_of(std::move(batches)),
                         api::calibration_runners(1), options)
      .graph;
}

// What a step runs on, and how.
inline std::string runner_of(const engine::PlanStep& step) {
  return step.tactic.empty() ? step.backend : step.backend + ":" + step.tactic;
}

// "i8[1x7x7x64]": the type of a step's first result.
inline std::string result_of(const engine::Plan& plan, const engine::PlanStep& step) {
  const ir::Type& type = plan.graph.value(plan.graph.node(step.node).outputs[0]).type;
  return fmt::format("{}[{}]", name(type.dtype), to_string(*type.shape));
}

// `text` is what stands in golden/<file>.txt; KVANT_UPDATE_GOLDEN=1 writes it anew.
inline void compare_with_golden(const std::string& file, const std::string& text) {
  const auto path = std::filesystem::path(KVANT_SOURCE_DIR) / "tests/emulated/golden" / (file + ".txt");
  if (std::getenv("KVANT_UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(path.parent_path());
    write_text(path, text);
  }
  EXPECT_EQ(read_text(path), text) << "set KVANT_UPDATE_GOLDEN=1 if the plan is meant to change";
}

}  // namespace kvant
