// SPDX-License-Identifier: Apache-2.0
// Transposed convolutions of every kind of window: the lowered graph against the operator, on codes.
#include <gtest/gtest.h>

#include "engine/build/build.h"
#include "engine/passes/graph_text_test.h"

namespace kvant::engine {
namespace {

struct Window {
  int64_t kernel, stride, pad, dilation, more, group;
};

std::string network(const Window& w, const std::string& attributes, const std::string& behind) {
  return graph_text(
      pair("x", 0.02f, "u8", 128) +
          fmt::format("const %w: i8[4,{0},{1},{1}] = rand(3) const %ws: f32[{0}] = fill(0.002)\n"
                      "%wd = DequantizeLinear \"wDQ\" (%w, %ws) {{axis = 1}}\n"
                      "const %b: f32[{2}] = rand(5)\n"
                      "%up = ConvTranspose \"up\" (%x_dq, %wd, %b) {{group = {3}, {4}}}\n",
                      6 / w.group, w.kernel, 6, w.group, attributes) +
          behind,
      "y_dq", "f32[2,4,5,7]");
}

void expect_integers(const std::string& text, const std::string& what) {
  const ir::Graph before = typed(text);
  const ir::Graph after = lower(before, ops::standard());
  EXPECT_EQ(count(after, "ConvTranspose"), 0u) << what;
  EXPECT_EQ(count(after, "QConv"), 1u) << what;
  EXPECT_EQ(count(after, "QuantizeLinear"), 1u) << what << ": only the network's input";
  const std::vector<Tensor> inputs = random_inputs(before);
  // One code is 1 / 255 of the largest value at least; ties may fall on either side.
  EXPECT_LE(differing(ir::evaluate(before, ops::standard(), inputs)[0],
                      ir::evaluate(after, ops::standard(), inputs)[0], 1e-5),
            1e-3)
      << what;
}

TEST(UnfoldTransposed, EveryWindowGivesTheSameCodes) {
  const Window windows[] = {
      {2, 2, 0, 1, 0, 1}, {3, 2, 1, 1, 1, 1}, {3, 2, 0, 1, 0, 1}, {4, 2, 1, 1, 0, 1}, {4, 2, 1, 1, 0, 2},
      {4, 2, 2, 1, 1, 1}, {5, 2, 2, 1, 1, 1}, {8, 4, 2, 1, 0, 1}, {3, 1, 1, 1, 0, 1}, {3, 1, 0, 2, 0, 2},
      {3, 2, 1, 2, 0, 1}, {3, 3, 0, 1, 0, 1}, {2, 3, 0, 1, 2, 1}, {1, 2, 0, 1, 1, 1}, {6, 2, 0, 1, 0, 2},
  };
  for (const Window& w : windows) {
    const std::string attributes = fmt::format(
        "strides = [{0},{0}], pads = [{1},{1},{1},{1}], dilations = [{2},{2}], output_padding = [{3},{3}]",
        w.stride, w.pad, w.dilation, w.more);
    expect_integers(network(w, attributes, unary("y", "Relu", "up") + pair("y", 0.01f, "u8", 0)), attributes);
  }
}

TEST(UnfoldTransposed, PaddingSaidByNameOrBySize) {
  for (const char* padding : {"auto_pad = \"SAME_UPPER\"", "auto_pad = \"SAME_LOWER\"",
                              "auto_pad = \"VALID\"", "output_shape = [11,13]"}) {
    const std::string attributes = std::string("strides = [2,2], ") + padding;
    expect_integers(network({3, 2, 0, 1, 0, 1}, attributes, unary("y", "Identity", "up") + pair("y", 0.01f)),
                    attributes);
  }
}

TEST(UnfoldTransposed, FloatOnesToo) {
  const ir::Graph before = typed(
      graph_text("const %w: f32[4,3,4,4] = rand(3)\n"
                 "%up = ConvTranspose \"up\" (%x, %w) {strides = [2,2], pads = [1,1,1,1], group = 2}\n" +
                     unary("y", "Relu", "up"),
                 "y", "f32[2,4,5,7]"));
  const ir::Graph after = lower(before, ops::standard());
  EXPECT_EQ(count(after, "ConvTranspose"), 0u);
  const std::vector<Tensor> inputs = random_inputs(before);
  EXPECT_EQ(differing(ir::evaluate(before, ops::standard(), inputs)[0],
                      ir::evaluate(after, ops::standard(), inputs)[0], 1e-5),
            0);
}

TEST(UnfoldTransposed, WhatItLeavesSaysWhy) {
  const std::pair<const char*, const char*> left[] = {
      {"strides = [2,3]", "its strides differ"},
      {"strides = [65,65]", "its strides leave most taps"},
      {"strides = [25,25]", "leave most taps of its phases empty"},
      {"strides = [1,1], dilations = [40,40]", "leave most taps of its phases empty"},
      {"strides = [1,1], dilations = [9,9], pads = [9,9,9,9]", "leave most taps of its phases empty"},
  };
  for (const auto& [attributes, why] : left) {
    const ir::Graph after =
        lower(typed(network({3, 1, 0, 1, 0, 1}, attributes, unary("y", "Relu", "up") + pair("y", 0.01f))),
              ops::standard());
    bool found = false;
    for (const ir::NodeId id : after.topological_order()) {
      if (after.node(id).op != "ConvTranspose") continue;
      found = true;
      EXPECT_NE(after.node(id).reason.find(why), std::string::npos) << after.node(id).reason;
    }
    EXPECT_TRUE(found) << attributes;
  }
}

}  // namespace
}  // namespace kvant::engine
