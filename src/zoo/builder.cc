// SPDX-License-Identifier: Apache-2.0
#include "zoo/builder.h"

#include <cmath>
#include <limits>

namespace kvant::zoo {

using ir::ValueId;
using Ints = std::vector<int64_t>;

Builder::Builder(std::string_view name, int64_t channels, int64_t height, int64_t width, int64_t classes,
                 uint64_t seed)
    : random_(seed), channels_(channels), classes_(classes) {
  graph_.name = name;
  graph_.add_input("input", {DType::Float32, Shape{kUnknownDim, channels, height, width}}, {"N", "", "", ""});
}

Tensor Builder::normal(Shape shape, double deviation) {
  Tensor result(DType::Float32, std::move(shape));
  for (float& value : result.mutable_data<float>()) value = static_cast<float>(random_.normal() * deviation);
  return result;
}

ValueId Builder::conv(const std::string& name, ValueId x, const Conv& c) {
  const int64_t fan_in = c.in / c.groups * c.kernel * c.kernel;
  Tensor weight =
      normal({c.out, c.in / c.groups, c.kernel, c.kernel}, std::sqrt(2.0 / static_cast<double>(fan_in)));
  std::vector<ValueId> inputs{x, graph_.add_constant(name + "/weight", std::move(weight))};
  if (c.bias) inputs.push_back(graph_.add_constant(name + "/bias", Tensor::full({c.out}, 0.0f)));
  const int64_t pad = c.kernel / 2;
  return graph_.add("Conv", name, std::move(inputs),
                    {{"dilations", Ints{1, 1}},
                     {"group", c.groups},
                     {"kernel_shape", Ints{c.kernel, c.kernel}},
                     {"pads", Ints{pad, pad, pad, pad}},
                     {"strides", Ints{c.stride, c.stride}}});
}

ValueId Builder::batch_norm(const std::string& name, ValueId x, int64_t channels) {
  const ValueId scale = graph_.add_constant(name + "/scale", Tensor::full({channels}, 1.0f));
  const ValueId bias = graph_.add_constant(name + "/bias", Tensor::full({channels}, 0.0f));
  const ValueId mean = graph_.add_constant(name + "/mean", Tensor::full({channels}, 0.0f));
  const ValueId var = graph_.add_constant(name + "/var", Tensor::full({channels}, 1.0f));
  return graph_.add("BatchNormalization", name, {x, scale, bias, mean, var},
                    {{"epsilon", 1e-5f}, {"momentum", 0.9f}});
}

ValueId Builder::relu6(const std::string& name, ValueId x) {
  const ValueId low = graph_.add_constant(name + "/min", Tensor::scalar<float>(0.0f));
  const ValueId high = graph_.add_constant(name + "/max", Tensor::scalar<float>(6.0f));
  return graph_.add("Clip", name, {x, low, high});
}

ValueId Builder::subsample_and_pad(const std::string& name, ValueId x, int64_t channels_before,
                                   int64_t channels_after) {
  const auto ints = [&](const char* suffix, Ints values) {
    return graph_.add_constant(name + suffix, Tensor::vector<int64_t>(values));
  };
  const int64_t end = std::numeric_limits<int64_t>::max();
  const ValueId rows = graph_.add(
      "Slice", name + "/slice",
      {x, ints("/starts", {0, 0}), ints("/ends", {end, end}), ints("/axes", {2, 3}), ints("/steps", {2, 2})});
  return graph_.add("Pad", name + "/pad",
                    {rows, ints("/pads", {0, channels_before, 0, 0, 0, channels_after, 0, 0})});
}

ValueId Builder::max_pool(const std::string& name, ValueId x, int64_t kernel, int64_t stride, int64_t pad) {
  return graph_.add("MaxPool", name, {x},
                    {{"kernel_shape", Ints{kernel, kernel}},
                     {"pads", Ints{pad, pad, pad, pad}},
                     {"strides", Ints{stride, stride}}});
}

void Builder::classify(ValueId x, int64_t channels) {
  const ValueId pooled = graph_.add("GlobalAveragePool", "avgpool", {x});
  const ValueId flat = graph_.add("Flatten", "flatten", {pooled}, {{"axis", int64_t{1}}});
  const float bound = 1.0f / std::sqrt(static_cast<float>(channels));
  Tensor weight(DType::Float32, {classes_, channels});
  for (float& value : weight.mutable_data<float>()) value = random_.uniform(-bound, bound);
  const ValueId w = graph_.add_constant("fc/weight", std::move(weight));
  const ValueId b = graph_.add_constant("fc/bias", Tensor::full({classes_}, 0.0f));
  const ir::NodeId fc = graph_.add_node("Gemm", "fc", {flat, w, b}, {"logits"}, {{"transB", int64_t{1}}});
  const ValueId logits = graph_.node(fc).outputs[0];
  graph_.add_output(logits);
  graph_.set_type(logits, {DType::Float32, Shape{kUnknownDim, classes_}});
  graph_.set_dim_names(logits, {"N", ""});
}

}  // namespace kvant::zoo
