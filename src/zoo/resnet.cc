// SPDX-License-Identifier: Apache-2.0
// Residual networks: He et al., "Deep Residual Learning for Image Recognition" (2015), as PyTorch's libraries
// build them, and the small one of MLPerf Tiny.
#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

enum class Shortcut { PadA, ProjectB };

// x -> conv -> bn -> relu -> conv -> bn -> (+ shortcut) -> relu
ValueId basic_block(Builder& b, const std::string& scope, ValueId x, int64_t out, int64_t stride,
                    Shortcut kind) {
  const int64_t in = b.channels(x);
  ValueId y = b.conv(scope + "/conv1", x, {.out = out, .stride = stride});
  y = b.relu(scope + "/relu1", b.batch_norm(scope + "/bn1", y));
  y = b.conv(scope + "/conv2", y, {.out = out});
  y = b.batch_norm(scope + "/bn2", y);
  ValueId shortcut = x;
  if (stride != 1 || in != out) {
    if (kind == Shortcut::PadA) {
      const int64_t before = (out - in) / 2;
      shortcut = b.subsample_and_pad(scope + "/shortcut", x, before, out - in - before);
    } else {
      shortcut = b.conv(scope + "/shortcut/conv", x, {.out = out, .kernel = 1, .stride = stride});
      shortcut = b.batch_norm(scope + "/shortcut/bn", shortcut);
    }
  }
  return b.relu(scope + "/relu2", b.add(scope + "/add", y, shortcut));
}

// CIFAR style: 6n + 2 layers.
void cifar_resnet(Builder& b, int64_t blocks, Shortcut kind) {
  ValueId x = b.conv("conv1", b.input(), {.out = 16});
  x = b.relu("relu1", b.batch_norm("bn1", x));
  for (int64_t stage = 0; stage < 3; ++stage) {
    for (int64_t i = 0; i < blocks; ++i) {
      const std::string scope = fmt::format("layer{}/{}", stage + 1, i);
      x = basic_block(b, scope, x, int64_t{16} << stage, stage > 0 && i == 0 ? 2 : 1, kind);
    }
  }
  b.classify(x);
}

// 1x1 reduce, 3x3, 1x1 expand; `stride_first`: the stride is in the first 1x1 (v1), else in the 3x3 (v1.5).
ValueId bottleneck(Builder& b, const std::string& scope, ValueId x, int64_t middle, int64_t stride,
                   bool stride_first) {
  const int64_t out = 4 * middle;
  ValueId y = b.conv(scope + "/conv1", x, {.out = middle, .kernel = 1, .stride = stride_first ? stride : 1});
  y = b.relu(scope + "/relu1", b.batch_norm(scope + "/bn1", y));
  y = b.conv(scope + "/conv2", y, {.out = middle, .stride = stride_first ? 1 : stride});
  y = b.relu(scope + "/relu2", b.batch_norm(scope + "/bn2", y));
  y = b.conv(scope + "/conv3", y, {.out = out, .kernel = 1});
  y = b.batch_norm(scope + "/bn3", y);
  ValueId shortcut = x;
  if (b.channels(x) != out || stride != 1) {
    shortcut = b.conv(scope + "/downsample/conv", x, {.out = out, .kernel = 1, .stride = stride});
    shortcut = b.batch_norm(scope + "/downsample/bn", shortcut);
  }
  return b.relu(scope + "/relu3", b.add(scope + "/add", y, shortcut));
}

// `third`: blocks of the third stage, 6 in ResNet-50 and 23 in ResNet-101.
void bottleneck_resnet(Builder& b, int64_t third, bool stride_first) {
  ValueId x = b.conv("conv1", b.input(), {.out = 64, .kernel = 7, .stride = 2});
  x = b.relu("relu1", b.batch_norm("bn1", x));
  x = b.max_pool("maxpool", x, {.kernel = 3, .stride = 2, .padding = Padding::Half});
  const int64_t blocks[] = {3, 4, third, 3};
  for (int64_t stage = 0; stage < 4; ++stage) {
    for (int64_t i = 0; i < blocks[stage]; ++i) {
      const std::string scope = fmt::format("layer{}/{}", stage + 1, i);
      x = bottleneck(b, scope, x, int64_t{64} << stage, stage > 0 && i == 0 ? 2 : 1, stride_first);
    }
  }
  b.classify(x);
}

}  // namespace

// As github.com/mlcommons/tiny describes it: convolutions have a bias, the projections no batch norm.
void resnet8(Builder& b) {
  ValueId x = b.conv("conv1", b.input(), {.out = 16, .bias = true});
  x = b.relu("relu1", b.batch_norm("bn1", x));
  for (int64_t stage = 0; stage < 3; ++stage) {
    const int64_t out = int64_t{16} << stage;
    const int64_t stride = stage > 0 ? 2 : 1;
    const std::string scope = fmt::format("layer{}/0", stage + 1);
    ValueId y = b.conv(scope + "/conv1", x, {.out = out, .stride = stride, .bias = true});
    y = b.relu(scope + "/relu1", b.batch_norm(scope + "/bn1", y));
    y = b.conv(scope + "/conv2", y, {.out = out, .bias = true});
    y = b.batch_norm(scope + "/bn2", y);
    ValueId shortcut = x;
    if (stride != 1) {
      shortcut =
          b.conv(scope + "/shortcut/conv", x, {.out = out, .kernel = 1, .stride = stride, .bias = true});
    }
    x = b.relu(scope + "/relu2", b.add(scope + "/add", y, shortcut));
  }
  b.classify(x);
}

void resnet20(Builder& b) { cifar_resnet(b, 3, Shortcut::PadA); }
void resnet20_b(Builder& b) { cifar_resnet(b, 3, Shortcut::ProjectB); }
void resnet50_v1(Builder& b) { bottleneck_resnet(b, 6, true); }
void resnet50_v1_5(Builder& b) { bottleneck_resnet(b, 6, false); }
void resnet101_v1_5(Builder& b) { bottleneck_resnet(b, 23, false); }

}  // namespace kvant::zoo
