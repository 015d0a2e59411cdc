// SPDX-License-Identifier: Apache-2.0
// Float convolution and product with constant weights through oneDNN: ConvNhwc and Linear.
#include <omp.h>

#include <cstring>
#include <unordered_map>

#include "backends/cpu/onednn.h"
#include "backends/cpu/operands.h"
#include "tensor/activation.h"

namespace kvant::backends::cpu {
namespace {

using dnnl::memory;
constexpr int64_t kMaxWindow = 1 << 20;
constexpr size_t kWeight = 1, kBias = 2, kResidual = 3;

struct Window {
  memory::dims strides, dilations, before, after;
};

// What both operators become.
struct FloatDesc {
  memory::dims x, w, y;          // oneDNN's order of dimensions: N C H W, or M K
  memory::format_tag tag;        // of x, y and the residual in memory
  memory::format_tag w_tag;      // of the weights as ONNX has them
  std::optional<Window> window;  // absent: a product of matrices
  bool bias = false, residual = false;
  Activation activation = Activation::None;
  float alpha = 0, beta = 0;
};

std::vector<int64_t> numbers(const engine::NodeView& view, std::string_view name, size_t count, int64_t least,
                             std::vector<int64_t> fallback) {
  std::vector<int64_t> v = view.node.attributes.integers(name, std::move(fallback));
  require(view, v.size() == count, fmt::format("attribute {} has not {} numbers", name, count));
  for (const int64_t i : v)
    require(view, i >= least && i <= kMaxWindow, fmt::format("attribute {} is absurd", name));
  return v;
}

void describe_conv(const engine::NodeView& view, const Operands& operands, FloatDesc& d) {
  const Shape &x = operands.shape(0), &y = output_shape(view),
              &w = operands.required(kWeight, "the weight").shape();
  require(view, x.size() == 4 && w.size() == 4 && y.size() == 4, "x, w and y have rank 4");
  for (const Shape* shape : {&x, &y, &w}) {
    for (const int64_t dim : *shape)
      require(view, dim >= 1 && dim <= INT32_MAX, "a dimension is zero or absurd");
  }
  const int64_t group = view.node.attributes.integer("group", 1);
  require(view, group >= 1 && x[3] % group == 0 && w[0] % group == 0 && w[1] == x[3] / group,
          fmt::format("{} groups do not divide {} channels into {} outputs of {}", group, x[3], w[0], w[1]));
  const auto strides = numbers(view, "strides", 2, 1, {1, 1}),
             dilations = numbers(view, "dilations", 2, 1, {1, 1});
  const auto pads = numbers(view, "pads", 4, 0, {0, 0, 0, 0});
  const int64_t ho = (x[1] + pads[0] + pads[2] - dilations[0] * (w[2] - 1) - 1) / strides[0] + 1;
  const int64_t wo = (x[2] + pads[1] + pads[3] - dilations[1] * (w[3] - 1) - 1) / strides[1] + 1;
  require(view, y == Shape{x[0], ho, wo, w[0]}, "the result has not the convolution's shape");
  d.x = {x[0], x[3], x[1], x[2]};
  d.y = {y[0], y[3], y[1], y[2]};
  d.w =
      group == 1 ? memory::dims{w[0], w[1], w[2], w[3]} : memory::dims{group, w[0] / group, w[1], w[2], w[3]};
  d.tag = memory::format_tag::nhwc;
  d.w_tag = group == 1 ? memory::format_tag::oihw : memory::format_tag::goihw;
  d.window = Window{strides, {dilations[0] - 1, dilations[1] - 1}, {pads[0], pads[1]}, {pads[2], pads[3]}};
}

void describe_linear(const engine::NodeView& view, const Operands& operands, FloatDesc& d) {
  const Shape &x = operands.shape(0), &w = operands.required(kWeight, "the weight").shape();
  require(view,
          !x.empty() && w.size() == 2 && w[0] >= 1 && w[1] >= 1 && x.back() == w[1] && element_count(x) > 0,
          "x and w do not fit");
  Shape expected = x;
  expected.back() = w[0];
  require(view, output_shape(view) == expected, "the result has not the product's shape");
  const int64_t rows = element_count(x) / w[1];
  d.x = {rows, w[1]};
  d.w = {w[0], w[1]};
  d.y = {rows, w[0]};
  d.tag = d.w_tag = memory::format_tag::ab;
}

FloatDesc describe(const engine::NodeView& view, const Operands& operands) {
  FloatDesc d;
  for (const size_t i : {size_t{0}, kWeight, kBias, kResidual}) {
    require(view, !operands.has(i) || operands.dtype(i) == DType::Float32,
            fmt::format("input {} is not f32", i));
  }
  require(view, view.outputs.size() == 1 && view.outputs[0].dtype == DType::Float32, "the result is not f32");
  if (view.node.op == "Linear") {
    describe_linear(view, operands, d);
  } else {
    describe_conv(view, operands, d);
  }
  d.bias = operands.has(kBias);
  require(view, !d.bias || operands.required(kBias, "the bias").size() == d.y[1],
          "the bias has not one value per output");
  d.residual = operands.has(kResidual);
  require(view, !d.residual || operands.shape(kResidual) == output_shape(view),
          "residual and result differ in shape");
  const std::string activation = view.node.attributes.text("activation", "");
  const auto known = activation_named(activation);
  require(view, known.has_value(), fmt::format("unknown activation '{}'", activation));
  d.activation = *known;
  d.alpha = view.node.attributes.real("alpha", 0.0f);
  d.beta = view.node.attributes.real("beta", 0.0f);
  return d;
}

void append_activation(const FloatDesc& d, dnnl::post_ops& ops) {
  using dnnl::algorithm;
  const auto add = [&](algorithm kind, float alpha, float beta) {
    ops.append_eltwise(1.0f, kind, alpha, beta);
  };
  switch (d.activation) {
    case Activation::None:
      return;
    case Activation::Relu:
      return add(algorithm::eltwise_relu, 0, 0);
    case Activation::LeakyRelu:
      return add(algorithm::eltwise_relu, d.alpha, 0);
    case Activation::Clip:
      return add(algorithm::eltwise_clip, d.alpha, d.beta);
    case Activation::Elu:
      return add(algorithm::eltwise_elu, d.alpha, 0);
    case Activation::Sigmoid:
      return add(algorithm::eltwise_logistic, 0, 0);
    case Activation::HardSigmoid:
      add(algorithm::eltwise_linear, d.alpha, d.beta);
      return add(algorithm::eltwise_clip, 0, 1);
    case Activation::Silu:
      return add(algorithm::eltwise_swish, 1, 0);
    case Activation::HardSwish:
      return add(algorithm::eltwise_hardswish, 0, 0);
    case Activation::Tanh:
      return add(algorithm::eltwise_tanh, 0, 0);
    case Activation::Gelu:
      return add(algorithm::eltwise_gelu_erf, 0, 0);
    case Activation::GeluTanh:
      return add(algorithm::eltwise_gelu_tanh, 0, 0);
    case Activation::Softplus:
      return add(algorithm::eltwise_soft_relu, 0, 0);
    case Activation::Mish:
      return add(algorithm::eltwise_mish, 0, 0);
  }
}

// A primitive with its memories; handles of x, y, residual and scratch are set before each run.
class OneDnnStep final : public engine::Step {
 public:
  OneDnnStep(const FloatDesc& d, const Tensor& w, std::optional<Tensor> bias, int threads)
      : threads_(threads), stream_(onednn_engine()), bias_(std::move(bias)) {
    omp_set_num_threads(threads_);
    constexpr auto f32 = memory::data_type::f32;
    const memory::desc x(d.x, f32, d.tag), y(d.y, f32, d.tag), any(d.w, f32, memory::format_tag::any);
    const memory::desc b = d.bias ? memory::desc({d.y[1]}, f32, memory::format_tag::a) : memory::desc();
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    dnnl::post_ops ops;
    if (d.residual) ops.append_binary(dnnl::algorithm::binary_add, y);
    append_activation(d, ops);
    attributes.set_post_ops(ops);
    make(d, x, any, b, y, attributes);
    // oneDNN 2.6's GEMM-based convolution reads the operand of a binary post-op at wrong places when there
    // are groups: there the residual is put into the result first and added to.
    in_place_ = d.residual && d.window && implementation_.find("gemm") != std::string::npos;
    if (in_place_) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      append_activation(d, sum);
      attributes.set_post_ops(sum);
      make(d, x, any, b, y, attributes);
    }

    memory given(memory::desc(d.w, f32, d.w_tag), onednn_engine(), const_cast<std::byte*>(w.raw()));
    memory weights(weights_desc_, onednn_engine());
    dnnl::reorder(given, weights).execute(stream_, given, weights);
    stream_.wait();
    x_ = memory(x, onednn_engine(), nullptr);
    y_ = memory(y, onednn_engine(), nullptr);
    scratch_ = memory(scratch_desc_, onednn_engine(), nullptr);
    arguments_ = {
        {DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, y_}, {DNNL_ARG_SCRATCHPAD, scratch_}};
    if (bias_)
      arguments_.emplace(DNNL_ARG_BIAS, memory(b, onednn_engine(), const_cast<std::byte*>(bias_->raw())));
    if (d.residual && !in_place_) {
      residual_ = memory(y, onednn_engine(), nullptr);
      arguments_.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, residual_);
    }
    has_residual_ = d.residual && !in_place_;
    result_bytes_ = y.get_size();
  }

  size_t scratch_bytes() const override { return (scratch_desc_.get_size() + 63) / 64 * 64; }

  void run(const engine::RunArgs& args) override {
    // The primitive was made for this number of threads, whatever the OpenMP default of the calling thread
    // is.
    omp_set_num_threads(threads_);
    x_.set_data_handle(const_cast<std::byte*>(args.inputs[0]));
    y_.set_data_handle(args.outputs[0]);
    scratch_.set_data_handle(args.scratch);
    if (has_residual_) residual_.set_data_handle(const_cast<std::byte*>(args.inputs[kResidual]));
    if (in_place_) std::memcpy(args.outputs[0], args.inputs[kResidual], result_bytes_);
    try {
      primitive_.execute(stream_, arguments_);
      stream_.wait();
    } catch (const dnnl::error& error) {
      fail("cpu: oneDNN cannot run {}: {}", implementation_, error.what());
    }
  }

 private:
  void make(const FloatDesc& d, const memory::desc& x, const memory::desc& w, const memory::desc& b,
            const memory::desc& y, const dnnl::primitive_attr& attributes) {
    constexpr auto inference = dnnl::prop_kind::forward_inference;
    if (d.window) {
      using Conv = dnnl::convolution_forward;
      constexpr auto direct = dnnl::algorithm::convolution_direct;
      const Window& v = *d.window;
      const Conv::desc desc =
          d.bias ? Conv::desc(inference, direct, x, w, b, y, v.strides, v.dilations, v.before, v.after)
                 : Conv::desc(inference, direct, x, w, y, v.strides, v.dilations, v.before, v.after);
      const Conv::primitive_desc made(desc, attributes, onednn_engine());
      adopt(made, Conv(made));
    } else {
      using Product = dnnl::inner_product_forward;
      const Product::desc desc =
          d.bias ? Product::desc(inference, x, w, b, y) : Product::desc(inference, x, w, y);
      const Product::primitive_desc made(desc, attributes, onednn_engine());
      adopt(made, Product(made));
    }
  }

  template <class PrimitiveDesc>
  void adopt(const PrimitiveDesc& made, dnnl::primitive primitive) {
    weights_desc_ = made.weights_desc();
    scratch_desc_ = made.scratchpad_desc();
    implementation_ = made.impl_info_str();
    primitive_ = std::move(primitive);
  }

  int threads_;
  dnnl::stream stream_;
  std::optional<Tensor> bias_;
  dnnl::primitive primitive_;
  memory::desc weights_desc_, scratch_desc_;
  memory x_, y_, residual_, scratch_;
  bool has_residual_ = false, in_place_ = false;
  std::string implementation_;
  size_t result_bytes_ = 0;
  std::unordered_map<int, memory> arguments_;
};

std::string tactic_of(const engine::NodeView& view) {
  return view.node.op == "Linear" ? "onednn_inner_product" : "onednn_convolution";
}

std::vector<std::string> tactics(const engine::NodeView& view, std::string&) {
  describe(view, Operands(view));
  return {tactic_of(view)};
}

std::unique_ptr<engine::Step> load(const engine::NodeView& view, std::string_view tactic,
                                   std::vector<Tensor> packed) {
  require(view, tactic == tactic_of(view), fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const FloatDesc d = describe(view, operands);
  const int threads = threads_of(view);
  require(view, operands.constant(0) == nullptr && operands.constant(kResidual) == nullptr,
          "x or residual is constant");
  return translated(view, [&]() -> std::unique_ptr<engine::Step> {
    return std::make_unique<OneDnnStep>(d, *operands.constant(kWeight), operands.take(kBias), threads);
  });
}

}  // namespace

Binding bind_conv_nhwc() { return {"ConvNhwc", tactics, pack_constants, load}; }
Binding bind_linear() { return {"Linear", tactics, pack_constants, load}; }

}  // namespace kvant::backends::cpu
