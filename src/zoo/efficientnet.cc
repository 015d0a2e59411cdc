// SPDX-License-Identifier: Apache-2.0
// EfficientNet: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"
// (2019), in the forms of keras.applications 2.8, of TensorFlow's official models and of the Lite networks,
// and a small one for 32x32 images.
#include <algorithm>
#include <cmath>
#include <span>

#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

// Whose names, padding and input scaling.
enum class Form { Keras, Official, Lite, Cifar };

struct ScaledStage {
  int64_t channels, kernel, blocks, expansion, stride;
};

struct Scaling {
  Form form;
  double width = 1.0, depth = 1.0;
};

constexpr ScaledStage kStages[] = {{16, 3, 1, 1, 1},  {24, 3, 2, 6, 2},  {40, 5, 2, 6, 2}, {80, 3, 3, 6, 2},
                                   {112, 5, 3, 6, 1}, {192, 5, 4, 6, 2}, {320, 3, 1, 6, 1}};
constexpr ScaledStage kCifarStages[] = {
    {16, 3, 1, 1, 1}, {24, 3, 2, 4, 2}, {40, 5, 2, 4, 2}, {64, 3, 2, 4, 1}, {96, 5, 2, 4, 1}};

// Channels scaled by `width`, as a multiple of 8 that loses less than a tenth.
int64_t scaled(int64_t channels, double width) {
  const double wanted = static_cast<double>(channels) * width;
  const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(wanted + 4.0) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * wanted ? rounded + 8 : rounded;
}

struct LayerNames {
  std::string conv, bn, activation;
};

class EfficientNet {
 public:
  EfficientNet(Builder& b, const Scaling& scaling) : b_(b), form_(scaling.form), scaling_(scaling) {}

  void build(std::span<const ScaledStage> stages, int64_t first, int64_t first_stride, int64_t last) {
    if (form_ != Form::Cifar) b_.set_batch_norm({.epsilon = 1e-3f, .momentum = 0.99f});
    ValueId x = conv_block("", "stem", normalized_input(), {.out = first, .stride = first_stride});
    int64_t index = 0;
    for (size_t stage = 0; stage < stages.size(); ++stage) {
      const ScaledStage& s = stages[stage];
      const auto blocks = static_cast<int64_t>(std::ceil(scaling_.depth * static_cast<double>(s.blocks)));
      for (int64_t i = 0; i < blocks; ++i, ++index) {
        x = block(prefix(stage, i, index), x, s, i == 0 ? s.stride : 1);
      }
    }
    x = conv_block("", "top", x, {.out = last, .kernel = 1});
    b_.classify(x, head());
  }

 private:
  bool keras() const { return form_ == Form::Keras; }
  bool official() const { return form_ == Form::Official; }

  std::string prefix(size_t stage, int64_t block, int64_t index) const {
    if (keras()) return fmt::format("block{}{}_", stage + 1, static_cast<char>('a' + block));
    if (official()) return fmt::format("stack_{}/block_{}/", stage, block);
    return fmt::format("blocks/{}/", index);
  }

  LayerNames names(const std::string& prefix, const std::string& role) const {
    const std::string p = prefix + role;
    if (official()) return {p + "_conv2d", p + "_bn", p + "_activation"};
    if (!keras()) return {p + "/conv", p + "/bn", p + "/" + (form_ == Form::Lite ? "relu6" : "silu")};
    if (role == "depthwise") return {prefix + "dwconv", prefix + "bn", prefix + "activation"};
    return {p + "_conv", p + "_bn", p + "_activation"};
  }

  Head head() const {
    if (keras()) return {"avg_pool", "avg_pool/Flatten", "predictions"};
    if (official()) return {"top_pool", "top_pool/Flatten", "logits"};
    return {};
  }

  // Both TensorFlow forms take pixels of 0 to 255 and normalize them in the network.
  ValueId normalized_input() {
    const ValueId x = b_.input();
    const int64_t channels = b_.channels(x);
    const auto per_channel = [&](const char* name, const float(&rgb)[3]) {
      Tensor values(DType::Float32, {channels, 1, 1});
      const std::span<float> out = values.mutable_data<float>();
      for (size_t c = 0; c < out.size(); ++c) out[c] = rgb[c % 3];
      return b_.constant(name, std::move(values));
    };
    if (keras()) {
      const ValueId factor = b_.constant("rescaling/scale", Tensor::scalar<float>(1.0f / 255.0f));
      const ValueId y = b_.node("Mul", "rescaling", {x, factor});
      const ValueId centred = b_.node("Sub", "normalization/sub",
                                      {y, per_channel("normalization/mean", {0.485f, 0.456f, 0.406f})});
      return b_.node("Div", "normalization",
                     {centred, per_channel("normalization/deviation", {0.229f, 0.224f, 0.225f})});
    }
    if (official()) {
      const ValueId centred =
          b_.node("Sub", "normalize_sub",
                  {x, per_channel("normalize_sub/mean", {0.485f * 255, 0.456f * 255, 0.406f * 255})});
      return b_.node(
          "Div", "normalize_div",
          {centred, per_channel("normalize_div/deviation", {0.229f * 255, 0.224f * 255, 0.225f * 255})});
    }
    return x;
  }

  ValueId activate(const std::string& name, ValueId x) {
    return form_ == Form::Lite ? b_.relu6(name, x) : b_.swish(name, name + "/Sigmoid", x);
  }

  // Keras pads before a stride of 2 by a layer of its own, so that odd sizes lose no row.
  ValueId conv(const std::string& name, ValueId x, Conv c) {
    c.padding = form_ == Form::Cifar ? Padding::Half : Padding::Same;
    if (keras() && c.stride == 2) {
      const int64_t half = c.kernel / 2;
      const int64_t top = half - 1 + b_.shape(x).at(2) % 2;
      const int64_t left = half - 1 + b_.shape(x).at(3) % 2;
      x = b_.zero_pad(name + "_pad", x, top, left, half, half);
      c.padding = Padding::Valid;
    }
    return b_.conv(name, x, c);
  }

  ValueId conv_block(const std::string& prefix, const std::string& role, ValueId x, const Conv& c,
                     bool activated = true) {
    const LayerNames n = names(prefix, role);
    const ValueId y = b_.batch_norm(n.bn, conv(n.conv, x, c));
    return activated ? activate(n.activation, y) : y;
  }

  // Channels weighted by what two small layers make of their means (Hu et al. 2017).
  ValueId squeeze_excite(const std::string& p, ValueId x, int64_t reduced) {
    const int64_t channels = b_.channels(x);
    const ValueId squeezed = b_.global_average_pool(p + "se_squeeze", x);
    if (keras()) {
      ValueId gate = b_.conv(p + "se_reduce", squeezed, {.out = reduced, .kernel = 1, .bias = true});
      gate = b_.swish(p + "se_reduce/Mul", p + "se_reduce/Sigmoid", gate);
      gate = b_.conv(p + "se_expand", gate, {.out = channels, .kernel = 1, .bias = true});
      return b_.node("Mul", p + "se_excite", {x, b_.node("Sigmoid", p + "se_expand/Sigmoid", {gate})});
    }
    const LayerNames reduce = names(p, "se_reduce"), expand = names(p, "se_expand");
    ValueId gate = b_.conv(reduce.conv, squeezed, {.out = reduced, .kernel = 1, .bias = true});
    gate = b_.swish(reduce.activation, reduce.activation + "/Sigmoid", gate);
    gate = b_.conv(expand.conv, gate, {.out = channels, .kernel = 1, .bias = true});
    const std::string sigmoid = official() ? expand.activation : p + "se_expand/sigmoid";
    return b_.node("Mul", p + "se_excite", {x, b_.node("Sigmoid", sigmoid, {gate})});
  }

  // [1x1 expand ->] depthwise -> [squeeze and excite ->] 1x1 project [+ x]
  ValueId block(const std::string& p, ValueId x, const ScaledStage& stage, int64_t stride) {
    const int64_t in = b_.channels(x);
    const int64_t out = scaled(stage.channels, scaling_.width);
    const int64_t wide = in * stage.expansion;
    ValueId y = x;
    if (stage.expansion != 1) y = conv_block(p, "expand", y, {.out = wide, .kernel = 1});
    y = conv_block(p, "depthwise", y,
                   {.out = wide, .kernel = stage.kernel, .stride = stride, .groups = wide});
    if (form_ != Form::Lite) y = squeeze_excite(p, y, std::max<int64_t>(1, in / 4));
    y = conv_block(p, "project", y, {.out = out, .kernel = 1}, false);
    return stride == 1 && in == out ? b_.add(p + "add", y, x) : y;
  }

  Builder& b_;
  Form form_;
  Scaling scaling_;
};

void image_net(Builder& b, const Scaling& s) {
  EfficientNet(b, s).build(kStages, scaled(32, s.width), 2, scaled(1280, s.width));
}

}  // namespace

void keras_efficientnet_b0(Builder& b) { image_net(b, {.form = Form::Keras}); }
void keras_efficientnet_b3(Builder& b) { image_net(b, {.form = Form::Keras, .width = 1.2, .depth = 1.4}); }
void tf_efficientnet_b0(Builder& b) { image_net(b, {.form = Form::Official}); }
void tf_efficientnet_b3(Builder& b) { image_net(b, {.form = Form::Official, .width = 1.2, .depth = 1.4}); }
void efficientnet_lite0(Builder& b) { image_net(b, {.form = Form::Lite}); }
void efficientnet_cifar(Builder& b) {
  EfficientNet(b, {.form = Form::Cifar}).build(kCifarStages, 16, 1, 320);
}

}  // namespace kvant::zoo
