// SPDX-License-Identifier: Apache-2.0
// Inception v3 (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015), layer by
// layer as keras.applications 2.8 builds it; layers without a name there are numbered as Keras numbers them.
// Its batch norms have no scale: here it is one. The classifier's softmax is left out (there:
// classifier_activation=None).
#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

struct Unit {
  int64_t out, height, width;
  Padding padding = Padding::Same;
  int64_t stride = 1;
};

class Inception {
 public:
  explicit Inception(Builder& b) : b_(b) {}

  void build() {
    b_.set_batch_norm({.epsilon = 1e-3f, .momentum = 0.99f});
    ValueId x = units(b_.input(), {{32, 3, 3, Padding::Valid, 2}, {32, 3, 3, Padding::Valid}, {64, 3, 3}});
    x = units(max_pool(x), {{80, 1, 1, Padding::Valid}, {192, 3, 3, Padding::Valid}});
    x = max_pool(x);
    for (const int64_t pooled : {32, 64, 64}) x = narrow(x, pooled);
    x = reduce_to_17(x);
    for (const int64_t middle : {128, 160, 160, 192}) x = factorized(x, middle);
    x = reduce_to_8(x);
    for (int i = 0; i < 2; ++i) x = wide(x, i);
    b_.classify(x, {"avg_pool", "avg_pool/Flatten", "predictions"});
  }

 private:
  // "conv2d", "conv2d_1", ...
  static std::string numbered(const char* stem, int number) {
    return number == 0 ? stem : fmt::format("{}_{}", stem, number);
  }

  ValueId units(ValueId x, std::initializer_list<Unit> chain) {
    for (const Unit& u : chain) {
      x = b_.conv(
          numbered("conv2d", units_), x,
          {.out = u.out, .kernel = u.height, .stride = u.stride, .padding = u.padding, .kernel_w = u.width});
      x = b_.batch_norm(numbered("batch_normalization", units_), x);
      x = b_.relu(numbered("activation", units_), x);
      ++units_;
    }
    return x;
  }
  ValueId max_pool(ValueId x) {
    return b_.max_pool(numbered("max_pooling2d", max_pools_++), x, {.kernel = 3, .stride = 2});
  }
  ValueId average_pool(ValueId x) {
    return b_.average_pool(numbered("average_pooling2d", average_pools_++), x,
                           {.kernel = 3, .stride = 1, .padding = Padding::Same});
  }
  ValueId mixed(std::vector<ValueId> branches) {
    return b_.concat(fmt::format("mixed{}", mixed_++), std::move(branches));
  }

  ValueId narrow(ValueId x, int64_t pooled) {
    const ValueId b1 = units(x, {{64, 1, 1}});
    const ValueId b5 = units(x, {{48, 1, 1}, {64, 5, 5}});
    const ValueId b3 = units(x, {{64, 1, 1}, {96, 3, 3}, {96, 3, 3}});
    const ValueId bp = units(average_pool(x), {{pooled, 1, 1}});
    return mixed({b1, b5, b3, bp});
  }
  ValueId reduce_to_17(ValueId x) {
    const ValueId b3 = units(x, {{384, 3, 3, Padding::Valid, 2}});
    const ValueId bd = units(x, {{64, 1, 1}, {96, 3, 3}, {96, 3, 3, Padding::Valid, 2}});
    return mixed({b3, bd, max_pool(x)});
  }
  ValueId factorized(ValueId x, int64_t m) {
    const ValueId b1 = units(x, {{192, 1, 1}});
    const ValueId b7 = units(x, {{m, 1, 1}, {m, 1, 7}, {192, 7, 1}});
    const ValueId bd = units(x, {{m, 1, 1}, {m, 7, 1}, {m, 1, 7}, {m, 7, 1}, {192, 1, 7}});
    const ValueId bp = units(average_pool(x), {{192, 1, 1}});
    return mixed({b1, b7, bd, bp});
  }
  ValueId reduce_to_8(ValueId x) {
    const ValueId b3 = units(x, {{192, 1, 1}, {320, 3, 3, Padding::Valid, 2}});
    const ValueId b7 = units(x, {{192, 1, 1}, {192, 1, 7}, {192, 7, 1}, {192, 3, 3, Padding::Valid, 2}});
    return mixed({b3, b7, max_pool(x)});
  }
  ValueId wide(ValueId x, int i) {
    const ValueId b1 = units(x, {{320, 1, 1}});
    const ValueId base = units(x, {{384, 1, 1}});
    const ValueId row = units(base, {{384, 1, 3}});
    const ValueId column = units(base, {{384, 3, 1}});
    const ValueId b3 = b_.concat(fmt::format("mixed9_{}", i), {row, column});
    const ValueId deep = units(x, {{448, 1, 1}, {384, 3, 3}});
    const ValueId deep_row = units(deep, {{384, 1, 3}});
    const ValueId deep_column = units(deep, {{384, 3, 1}});
    const ValueId bd = b_.concat(numbered("concatenate", i), {deep_row, deep_column});
    const ValueId bp = units(average_pool(x), {{192, 1, 1}});
    return mixed({b1, b3, bd, bp});
  }

  Builder& b_;
  int units_ = 0, max_pools_ = 0, average_pools_ = 0, mixed_ = 0;
};

}  // namespace

void keras_inception_v3(Builder& b) { Inception(b).build(); }

}  // namespace kvant::zoo
