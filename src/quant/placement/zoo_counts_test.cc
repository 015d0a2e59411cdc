// SPDX-License-Identifier: Apache-2.0
// The numbers of pairs that NVIDIA's TensorFlow toolkit places on its model zoo, on our networks of the same
// names (with batch norms kept, and folded, which changes none of them).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/ops.h"
#include "quant/placement/placement.h"
#include "quant/quantize.h"
#include "zoo/zoo.h"

namespace kvant::quant {
namespace {

struct Row {
  std::string case_name;
  std::string excluded;  // a layer that the spec keeps in float
  size_t sites, tensors, weights;
};

struct Network {
  std::string name;
  std::vector<Row> rows;
};

// Keras's EfficientNets: the toolkit knows no Conv-BN-Dropout branch and quantizes both inputs of their 9 and
// 19 Adds; Dropout is no node of ours, so that the branch is a convolution's and stays float (sites 149 and
// 248 less those).
const Network kNetworks[] = {
    {"keras-resnet50-v1",
     {{"resnet-v1", "", 71, 55, 54},
      {"none", "", 55, 51, 54},
      {"resnet-v1", "conv2_block1_1_conv", 70, 55, 53}}},
    {"keras-resnet50-v2",
     {{"resnet-v2", "", 92, 76, 54}, {"none", "", 55, 51, 54}, {"resnet-v2", "pool1_pool", 91, 75, 54}}},
    {"keras-resnet101-v1", {{"resnet-v1", "", 139, 106, 105}}},
    {"keras-resnet101-v2", {{"resnet-v2", "", 177, 144, 105}}},
    {"keras-mobilenet-v1", {{"mobilenet", "", 29, 29, 28}}},
    {"keras-mobilenet-v2", {{"mobilenet", "", 64, 54, 53}}},
    {"tf-efficientnet-b0", {{"efficientnet", "", 140, 115, 82}}},
    {"tf-efficientnet-b3", {{"efficientnet", "", 229, 184, 131}}},
    {"keras-efficientnet-b0", {{"efficientnet", "", 149 - 9, 124 - 9, 82}}},
    {"keras-efficientnet-b3", {{"efficientnet", "", 248 - 19, 203 - 19, 131}}},
    {"keras-inception-v3", {{"inception", "", 109, 74, 95}, {"none", "", 105, 72, 95}}},
};

class ZooCounts : public testing::TestWithParam<Network> {};

TEST_P(ZooCounts, AreThoseOfTheToolkit) {
  ir::Graph graph = zoo::create(GetParam().name, {.classes = 10});
  for (const bool fold : {false, true}) {
    prepare(graph, ops::standard(), fold);
    for (const Row& row : GetParam().rows) {
      SCOPED_TRACE(row.case_name + " " + row.excluded + (fold ? " folded" : ""));
      PlaceOptions options{.cases = {row.case_name}};
      if (!row.excluded.empty()) {
        options.spec.layers.push_back(
            {.name = row.excluded, .quantize_input = false, .quantize_weight = false});
      }
      const Sites sites = place(graph, options);
      const auto weights = static_cast<size_t>(std::count_if(
          sites.all().begin(), sites.all().end(), [](const auto& entry) { return entry.second.weight; }));
      EXPECT_EQ(sites.all().size() - weights, row.sites);
      EXPECT_EQ(tensors_to_calibrate(sites).size(), row.tensors);
      EXPECT_EQ(weights, row.weights);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, ZooCounts, testing::ValuesIn(kNetworks), [](const auto& param) {
  std::string name = param.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace kvant::quant
