// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/onednn_qconv.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "backends/cpu/kernels/qconv/finish_rows.h"
#include "backends/cpu/onednn.h"

namespace kvant::backends::cpu {
namespace {

using dnnl::memory;

constexpr int64_t kExactInFloat = 1 << 24;
constexpr int64_t kMostSums = int64_t{1} << 24;  // 64 MiB of scratch

int64_t filter_size(const ConvShape& s) { return s.kh * s.kw * s.group_c(); }
int64_t window_end(int64_t outputs, int64_t stride, int64_t taps, int64_t dilation) {
  return (outputs - 1) * stride + (taps - 1) * dilation + 1;
}
// Padding behind, as far as windows reach.
int64_t bottom_of(const ConvShape& s) {
  return std::max<int64_t>(0, window_end(s.ho, s.stride_h, s.kh, s.dilation_h) - s.h - s.top);
}
int64_t right_of(const ConvShape& s) {
  return std::max<int64_t>(0, window_end(s.wo, s.stride_w, s.kw, s.dilation_w) - s.w - s.left);
}
bool padded(const ConvShape& s) { return s.top > 0 || s.left > 0 || bottom_of(s) > 0 || right_of(s) > 0; }

struct PackedParts {
  size_t start, multiplier, bias, end;
  explicit PackedParts(const ConvShape& s) {
    const auto per_channel = static_cast<size_t>(s.k) * 4;
    start = (static_cast<size_t>(s.k * filter_size(s)) + 63) / 64 * 64;
    multiplier = start + per_channel;
    bias = multiplier + per_channel;
    end = bias + per_channel;
  }
};

class OneDnnQConv final : public engine::Step {
 public:
  OneDnnQConv(const QConvDesc& desc, Tensor packed, size_t residual_input, int threads)
      : desc_(desc), residual_input_(residual_input), threads_(threads), stream_(onednn_engine()) {
    const ConvShape& s = desc.shape;
    const PackedParts parts(s);
    constants_ = std::move(packed);
    rows_.start = reinterpret_cast<const int32_t*>(constants_.raw() + parts.start);
    rows_.multiplier = reinterpret_cast<const float*>(constants_.raw() + parts.multiplier);
    rows_.bias = reinterpret_cast<const float*>(constants_.raw() + parts.bias);
    rows_.channels = s.k;
    omp_set_num_threads(threads_);
    make();
  }

  size_t scratch_bytes() const override { return sum_bytes_ + (scratch_desc_.get_size() + 63) / 64 * 64; }

  void run(const engine::RunArgs& args) override {
    omp_set_num_threads(threads_);  // the primitive was made for them
    x_.set_data_handle(const_cast<std::byte*>(args.inputs[0]));
    sums_.set_data_handle(args.scratch);
    scratch_.set_data_handle(args.scratch + sum_bytes_);
    try {
      primitive_.execute(stream_, arguments_);
      stream_.wait();
    } catch (const dnnl::error& error) {
      fail("cpu: oneDNN cannot run {}: {}", implementation_, error.what());
    }
    SumRows rows = rows_;
    rows.sums = reinterpret_cast<const int32_t*>(args.scratch);
    rows.residual = desc_.epilogue.residual == Code::None
                        ? nullptr
                        : reinterpret_cast<const uint8_t*>(args.inputs[residual_input_]);
    rows.y = reinterpret_cast<uint8_t*>(args.outputs[0]);
    const int64_t pixels = desc_.shape.n * desc_.shape.ho * desc_.shape.wo;
    spread(args.team, threads_, [&](int thread, int threads) {
      finish_rows_avx512(desc_.epilogue, desc_.table.get(), rows, pixels * thread / threads,
                         pixels * (thread + 1) / threads);
    });
  }

 private:
  void make() {
    using Conv = dnnl::convolution_forward;
    using Type = memory::data_type;
    const ConvShape& s = desc_.shape;
    const int64_t area = s.kh * s.kw, filter = filter_size(s), c = s.group_c();
    const memory::desc x({s.n, s.c, s.h, s.w}, desc_.x_signed ? Type::s8 : Type::u8,
                         memory::format_tag::nhwc);
    const memory::desc y({s.n, s.k, s.ho, s.wo}, Type::s32, memory::format_tag::nhwc);
    // [k, kh, kw, c/group] in memory, in oneDNN's order of dimensions.
    memory::dims dims{s.k, c, s.kh, s.kw}, steps{filter, 1, s.kw * c, c};
    if (s.group > 1) {
      dims = {s.group, s.group_k(), c, s.kh, s.kw};
      steps = {s.group_k() * area * c, filter, 1, s.kw * c, c};
    }
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const Conv::desc desc(dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, x,
                          memory::desc(dims, Type::s8, memory::format_tag::any), y, {s.stride_h, s.stride_w},
                          {s.dilation_h - 1, s.dilation_w - 1}, {s.top, s.left}, {bottom_of(s), right_of(s)});
    const Conv::primitive_desc made(desc, attributes, onednn_engine());
    primitive_ = Conv(made);
    implementation_ = made.impl_info_str();
    scratch_desc_ = made.scratchpad_desc();
    memory given(memory::desc(dims, Type::s8, steps), onednn_engine(),
                 const_cast<std::byte*>(constants_.raw()));
    memory weights(made.weights_desc(), onednn_engine());
    dnnl::reorder(given, weights).execute(stream_, given, weights);
    stream_.wait();
    x_ = memory(x, onednn_engine(), nullptr);
    sums_ = memory(y, onednn_engine(), nullptr);
    scratch_ = memory(scratch_desc_, onednn_engine(), nullptr);
    arguments_ = {{DNNL_ARG_SRC, x_},
                  {DNNL_ARG_WEIGHTS, weights},
                  {DNNL_ARG_DST, sums_},
                  {DNNL_ARG_SCRATCHPAD, scratch_}};
    sum_bytes_ = (y.get_size() + 63) / 64 * 64;
  }

  QConvDesc desc_;
  size_t residual_input_;
  int threads_;
  dnnl::stream stream_;
  Tensor constants_;
  SumRows rows_{};
  dnnl::primitive primitive_;
  memory::desc scratch_desc_;
  memory x_, sums_, scratch_;
  size_t sum_bytes_ = 0;
  std::string implementation_;
  std::unordered_map<int, memory> arguments_;
};

}  // namespace

std::string onednn_qconv_why_not(const QConvDesc& desc, const QConvWeights& weights) {
  const ConvShape& s = desc.shape;
  // Before VNNI oneDNN adds products in 16 bits, which saturate.
  if (!supports(Isa::Avx512vnni)) return "oneDNN's INT8 sums are exact with AVX-512 VNNI only";
  if (desc.x_zero_point != 0 && padded(s)) return "oneDNN pads with 0, which is not the zero point";
  if (s.n * s.ho * s.wo > kMostSums / s.k) return "too many sums to keep";
  if (!desc.x_signed && desc.x_zero_point == 0) return {};  // sums are rounded to float once, as ours are
  // Else something is added to what oneDNN may have rounded to float: no sum may need rounding.
  for (int64_t k = 0; k < s.k; ++k) {
    int64_t magnitudes = 0;
    for (int64_t i = 0; i < filter_size(s); ++i)
      magnitudes += std::abs(int{weights.w[k * filter_size(s) + i]});
    if (255 * magnitudes > kExactInFloat) return "sums may be too large to be exact in float";
  }
  return {};
}

Tensor onednn_qconv_pack(const QConvDesc& desc, const QConvWeights& weights) {
  const ConvShape& s = desc.shape;
  const PackedParts parts(s);
  Tensor packed(DType::UInt8, {static_cast<int64_t>(parts.end)});
  std::byte* out = packed.mutable_raw();
  std::memset(out, 0, parts.end);
  std::memcpy(out, weights.w, static_cast<size_t>(s.k * filter_size(s)));
  auto* start = reinterpret_cast<int32_t*>(out + parts.start);
  for (int64_t k = 0; k < s.k; ++k) {
    int32_t sum = 0;
    for (int64_t i = 0; i < filter_size(s); ++i) sum += weights.w[k * filter_size(s) + i];
    start[k] = -desc.x_zero_point * sum;
  }
  std::memcpy(out + parts.multiplier, weights.multiplier, static_cast<size_t>(s.k) * 4);
  std::memcpy(out + parts.bias, weights.bias, static_cast<size_t>(s.k) * 4);
  return packed;
}

std::unique_ptr<engine::Step> onednn_qconv_load(const engine::NodeView& view, const QConvDesc& desc,
                                                Tensor packed, size_t residual_input) {
  require(view, supports(Isa::Avx512vnni),
          fmt::format("tactic '{}' needs avx512vnni, which this CPU does not offer", kOneDnnQConv));
  const PackedParts parts(desc.shape);
  require(view, packed.byte_size() == parts.end,
          fmt::format("{} bytes of packed weights where tactic '{}' has {}", packed.byte_size(), kOneDnnQConv,
                      parts.end));
  const int threads = threads_of(view);
  return translated(view, [&]() -> std::unique_ptr<engine::Step> {
    return std::make_unique<OneDnnQConv>(desc, std::move(packed), residual_input, threads);
  });
}

}  // namespace kvant::backends::cpu
