// SPDX-License-Identifier: Apache-2.0
// MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2.
#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

// [1x1 expand -> bn -> relu6 ->] 3x3 depthwise -> bn -> relu6 -> 1x1 project -> bn [+ x]
ValueId inverted_residual(Builder& b, const std::string& scope, ValueId x, int64_t in, int64_t out,
                          int64_t stride, int64_t expansion) {
  const int64_t middle = in * expansion;
  ValueId y = x;
  if (expansion != 1) {
    y = b.conv(scope + "/expand/conv", y, {.in = in, .out = middle, .kernel = 1});
    y = b.relu6(scope + "/expand/relu6", b.batch_norm(scope + "/expand/bn", y, middle));
  }
  y = b.conv(scope + "/depthwise/conv", y, {.in = middle, .out = middle, .stride = stride, .groups = middle});
  y = b.relu6(scope + "/depthwise/relu6", b.batch_norm(scope + "/depthwise/bn", y, middle));
  y = b.conv(scope + "/project/conv", y, {.in = middle, .out = out, .kernel = 1});
  y = b.batch_norm(scope + "/project/bn", y, out);
  return stride == 1 && in == out ? b.add(scope + "/add", y, x) : y;
}

struct Stage {
  int64_t expansion, channels, blocks, stride;
};
constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

}  // namespace

void mobilenet_v2(Builder& b) {
  ValueId x = b.conv("features/0/conv", b.input(), {.in = b.channels(), .out = 32, .stride = 2});
  x = b.relu6("features/0/relu6", b.batch_norm("features/0/bn", x, 32));
  int64_t in = 32;
  int64_t index = 1;
  for (const Stage& stage : kStages) {
    for (int64_t i = 0; i < stage.blocks; ++i, ++index) {
      x = inverted_residual(b, fmt::format("features/{}", index), x, in, stage.channels,
                            i == 0 ? stage.stride : 1, stage.expansion);
      in = stage.channels;
    }
  }
  const std::string last = fmt::format("features/{}", index);
  x = b.conv(last + "/conv", x, {.in = in, .out = 1280, .kernel = 1});
  x = b.relu6(last + "/relu6", b.batch_norm(last + "/bn", x, 1280));
  b.classify(x, 1280);
}

}  // namespace kvant::zoo
