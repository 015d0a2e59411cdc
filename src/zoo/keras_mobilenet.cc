// SPDX-License-Identifier: Apache-2.0
// MobileNet v1 (Howard et al. 2017) and v2 (Sandler et al. 2018), width 1.0, layer by layer as
// keras.applications 2.8 builds them, with its names. The classifier's softmax is left out (there:
// classifier_activation=None).
#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

struct Step {
  int64_t channels, stride;
};
constexpr Step kV1[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                        {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
constexpr Step kV2[] = {{16, 1}, {24, 2}, {24, 1}, {32, 2}, {32, 1},  {32, 1},  {64, 2},  {64, 1}, {64, 1},
                        {64, 1}, {96, 1}, {96, 1}, {96, 1}, {160, 2}, {160, 1}, {160, 1}, {320, 1}};

// v2 pads even sizes below and to the right only, odd ones all around.
ValueId padded_depthwise(Builder& b, const std::string& name, const std::string& pad, ValueId x,
                         int64_t stride, bool all_around_if_odd) {
  if (stride == 1) return b.depthwise(name, x, 3, 1, Padding::Same);
  const int64_t top = all_around_if_odd ? b.shape(x).at(2) % 2 : 0;
  const int64_t left = all_around_if_odd ? b.shape(x).at(3) % 2 : 0;
  return b.depthwise(name, b.zero_pad(pad, x, top, left, 1, 1), 3, stride, Padding::Valid);
}

ValueId block_v2(Builder& b, const std::string& p, ValueId x, const Step& step, int64_t expansion) {
  const int64_t in = b.channels(x);
  ValueId y = x;
  if (expansion != 1) {
    y = b.conv(p + "expand", y, {.out = in * expansion, .kernel = 1});
    y = b.relu6(p + "expand_relu", b.batch_norm(p + "expand_BN", y));
  }
  y = padded_depthwise(b, p + "depthwise", p + "pad", y, step.stride, true);
  y = b.relu6(p + "depthwise_relu", b.batch_norm(p + "depthwise_BN", y));
  y = b.batch_norm(p + "project_BN", b.conv(p + "project", y, {.out = step.channels, .kernel = 1}));
  return step.stride == 1 && in == step.channels ? b.add(p + "add", x, y) : y;
}

}  // namespace

void keras_mobilenet_v1(Builder& b) {
  b.set_batch_norm({.epsilon = 1e-3f, .momentum = 0.99f});
  ValueId x = b.conv("conv1", b.input(), {.out = 32, .stride = 2, .padding = Padding::Same});
  x = b.relu6("conv1_relu", b.batch_norm("conv1_bn", x));
  int64_t i = 1;
  for (const Step& step : kV1) {
    const std::string dw = fmt::format("conv_dw_{}", i), pw = fmt::format("conv_pw_{}", i);
    x = padded_depthwise(b, dw, fmt::format("conv_pad_{}", i), x, step.stride, false);
    x = b.relu6(dw + "_relu", b.batch_norm(dw + "_bn", x));
    x = b.conv(pw, x, {.out = step.channels, .kernel = 1});
    x = b.relu6(pw + "_relu", b.batch_norm(pw + "_bn", x));
    ++i;
  }
  x = b.global_average_pool("global_average_pooling2d", x);
  x = b.conv("conv_preds", x, {.out = b.classes(), .kernel = 1, .bias = true});
  b.finish(b.reshape("reshape_2", x, {-1, b.classes()}));
}

void keras_mobilenet_v2(Builder& b) {
  b.set_batch_norm({.epsilon = 1e-3f, .momentum = 0.999f});
  ValueId x = b.conv("Conv1", b.input(), {.out = 32, .stride = 2, .padding = Padding::Same});
  x = b.relu6("Conv1_relu", b.batch_norm("bn_Conv1", x));
  int64_t i = 0;
  for (const Step& step : kV2) {
    x = block_v2(b, i == 0 ? "expanded_conv_" : fmt::format("block_{}_", i), x, step, i == 0 ? 1 : 6);
    ++i;
  }
  x = b.conv("Conv_1", x, {.out = 1280, .kernel = 1});
  x = b.relu6("out_relu", b.batch_norm("Conv_1_bn", x));
  b.classify(x, {"global_average_pooling2d", "global_average_pooling2d/Flatten", "predictions"});
}

}  // namespace kvant::zoo
