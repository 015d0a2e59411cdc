// SPDX-License-Identifier: Apache-2.0
// Pools over channels-last tensors: rows of channels, one window position at a time.
#include <algorithm>
#include <cmath>

#include "backends/cpu/node_epilogue.h"
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kMaxWindow = 1 << 20;

struct PoolDesc {
  int64_t n, h, w, c, ho, wo;
  int64_t kh, kw, stride_h, stride_w, top, left, bottom, right, dilation_h, dilation_w;
  bool count_include_pad;
  Code x = Code::U8;
  // Of integer averages.
  int32_t x_zero_point = 0;
  float multiplier = 1;
  CodeRange range;
};

bool is_global(const engine::NodeView& view) {
  return view.node.op == "QGlobalAveragePool" || view.node.op == "GlobalAveragePoolNhwc";
}
bool is_average(const engine::NodeView& view) { return view.node.op != "MaxPoolNhwc"; }

std::vector<int64_t> window_attribute(const engine::NodeView& view, std::string_view name, size_t count,
                                      int64_t least, std::vector<int64_t> fallback) {
  std::vector<int64_t> v = view.node.attributes.integers(name, std::move(fallback));
  require(view, v.size() == count, fmt::format("attribute {} has not {} numbers", name, count));
  for (const int64_t i : v)
    require(view, i >= least && i <= kMaxWindow, fmt::format("attribute {} is absurd", name));
  return v;
}

void read_window(const engine::NodeView& view, PoolDesc& d) {
  if (is_global(view)) {
    d.kh = d.h, d.kw = d.w, d.stride_h = d.stride_w = d.dilation_h = d.dilation_w = 1;
    d.top = d.left = d.bottom = d.right = 0;
    d.count_include_pad = false;
    return;
  }
  const auto kernel = window_attribute(view, "kernel_shape", 2, 1, {});
  const auto stride = window_attribute(view, "strides", 2, 1, {1, 1});
  const auto dilation = window_attribute(view, "dilations", 2, 1, {1, 1});
  const auto pads = window_attribute(view, "pads", 4, 0, {0, 0, 0, 0});
  require(view, view.node.attributes.integer("ceil_mode", 0) == 0, "ceil_mode is not resolved");
  d.kh = kernel[0], d.kw = kernel[1], d.stride_h = stride[0], d.stride_w = stride[1];
  d.dilation_h = dilation[0], d.dilation_w = dilation[1];
  d.top = pads[0], d.left = pads[1], d.bottom = pads[2], d.right = pads[3];
  d.count_include_pad = view.node.attributes.integer("count_include_pad", 0) != 0;
}

PoolDesc describe(const engine::NodeView& view) {
  const Shape &x = input_shape(view, 0), &y = output_shape(view);
  require(view, x.size() == 4, "x has rank 4");
  for (const int64_t dim : x) require(view, dim >= 1 && dim <= INT32_MAX, "a dimension is zero or absurd");
  PoolDesc d{};
  d.n = x[0], d.h = x[1], d.w = x[2], d.c = x[3];
  read_window(view, d);
  d.ho = (d.h + d.top + d.bottom - d.dilation_h * (d.kh - 1) - 1) / d.stride_h + 1;
  d.wo = (d.w + d.left + d.right - d.dilation_w * (d.kw - 1) - 1) / d.stride_w + 1;
  require(view, y == Shape{d.n, d.ho, d.wo, d.c},
          fmt::format("the result is [{}] where [{}x{}x{}x{}] belongs", to_string(y), d.n, d.ho, d.wo, d.c));
  require(view, view.node.outputs.size() == 1 && view.outputs.size() == 1, "only one result is made");
  require(view, d.kh * d.kw <= (1 << 23), "the window is too large for sums of 32 bits");
  d.x = code_of(view, view.inputs[0].dtype);
  if (view.node.op[0] == 'Q') {
    require(view, d.x != Code::F32, "codes belong here");
    d.x_zero_point = code_attribute(view, "x_zero_point", 0, d.x);
    const Code code = is_signed_code(view, view.outputs[0].dtype) ? Code::I8 : Code::U8;
    d.range.zero_point = code_attribute(view, "y_zero_point", 0, code);
    read_clamp(view, code, d.range.low, d.range.high);
    d.multiplier = view.node.attributes.real("multiplier", 1.0f);
  } else {
    require(view, view.outputs[0].dtype == view.inputs[0].dtype, "x and y differ in type");
    require(view, !is_average(view) || d.x == Code::F32, "f32 belongs here");
  }
  return d;
}

// The part of a window that lies inside the image: its first tap (in elements of x) and the taps; no rows or
// columns when it lies on the border wholly.
int64_t taps_inside(const PoolDesc& d, int64_t pixel, PoolTaps& taps) {
  const int64_t n = pixel / (d.ho * d.wo), y0 = pixel / d.wo % d.ho * d.stride_h - d.top;
  const int64_t x0 = pixel % d.wo * d.stride_w - d.left;
  const auto cut = [](int64_t start, int64_t step, int64_t taps_of_window, int64_t size, int64_t& first) {
    const int64_t skipped = start < 0 ? (-start + step - 1) / step : 0;
    const int64_t fit = start + skipped * step < size ? (size - 1 - start) / step + 1 : 0;
    first = start + skipped * step;
    return std::max<int64_t>(0, std::min(taps_of_window, fit) - skipped);
  };
  int64_t y = 0, x = 0;
  taps.rows = cut(y0, d.dilation_h, d.kh, d.h, y);
  taps.columns = cut(x0, d.dilation_w, d.kw, d.w, x);
  taps.row_step = d.dilation_h * d.w * d.c;
  taps.column_step = d.dilation_w * d.c;
  return ((n * d.h + y) * d.w + x) * d.c;
}

// What an average divides by: positions inside, or also those on the border that pads cover.
int64_t divisor(const PoolDesc& d, int64_t pixel, int64_t inside) {
  if (!d.count_include_pad) return inside;
  const int64_t y0 = pixel / d.wo % d.ho * d.stride_h, x0 = pixel % d.wo * d.stride_w;
  int64_t rows = 0, columns = 0;
  for (int64_t i = 0; i < d.kh; ++i) rows += y0 + i * d.dilation_h < d.top + d.h + d.bottom ? 1 : 0;
  for (int64_t j = 0; j < d.kw; ++j) columns += x0 + j * d.dilation_w < d.left + d.w + d.right ? 1 : 0;
  return rows * columns;
}

// The channels of one pixel of the result that a thread makes.
struct Piece {
  int64_t pixel, first, count;
};

template <class T>
void max_piece(const PoolDesc& d, void (*max)(const PoolTaps&, const T*, T*, int64_t), T lowest,
               const std::byte* from, std::byte* to, const Piece& piece) {
  T* y = reinterpret_cast<T*>(to) + piece.pixel * d.c + piece.first;
  PoolTaps taps;
  const int64_t at = taps_inside(d, piece.pixel, taps);
  if (taps.rows > 0 && taps.columns > 0) {
    max(taps, reinterpret_cast<const T*>(from) + at + piece.first, y, piece.count);
  } else {
    std::fill_n(y, piece.count, lowest);
  }
}

void run_max(const PoolDesc& d, const ElementKernels& k, const std::byte* x, std::byte* y,
             const Piece& piece) {
  if (d.x == Code::U8) {
    max_piece<uint8_t>(d, k.max_u8, 0, x, y, piece);
  } else if (d.x == Code::I8) {
    max_piece<int8_t>(d, k.max_i8, -128, x, y, piece);
  } else {
    max_piece<float>(d, k.max_f32, -INFINITY, x, y, piece);
  }
}

void run_average_codes(const PoolDesc& d, const ElementKernels& k, const std::byte* x, std::byte* y,
                       const Piece& piece) {
  PoolTaps taps;
  const int64_t at = taps_inside(d, piece.pixel, taps), inside = taps.rows * taps.columns;
  const int64_t count = divisor(d, piece.pixel, inside);
  const AverageDesc average{d.x == Code::I8, static_cast<int32_t>(inside) * d.x_zero_point,
                            count == 0 ? 0.0f : d.multiplier / static_cast<float>(count), d.range};
  k.average(average, taps, reinterpret_cast<const uint8_t*>(x) + (inside == 0 ? 0 : at + piece.first),
            reinterpret_cast<uint8_t*>(y) + piece.pixel * d.c + piece.first, piece.count);
}

void run_average_floats(const PoolDesc& d, const ElementKernels& k, const std::byte* x, std::byte* y,
                        const Piece& piece) {
  PoolTaps taps;
  const int64_t at = taps_inside(d, piece.pixel, taps), inside = taps.rows * taps.columns;
  k.average_f32(static_cast<float>(divisor(d, piece.pixel, inside)), taps,
                reinterpret_cast<const float*>(x) + (inside == 0 ? 0 : at + piece.first),
                reinterpret_cast<float*>(y) + piece.pixel * d.c + piece.first, piece.count);
}

std::string prefix_of(const engine::NodeView& view) {
  if (!is_average(view)) return "max_pool_nhwc";
  return std::string(view.node.op[0] == 'Q' ? "qaverage" : "average") + "_pool_nhwc";
}

std::vector<std::string> tactics(const engine::NodeView& view, std::string&) {
  describe(view);
  require(view, view.constants.empty() || view.constants[0] == nullptr, "x is constant");
  return isa_tactics(prefix_of(view));
}

std::vector<Tensor> pack(const engine::NodeView&, std::string_view) { return {}; }

std::unique_ptr<engine::Step> load(const engine::NodeView& view, std::string_view tactic,
                                   std::vector<Tensor> packed) {
  require_packed(view, packed, 0);
  const PoolDesc d = describe(view);
  const ElementKernels& k = kernels_of(view, prefix_of(view), tactic);
  const int64_t pixels = d.n * d.ho * d.wo;
  const bool average = is_average(view), codes = view.node.op[0] == 'Q';
  // Global pools have few pixels and many channels: threads share these out.
  constexpr int64_t kBlock = 64;
  const int64_t blocks = pixels < 16 ? (d.c + kBlock - 1) / kBlock : 1;
  const int64_t grain = std::max<int64_t>(1, 16384 * blocks / (d.c * d.kh * d.kw));
  return function_step([=, &k](const engine::RunArgs& args) {
    spread_range(args.team, pixels * blocks, grain, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        Piece piece{i / blocks, 0, d.c};
        if (blocks > 1) {
          piece.first = i % blocks * kBlock;
          piece.count = std::min(kBlock, d.c - piece.first);
        }
        if (!average) {
          run_max(d, k, args.inputs[0], args.outputs[0], piece);
        } else if (codes) {
          run_average_codes(d, k, args.inputs[0], args.outputs[0], piece);
        } else {
          run_average_floats(d, k, args.inputs[0], args.outputs[0], piece);
        }
      }
    });
  });
}

}  // namespace

Binding bind_max_pool() { return {"MaxPoolNhwc", tactics, pack, load}; }
Binding bind_average_pool() { return {"AveragePoolNhwc", tactics, pack, load}; }
Binding bind_global_average_pool() { return {"GlobalAveragePoolNhwc", tactics, pack, load}; }
Binding bind_qaverage_pool() { return {"QAveragePool", tactics, pack, load}; }
Binding bind_qglobal_average_pool() { return {"QGlobalAveragePool", tactics, pack, load}; }

}  // namespace kvant::backends::cpu
