// SPDX-License-Identifier: Apache-2.0
// Images one by one on the CPU's own kernels: the bits of the batch, for batches that share out over the
// threads and for others.
#include <gtest/gtest.h>

#include <set>

#include "backends/backends.h"
#include "engine/engine.h"
#include "engine/passes/networks_test.h"

namespace kvant::engine {
namespace {

// The network's text with another number of images.
std::string with_batch(const std::string& text, int batch) {
  const std::string input = "input %x: f32[";
  const size_t at = text.find(input);
  if (at == std::string::npos) return text;
  const size_t first = at + input.size(), end = text.find(',', first);
  return text.substr(0, first) + std::to_string(batch) + text.substr(end);
}

TEST(ImagesApartOnTheCpu, GiveTheBitsOfTheBatch) {
  std::set<std::string> apart;
  const auto backends = backends::shared();
  for (const Network& network :
       {Network{"conv_chain", conv_chain(), 0, {}}, Network{"resnet_v1", resnet_v1(), 0, {}},
        Network{"mobilenet_v2", mobilenet_v2(), 0, {}}, Network{"squeeze_excite", squeeze_excite(), 0, {}},
        Network{"activation_tables", activation_tables(), 0, {}}, Network{"inception", inception(), 0, {}},
        Network{"onnxruntime_style", onnxruntime_style(), 0, {}}, Network{"yolo", yolo(), 0, {}},
        Network{"segmenter", segmenter(), 0, {}}}) {
    for (const int batch : {2, 3, 5, 8}) {
      const ir::Graph graph = typed(with_batch(network.text, batch));
      const std::vector<Tensor> inputs = random_inputs(graph);
      ASSERT_EQ(inputs[0].dim(0), batch);
      for (const int threads : {1, 2, 3}) {
        const Plan plan = build(graph, ops::standard(), backends, {.threads = threads});
        const std::vector<Tensor> expected = Engine(plan, backends, {.images_apart = false}).run(inputs);
        Engine engine(plan, backends);
        EXPECT_EQ(engine.run(inputs), expected)
            << network.name << ", " << batch << " images, " << threads << " threads";
        EXPECT_EQ(engine.context({.threads = 2}).run(inputs), expected) << network.name << ", a context";
        if (engine.images_apart() == batch) apart.insert(network.name);
      }
    }
  }
  for (const char* name :
       {"conv_chain", "resnet_v1", "mobilenet_v2", "squeeze_excite", "inception", "segmenter"})
    EXPECT_TRUE(apart.contains(name)) << name << " never ran one by one";
}

}  // namespace
}  // namespace kvant::engine
