// SPDX-License-Identifier: Apache-2.0
#include "zoo/builder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/ops.h"

namespace kvant::zoo {

using ir::ValueId;
using Ints = std::vector<int64_t>;

Builder::Builder(std::string_view name, const Shape& input, int64_t classes, const Options& options)
    : inference_(graph_, ops::standard()),
      random_(options.seed),
      random_weights_(options.random_weights),
      classes_(classes) {
  graph_.name = name;
  graph_.add_input("input", {DType::Float32, Shape{kUnknownDim, input[0], input[1], input[2]}},
                   {"N", "", "", ""});
}

Tensor Builder::zeros(Shape shape) {
  const int64_t count = element_count(shape);
  if (zeros_.size() < count) zeros_ = Tensor(DType::Float32, {count});
  const auto owner = std::make_shared<Tensor>(zeros_);
  return Tensor(DType::Float32, std::move(shape), std::shared_ptr<const std::byte>(owner, owner->raw()));
}

Tensor Builder::normal(Shape shape, double deviation) {
  if (!random_weights_) return zeros(std::move(shape));
  Tensor result(DType::Float32, std::move(shape));
  for (float& value : result.mutable_data<float>()) value = static_cast<float>(random_.normal() * deviation);
  return result;
}

Tensor Builder::uniform(Shape shape, float bound) {
  if (!random_weights_) return zeros(std::move(shape));
  Tensor result(DType::Float32, std::move(shape));
  for (float& value : result.mutable_data<float>()) value = random_.uniform(-bound, bound);
  return result;
}

ValueId Builder::node(const char* op, const std::string& name, std::vector<ValueId> inputs,
                      ir::Attributes attributes) {
  const ValueId y = graph_.add(op, name, std::move(inputs), std::move(attributes));
  noting([&] { return fmt::format("at {}", name); }, [&] { inference_.infer(graph_.value(y).producer); });
  return y;
}

// Rows or columns of zeros before and after an input of `size` elements.
std::pair<int64_t, int64_t> padding_of(Padding padding, int64_t size, int64_t kernel, int64_t stride) {
  if (padding == Padding::Valid) return {0, 0};
  if (padding == Padding::Half) return {kernel / 2, kernel / 2};
  const int64_t output = (size + stride - 1) / stride;
  const int64_t total = std::max<int64_t>((output - 1) * stride + kernel - size, 0);
  return {total / 2, total - total / 2};
}

ir::Attributes Builder::window(ValueId x, int64_t height, int64_t width, int64_t stride,
                               Padding padding) const {
  const Shape& in = shape(x);
  const auto [top, bottom] = padding_of(padding, in.at(2), height, stride);
  const auto [left, right] = padding_of(padding, in.at(3), width, stride);
  return {{"kernel_shape", Ints{height, width}},
          {"pads", Ints{top, left, bottom, right}},
          {"strides", Ints{stride, stride}}};
}

ValueId Builder::conv(const std::string& name, ValueId x, const Conv& c) {
  const int64_t width = c.kernel_w == 0 ? c.kernel : c.kernel_w;
  const int64_t in = channels(x) / c.groups;
  const double fan_in = static_cast<double>(in * c.kernel * width);
  std::vector<ValueId> inputs{
      x, constant(name + "/weight", normal({c.out, in, c.kernel, width}, std::sqrt(2.0 / fan_in)))};
  if (c.bias) inputs.push_back(constant(name + "/bias", Tensor::full({c.out}, 0.0f)));
  ir::Attributes attributes = window(x, c.kernel, width, c.stride, c.padding);
  attributes.set("dilations", Ints{1, 1});
  attributes.set("group", c.groups);
  return node("Conv", name, std::move(inputs), std::move(attributes));
}

ValueId Builder::depthwise(const std::string& name, ValueId x, int64_t kernel, int64_t stride,
                           Padding padding) {
  const int64_t channels_in = channels(x);
  return conv(
      name, x,
      {.out = channels_in, .kernel = kernel, .stride = stride, .groups = channels_in, .padding = padding});
}

ValueId Builder::batch_norm(const std::string& name, ValueId x) {
  const Shape shape{channels(x)};
  const ValueId scale = constant(name + "/scale", Tensor::full(shape, 1.0f));
  const ValueId bias = constant(name + "/bias", Tensor::full(shape, 0.0f));
  const ValueId mean = constant(name + "/mean", Tensor::full(shape, 0.0f));
  const ValueId var = constant(name + "/var", Tensor::full(shape, 1.0f));
  return node("BatchNormalization", name, {x, scale, bias, mean, var},
              {{"epsilon", batch_norm_.epsilon}, {"momentum", batch_norm_.momentum}});
}

ValueId Builder::relu6(const std::string& name, ValueId x) {
  const ValueId low = constant(name + "/min", Tensor::scalar<float>(0.0f));
  const ValueId high = constant(name + "/max", Tensor::scalar<float>(6.0f));
  return node("Clip", name, {x, low, high});
}

ValueId Builder::swish(const std::string& name, const std::string& sigmoid_name, ValueId x) {
  return node("Mul", name, {x, node("Sigmoid", sigmoid_name, {x})});
}

ValueId Builder::concat(const std::string& name, std::vector<ValueId> parts, int64_t axis) {
  return node("Concat", name, std::move(parts), {{"axis", axis}});
}

std::vector<ValueId> Builder::split_node(const std::string& name, std::vector<ValueId> inputs, int64_t parts,
                                         ir::Attributes attributes) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < parts; ++i) names.push_back(fmt::format("{}/{}", name, i));
  const ir::NodeId id =
      graph_.add_node("Split", name, std::move(inputs), std::move(names), std::move(attributes));
  inference_.infer(id);
  return graph_.node(id).outputs;
}

std::vector<ValueId> Builder::split(const std::string& name, ValueId x, int64_t parts, int64_t axis) {
  return split_node(name, {x}, parts, {{"axis", axis}, {"num_outputs", parts}});
}

std::vector<ValueId> Builder::split(const std::string& name, ValueId x, const Ints& sizes, int64_t axis) {
  return split_node(name, {x, integers(name + "/sizes", sizes)}, static_cast<int64_t>(sizes.size()),
                    {{"axis", axis}});
}

ValueId Builder::reshape(const std::string& name, ValueId x, Ints shape) {
  return node("Reshape", name, {x, integers(name + "/shape", shape)});
}

ValueId Builder::transpose(const std::string& name, ValueId x, Ints permutation) {
  return node("Transpose", name, {x}, {{"perm", std::move(permutation)}});
}

ValueId Builder::zero_pad(const std::string& name, ValueId x, int64_t top, int64_t left, int64_t bottom,
                          int64_t right) {
  return node("Pad", name, {x, integers(name + "/pads", {0, 0, top, left, 0, 0, bottom, right})});
}

ValueId Builder::subsample_and_pad(const std::string& name, ValueId x, int64_t channels_before,
                                   int64_t channels_after) {
  const auto ints = [&](const char* suffix, const Ints& values) { return integers(name + suffix, values); };
  const int64_t end = std::numeric_limits<int64_t>::max();
  const ValueId rows = node(
      "Slice", name + "/slice",
      {x, ints("/starts", {0, 0}), ints("/ends", {end, end}), ints("/axes", {2, 3}), ints("/steps", {2, 2})});
  return node("Pad", name + "/pad",
              {rows, ints("/pads", {0, channels_before, 0, 0, 0, channels_after, 0, 0})});
}

ValueId Builder::max_pool(const std::string& name, ValueId x, const Pool& pool) {
  ir::Attributes attributes = window(x, pool.kernel, pool.kernel, pool.stride, pool.padding);
  if (pool.ceil) attributes.set("ceil_mode", int64_t{1});
  return node("MaxPool", name, {x}, std::move(attributes));
}

ValueId Builder::average_pool(const std::string& name, ValueId x, const Pool& pool) {
  ir::Attributes attributes = window(x, pool.kernel, pool.kernel, pool.stride, pool.padding);
  attributes.set("count_include_pad", int64_t{0});
  return node("AveragePool", name, {x}, std::move(attributes));
}

ValueId Builder::layer_norm(const std::string& name, ValueId x, float epsilon) {
  const Shape last{shape(x).back()};
  const ValueId scale = constant(name + "/scale", Tensor::full(last, 1.0f));
  const ValueId bias = constant(name + "/bias", Tensor::full(last, 0.0f));
  return node("LayerNormalization", name, {x, scale, bias}, {{"axis", int64_t{-1}}, {"epsilon", epsilon}});
}

ValueId Builder::linear(const std::string& name, ValueId x, int64_t out) {
  const ValueId weight = embedding(name + "/weight", {shape(x).back(), out}, 0.02);
  const ValueId bias = constant(name + "/bias", Tensor::full({out}, 0.0f));
  return add(name + "/bias_add", node("MatMul", name, {x, weight}), bias);
}

ValueId Builder::embedding(const std::string& name, Shape shape, double deviation) {
  return constant(name, normal(std::move(shape), deviation));
}

void Builder::classify(ValueId x, const Head& names) {
  const ValueId pooled = global_average_pool(names.pool, x);
  classify_features(node("Flatten", names.flatten, {pooled}, {{"axis", int64_t{1}}}), names.linear);
}

void Builder::classify_features(ValueId x, const std::string& name) {
  const int64_t in = shape(x).at(1);
  const ValueId weight =
      constant(name + "/weight", uniform({classes_, in}, 1.0f / std::sqrt(static_cast<float>(in))));
  const ValueId bias = constant(name + "/bias", Tensor::full({classes_}, 0.0f));
  finish(node("Gemm", name, {x, weight, bias}, {{"transB", int64_t{1}}}));
}

void Builder::add_output(ValueId x, std::string_view name, Shape shape) {
  std::vector<std::string> names(shape.size());
  names[0] = "N";
  shape[0] = kUnknownDim;
  graph_.rename_value(x, std::string(name));
  graph_.add_output(x);
  graph_.set_type(x, {DType::Float32, std::move(shape)});
  graph_.set_dim_names(x, names);
}

void Builder::finish(ValueId x) { add_output(x, "logits", {kUnknownDim, classes_}); }
void Builder::finish_detections(ValueId x) { add_output(x, "predictions", shape(x)); }

}  // namespace kvant::zoo
