// SPDX-License-Identifier: Apache-2.0
// ResNet v1 and v2 layer by layer as keras.applications 2.8 builds them, with its names. The classifier's
// softmax is left out (there: classifier_activation=None). v1: He et al. 2015, with a bias in every
// convolution; v2: He et al., "Identity Mappings in Deep Residual Networks" (2016), with the stride in the
// last block of a stage.
#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

constexpr BatchNorm kBatchNorm{.epsilon = 1.001e-5f, .momentum = 0.99f};
const Head kHead{"avg_pool", "avg_pool/Flatten", "predictions"};

ValueId stem(Builder& b, bool normalized) {
  ValueId x = b.zero_pad("conv1_pad", b.input(), 3, 3, 3, 3);
  x = b.conv("conv1_conv", x, {.out = 64, .kernel = 7, .stride = 2, .bias = true, .padding = Padding::Valid});
  if (normalized) x = b.relu("conv1_relu", b.batch_norm("conv1_bn", x));
  return b.max_pool("pool1_pool", b.zero_pad("pool1_pad", x, 1, 1, 1, 1), {.kernel = 3, .stride = 2});
}

// 1x1 with the stride, 3x3, 1x1; the first block of a stage projects its shortcut.
ValueId block_v1(Builder& b, const std::string& p, ValueId x, int64_t filters, int64_t stride, bool project) {
  ValueId shortcut = x;
  if (project) {
    shortcut = b.conv(p + "_0_conv", x, {.out = 4 * filters, .kernel = 1, .stride = stride, .bias = true});
    shortcut = b.batch_norm(p + "_0_bn", shortcut);
  }
  ValueId y = b.conv(p + "_1_conv", x, {.out = filters, .kernel = 1, .stride = stride, .bias = true});
  y = b.relu(p + "_1_relu", b.batch_norm(p + "_1_bn", y));
  y = b.conv(p + "_2_conv", y, {.out = filters, .bias = true, .padding = Padding::Same});
  y = b.relu(p + "_2_relu", b.batch_norm(p + "_2_bn", y));
  y = b.conv(p + "_3_conv", y, {.out = 4 * filters, .kernel = 1, .bias = true});
  return b.relu(p + "_out", b.add(p + "_add", shortcut, b.batch_norm(p + "_3_bn", y)));
}

// Normalized before the convolutions; the shortcut of a block with a stride is a max pool of one element,
// named by its number among those.
ValueId block_v2(Builder& b, const std::string& p, ValueId x, int64_t filters, int64_t stride, bool project,
                 const std::string& pool) {
  const ValueId active = b.relu(p + "_preact_relu", b.batch_norm(p + "_preact_bn", x));
  ValueId shortcut = x;
  if (project) {
    shortcut =
        b.conv(p + "_0_conv", active, {.out = 4 * filters, .kernel = 1, .stride = stride, .bias = true});
  } else if (stride > 1) {
    shortcut = b.max_pool(pool, x, {.kernel = 1, .stride = stride});
  }
  ValueId y = b.conv(p + "_1_conv", active, {.out = filters, .kernel = 1});
  y = b.relu(p + "_1_relu", b.batch_norm(p + "_1_bn", y));
  y = b.zero_pad(p + "_2_pad", y, 1, 1, 1, 1);
  y = b.conv(p + "_2_conv", y, {.out = filters, .stride = stride, .padding = Padding::Valid});
  y = b.relu(p + "_2_relu", b.batch_norm(p + "_2_bn", y));
  y = b.conv(p + "_3_conv", y, {.out = 4 * filters, .kernel = 1, .bias = true});
  return b.add(p + "_out", shortcut, y);
}

// `third`: blocks of the third stage, 6 in ResNet-50 and 23 in ResNet-101.
void resnet(Builder& b, int version, int64_t third) {
  b.set_batch_norm(kBatchNorm);
  ValueId x = stem(b, version == 1);
  const int64_t blocks[] = {3, 4, third, 3};
  for (int64_t stage = 0; stage < 4; ++stage) {
    const int64_t filters = int64_t{64} << stage;
    for (int64_t i = 0; i < blocks[stage]; ++i) {
      const std::string p = fmt::format("conv{}_block{}", stage + 2, i + 1);
      if (version == 1) {
        x = block_v1(b, p, x, filters, stage > 0 && i == 0 ? 2 : 1, i == 0);
      } else {
        const bool strided = i + 1 == blocks[stage] && stage < 3;
        const std::string pool = stage == 0 ? "max_pooling2d" : fmt::format("max_pooling2d_{}", stage);
        x = block_v2(b, p, x, filters, strided ? 2 : 1, i == 0, pool);
      }
    }
  }
  if (version == 2) x = b.relu("post_relu", b.batch_norm("post_bn", x));
  b.classify(x, kHead);
}

}  // namespace

void keras_resnet50_v1(Builder& b) { resnet(b, 1, 6); }
void keras_resnet50_v2(Builder& b) { resnet(b, 2, 6); }
void keras_resnet101_v1(Builder& b) { resnet(b, 1, 23); }
void keras_resnet101_v2(Builder& b) { resnet(b, 2, 23); }

}  // namespace kvant::zoo
