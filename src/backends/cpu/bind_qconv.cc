// SPDX-License-Identifier: Apache-2.0
// QConv and QGemm on the qconv kernels. Packed constants: the kernel's own blob, the weights' shape (i64) so
// that nothing about the packed-away inputs has to be known at load, and the table of codes if there is one.
#include <cstring>

#include "backends/cpu/binding.h"
#include "backends/cpu/kernels/qconv/qconv.h"
#include "backends/cpu/node_epilogue.h"
#include "backends/cpu/onednn_qconv.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kMaxWindow = 1 << 20;  // of pads, strides and dilations: keeps products far from overflow
constexpr size_t kWeight = 1, kMultiplier = 2, kBias = 3, kResidual = 4, kTable = 5;

bool is_byte(DType dtype) { return dtype == DType::UInt8 || dtype == DType::Int8; }

struct Pair {
  int64_t y, x;
};

Pair pair_attribute(const engine::NodeView& view, std::string_view name) {
  const std::vector<int64_t> v = view.node.attributes.integers(name, {1, 1});
  require(view, v.size() == 2 && v[0] >= 1 && v[1] >= 1 && v[0] <= kMaxWindow && v[1] <= kMaxWindow,
          fmt::format("attribute {} is not two positive numbers", name));
  return {v[0], v[1]};
}

// Reads x, y, the window's attributes and checks that they fit together.
ConvShape conv_shape_of(const engine::NodeView& view, const Shape& weight) {
  const Shape& x = input_shape(view, 0);
  const Shape& y = output_shape(view);
  require(view, x.size() == 4 && y.size() == 4 && weight.size() == 4, "x, w and y have rank 4");
  for (const Shape* shape : {&x, &y, &weight}) {
    for (const int64_t dim : *shape)
      require(view, dim >= 1 && dim <= INT32_MAX, "a dimension is zero or absurd");
  }
  ConvShape s;
  s.n = x[0], s.h = x[1], s.w = x[2], s.c = x[3];
  s.k = weight[0], s.kh = weight[1], s.kw = weight[2];
  s.group = view.node.attributes.integer("group", 1);
  require(
      view, s.group >= 1 && s.c % s.group == 0 && s.k % s.group == 0 && weight[3] == s.c / s.group,
      fmt::format("{} groups do not divide {} channels into {} outputs of {}", s.group, s.c, s.k, weight[3]));
  const Pair stride = pair_attribute(view, "strides"), dilation = pair_attribute(view, "dilations");
  s.stride_h = stride.y, s.stride_w = stride.x, s.dilation_h = dilation.y, s.dilation_w = dilation.x;
  const std::vector<int64_t> pads = view.node.attributes.integers("pads", {0, 0, 0, 0});
  require(view, pads.size() == 4, "attribute pads is not four numbers");
  for (const int64_t pad : pads) require(view, pad >= 0 && pad <= kMaxWindow, "a pad is negative or absurd");
  s.top = pads[0], s.left = pads[1];
  s.ho = (s.h + pads[0] + pads[2] - s.dilation_h * (s.kh - 1) - 1) / s.stride_h + 1;
  s.wo = (s.w + pads[1] + pads[3] - s.dilation_w * (s.kw - 1) - 1) / s.stride_w + 1;
  require(view, y == Shape{s.n, s.ho, s.wo, s.k},
          fmt::format("the result is [{}] where [{}x{}x{}x{}] belongs", to_string(y), s.n, s.ho, s.wo, s.k));
  return s;
}

// A product of matrices as a 1x1 convolution over one row of pixels.
ConvShape gemm_shape_of(const engine::NodeView& view, const Shape& weight) {
  const Shape& x = input_shape(view, 0);
  const Shape& y = output_shape(view);
  require(view, !x.empty() && weight.size() == 2, "x has rank 1 or more, w has rank 2");
  const int64_t size = element_count(x);
  require(view, size > 0 && weight[0] >= 1 && weight[1] == x.back(),
          "x and w differ in their inner dimension");
  Shape expected = x;
  expected.back() = weight[0];
  require(view, y == expected,
          fmt::format("the result is [{}] where [{}] belongs", to_string(y), to_string(expected)));
  ConvShape s;
  s.c = weight[1], s.k = weight[0];
  s.w = s.wo = size / s.c;
  return s;
}

QConvDesc describe(const engine::NodeView& view, const Shape& weight) {
  QConvDesc desc;
  desc.shape = view.node.op == "QGemm" ? gemm_shape_of(view, weight) : conv_shape_of(view, weight);
  desc.x_signed = is_signed_code(view, view.inputs[0].dtype);
  desc.x_zero_point = code_attribute(view, "x_zero_point", 0, desc.x_signed ? Code::I8 : Code::U8);
  // i8 codes that are never negative are the same bytes as u8.
  if (desc.x_signed && desc.x_zero_point >= 0 && view.node.attributes.integer("x_low", -128) >= 0)
    desc.x_signed = false;
  desc.epilogue = node_epilogue(view, kResidual);
  return desc;
}

const QConvKernel* find_kernel(std::string_view name) {
  for (const QConvKernel& kernel : qconv_kernels()) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

const Tensor& constant(const engine::NodeView& view, size_t i, std::string_view what) {
  require(view, i < view.constants.size() && view.constants[i] != nullptr,
          fmt::format("{} is not constant", what));
  return *view.constants[i];
}

void add_table(const engine::NodeView& view, const Tensor& table, QConvDesc& desc) {
  require(view, is_byte(table.dtype()) && table.dtype() == view.outputs[0].dtype && table.size() == 256,
          "the table is not 256 codes of the result's type");
  auto entries = std::make_shared<CodeTable>();
  std::memcpy(entries->data(), table.raw(), entries->size());
  desc.table = std::move(entries);
}

// The constants, checked against each other.
QConvDesc describe_constants(const engine::NodeView& view) {
  const Tensor& w = constant(view, kWeight, "the weight");
  const Tensor& multiplier = constant(view, kMultiplier, "the multiplier");
  const Tensor& bias = constant(view, kBias, "the bias");
  require(view, w.dtype() == DType::Int8, "the weight is not i8");
  QConvDesc desc = describe(view, w.shape());
  const Shape per_channel{desc.shape.k};
  require(view, multiplier.dtype() == DType::Float32 && multiplier.shape() == per_channel,
          "the multiplier is not f32 with one value per output channel");
  require(view, bias.dtype() == DType::Float32 && bias.shape() == per_channel,
          "the bias is not f32 with one value per output channel");
  if (view.has(kTable)) add_table(view, constant(view, kTable, "the table"), desc);
  return desc;
}

class QConvStep final : public engine::Step {
 public:
  QConvStep(const QConvDesc& desc, const QConvKernel& kernel, Tensor packed, int threads)
      : desc_(desc), kernel_(kernel), packed_(std::move(packed)), threads_(threads) {}

  size_t scratch_bytes() const override {
    return kernel_.scratch_bytes(desc_) * static_cast<size_t>(threads_);
  }

  std::span<const std::byte> first_reads(int thread, int threads) const override {
    return kernel_.first_reads(desc_, packed_.raw(), thread, std::min(threads, threads_));
  }

  void run(const engine::RunArgs& args) override {
    const bool residual = desc_.epilogue.residual != Code::None;
    const QConvPointers p{packed_.raw(), reinterpret_cast<const uint8_t*>(args.inputs[0]),
                          residual ? reinterpret_cast<const uint8_t*>(args.inputs[kResidual]) : nullptr,
                          reinterpret_cast<uint8_t*>(args.outputs[0]), args.scratch};
    spread(args.team, threads_, [&](int thread, int threads) {
      QConvPointers mine = p;
      if (args.next != nullptr) mine.after = args.next->first_reads(thread, threads);
      kernel_.run(desc_, mine, thread, threads);
    });
  }

 private:
  QConvDesc desc_;
  const QConvKernel& kernel_;
  Tensor packed_;
  int threads_;
};

// After describe_constants().
QConvWeights weights_of(const engine::NodeView& view) {
  return {view.constants[kWeight]->data<int8_t>().data(), view.constants[kMultiplier]->data<float>().data(),
          view.constants[kBias]->data<float>().data()};
}

std::vector<std::string> tactics(const engine::NodeView& view, std::string& why) {
  const QConvDesc desc = describe_constants(view);
  std::vector<std::string> names;
  for (const QConvKernel& kernel : qconv_kernels()) {
    if (!worth_offering(kernel.isa)) continue;
    const std::string reason = kernel.why_not(desc);
    if (reason.empty()) {
      names.emplace_back(kernel.name);
    } else {
      why = reason;
    }
  }
  // Last: the first is what a build without a clock takes.
  if (onednn_qconv_why_not(desc, weights_of(view)).empty()) names.emplace_back(kOneDnnQConv);
  return names;
}

std::vector<Tensor> pack(const engine::NodeView& view, std::string_view tactic) {
  const QConvDesc desc = describe_constants(view);
  const QConvWeights weights = weights_of(view);
  Tensor blob;
  if (tactic == kOneDnnQConv) {
    const std::string reason = onednn_qconv_why_not(desc, weights);
    require(view, reason.empty(), reason);
    blob = onednn_qconv_pack(desc, weights);
  } else {
    const QConvKernel* kernel = find_kernel(tactic);
    require(view, kernel != nullptr && kernel->why_not(desc).empty(),
            fmt::format("no tactic '{}' for it", tactic));
    blob = Tensor(DType::UInt8, {static_cast<int64_t>(kernel->packed_bytes(desc))});
    kernel->pack(desc, weights, blob.mutable_raw());
  }
  const Tensor& w = *view.constants[kWeight];
  std::vector<Tensor> packed = {std::move(blob), Tensor::vector(w.shape())};
  if (view.has(kTable)) packed.push_back(*view.constants[kTable]);
  return packed;
}

std::unique_ptr<engine::Step> load(const engine::NodeView& view, std::string_view tactic,
                                   std::vector<Tensor> packed) {
  require_packed(view, packed, view.has(kTable) ? 3 : 2);
  require(view, packed[1].dtype() == DType::Int64 && packed[1].rank() == 1 && packed[1].size() <= 4,
          "the packed weight has no shape");
  QConvDesc desc = describe(view, packed[1].to_ints());
  if (view.has(kTable)) add_table(view, packed[2], desc);
  if (tactic == kOneDnnQConv) return onednn_qconv_load(view, desc, std::move(packed[0]), kResidual);
  const QConvKernel* kernel = find_kernel(tactic);
  require(view, kernel != nullptr, fmt::format("unknown tactic '{}'", tactic));
  require(view, supports(kernel->isa),
          fmt::format("tactic '{}' needs {}, which this CPU does not offer", tactic, name(kernel->isa)));
  const std::string reason = kernel->why_not(desc);
  require(view, reason.empty(), reason);
  require(view, packed[0].byte_size() == kernel->packed_bytes(desc),
          fmt::format("{} bytes of packed weights where tactic '{}' has {}", packed[0].byte_size(), tactic,
                      kernel->packed_bytes(desc)));
  const int threads = threads_of(view);
  return std::make_unique<QConvStep>(desc, *kernel, std::move(packed[0]), threads);
}

}  // namespace

Binding bind_qconv() { return {"QConv", tactics, pack, load}; }
Binding bind_qgemm() { return {"QGemm", tactics, pack, load}; }

}  // namespace kvant::backends::cpu
