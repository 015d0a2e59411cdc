// SPDX-License-Identifier: Apache-2.0
// SqueezeNet 1.1: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016), as
// torchvision builds it (its names; a number is the place in `features`).
#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

// 1x1 squeeze, then 1x1 and 3x3 side by side.
ValueId fire(Builder& b, int64_t index, ValueId x, int64_t squeezed, int64_t expanded) {
  const std::string p = fmt::format("features/{}/", index);
  x = b.relu(p + "squeeze_relu", b.conv(p + "squeeze", x, {.out = squeezed, .kernel = 1, .bias = true}));
  const ValueId one =
      b.relu(p + "expand1x1_relu", b.conv(p + "expand1x1", x, {.out = expanded, .kernel = 1, .bias = true}));
  const ValueId three =
      b.relu(p + "expand3x3_relu", b.conv(p + "expand3x3", x, {.out = expanded, .kernel = 3, .bias = true}));
  return b.concat(p + "concat", {one, three});
}

}  // namespace

void squeezenet1_1(Builder& b) {
  const auto pool = [&](const char* name, ValueId x) {
    return b.max_pool(name, x, {.kernel = 3, .stride = 2, .ceil = true});
  };
  ValueId x =
      b.conv("features/0", b.input(), {.out = 64, .stride = 2, .bias = true, .padding = Padding::Valid});
  x = pool("features/2", b.relu("features/1", x));
  x = fire(b, 4, fire(b, 3, x, 16, 64), 16, 64);
  x = pool("features/5", x);
  x = fire(b, 7, fire(b, 6, x, 32, 128), 32, 128);
  x = pool("features/8", x);
  x = fire(b, 10, fire(b, 9, x, 48, 192), 48, 192);
  x = fire(b, 12, fire(b, 11, x, 64, 256), 64, 256);
  x = b.conv("classifier/1", x, {.out = b.classes(), .kernel = 1, .bias = true});
  x = b.global_average_pool("classifier/3", b.relu("classifier/2", x));
  b.finish(b.node("Flatten", "flatten", {x}, {{"axis", int64_t{1}}}));
}

}  // namespace kvant::zoo
