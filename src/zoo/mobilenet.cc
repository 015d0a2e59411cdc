// SPDX-License-Identifier: Apache-2.0
// MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2, as
// torchvision builds it, and a small one for 32x32 images.
#include <span>

#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

// [1x1 expand -> bn -> relu6 ->] 3x3 depthwise -> bn -> relu6 -> 1x1 project -> bn [+ x]
ValueId inverted_residual(Builder& b, const std::string& scope, ValueId x, int64_t out, int64_t stride,
                          int64_t expansion) {
  const int64_t in = b.channels(x);
  ValueId y = x;
  if (expansion != 1) {
    y = b.conv(scope + "/expand/conv", y, {.out = in * expansion, .kernel = 1});
    y = b.relu6(scope + "/expand/relu6", b.batch_norm(scope + "/expand/bn", y));
  }
  y = b.depthwise(scope + "/depthwise/conv", y, 3, stride);
  y = b.relu6(scope + "/depthwise/relu6", b.batch_norm(scope + "/depthwise/bn", y));
  y = b.conv(scope + "/project/conv", y, {.out = out, .kernel = 1});
  y = b.batch_norm(scope + "/project/bn", y);
  return stride == 1 && in == out ? b.add(scope + "/add", y, x) : y;
}

struct Stage {
  int64_t expansion, channels, blocks, stride;
};

struct Widths {
  int64_t first, first_stride, last;
};

void inverted_residuals(Builder& b, const Widths& widths, std::span<const Stage> stages) {
  ValueId x = b.conv("features/0/conv", b.input(), {.out = widths.first, .stride = widths.first_stride});
  x = b.relu6("features/0/relu6", b.batch_norm("features/0/bn", x));
  int64_t index = 1;
  for (const Stage& stage : stages) {
    for (int64_t i = 0; i < stage.blocks; ++i, ++index) {
      x = inverted_residual(b, fmt::format("features/{}", index), x, stage.channels,
                            i == 0 ? stage.stride : 1, stage.expansion);
    }
  }
  const std::string last = fmt::format("features/{}", index);
  x = b.conv(last + "/conv", x, {.out = widths.last, .kernel = 1});
  x = b.relu6(last + "/relu6", b.batch_norm(last + "/bn", x));
  b.classify(x);
}

constexpr Stage kImageNet[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                               {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
// Two halvings instead of five, and few wide maps, which is what training on a CPU pays for.
constexpr Stage kCifar[] = {{1, 16, 1, 1}, {4, 24, 2, 2}, {4, 32, 2, 1}, {6, 64, 3, 2}, {6, 96, 2, 1}};

}  // namespace

void mobilenet_v2(Builder& b) {
  inverted_residuals(b, {.first = 32, .first_stride = 2, .last = 1280}, kImageNet);
}
void mobilenet_v2_cifar(Builder& b) {
  inverted_residuals(b, {.first = 16, .first_stride = 1, .last = 256}, kCifar);
}

}  // namespace kvant::zoo
