// SPDX-License-Identifier: Apache-2.0
// Pools over channels-last tensors: rows of channels, one window position at a time.
#include <cstring>

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

// Calls fn(row of channels of x, pixel) for each window position inside the image; returns how many there
// are.
template <class Fn>
int64_t each_tap(const PoolDesc& d, int64_t pixel, const Fn& fn) {
  const int64_t n = pixel / (d.ho * d.wo), y0 = pixel / d.wo % d.ho * d.stride_h - d.top;
  const int64_t x0 = pixel % d.wo * d.stride_w - d.left;
  int64_t count = 0;
  for (int64_t i = 0; i < d.kh; ++i) {
    const int64_t y = y0 + i * d.dilation_h;
    if (y < 0 || y >= d.h) continue;
    for (int64_t j = 0; j < d.kw; ++j) {
      const int64_t x = x0 + j * d.dilation_w;
      if (x < 0 || x >= d.w) continue;
      fn(((n * d.h + y) * d.w + x) * d.c);
      ++count;
    }
  }
  return count;
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

template <class T>
void max_pixel(const PoolDesc& d, void (*max)(const T*, T*, int64_t), T lowest, const T* x, T* y,
               int64_t pixel) {
  T* out = y + pixel * d.c;
  bool first = true;
  each_tap(d, pixel, [&](int64_t at) {
    if (first) {
      std::memcpy(out, x + at, static_cast<size_t>(d.c) * sizeof(T));
    } else {
      max(x + at, out, d.c);
    }
    first = false;
  });
  for (int64_t i = 0; first && i < d.c; ++i) out[i] = lowest;  // a window that lies on the border wholly
}

void run_max(const PoolDesc& d, const ElementKernels& k, const std::byte* x, std::byte* y, int64_t pixel) {
  if (d.x == Code::U8) {
    max_pixel<uint8_t>(d, k.max_u8, 0, reinterpret_cast<const uint8_t*>(x), reinterpret_cast<uint8_t*>(y),
                       pixel);
  } else if (d.x == Code::I8) {
    max_pixel<int8_t>(d, k.max_i8, -128, reinterpret_cast<const int8_t*>(x), reinterpret_cast<int8_t*>(y),
                      pixel);
  } else {
    max_pixel<float>(d, k.max_f32, -INFINITY, reinterpret_cast<const float*>(x), reinterpret_cast<float*>(y),
                     pixel);
  }
}

void run_average_codes(const PoolDesc& d, const ElementKernels& k, const std::byte* x, std::byte* y,
                       std::byte* scratch, int64_t pixel) {
  int32_t* sums = reinterpret_cast<int32_t*>(scratch);
  std::memset(sums, 0, static_cast<size_t>(d.c) * 4);
  const int64_t inside = each_tap(d, pixel, [&](int64_t at) {
    k.accumulate(d.x == Code::I8, reinterpret_cast<const uint8_t*>(x) + at, sums, d.c);
  });
  const int32_t zero = static_cast<int32_t>(inside) * d.x_zero_point;
  for (int64_t c = 0; c < d.c; ++c) sums[c] -= zero;
  const int64_t count = divisor(d, pixel, inside);
  const float multiplier = count == 0 ? 0.0f : d.multiplier / static_cast<float>(count);
  k.requantize_sums(multiplier, d.range, sums, reinterpret_cast<uint8_t*>(y) + pixel * d.c, d.c);
}

void run_average_floats(const PoolDesc& d, const ElementKernels& k, const std::byte* x, std::byte* y,
                        int64_t pixel) {
  float* out = reinterpret_cast<float*>(y) + pixel * d.c;
  std::memset(out, 0, static_cast<size_t>(d.c) * 4);
  const int64_t inside = each_tap(
      d, pixel, [&](int64_t at) { k.add_f32(reinterpret_cast<const float*>(x) + at, out, out, d.c); });
  const float count = static_cast<float>(divisor(d, pixel, inside));
  for (int64_t c = 0; c < d.c; ++c) out[c] /= count;
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
  const int64_t sums_bytes = (d.c * 4 + 63) / 64 * 64;
  require(view, view.threads >= 1 && view.threads <= 1024, "the plan's number of threads is absurd");
  const int planned = view.threads;
  return function_step(
      [=, &k](const engine::RunArgs& args) {
        const int used = pixels * d.c * d.kh * d.kw < 16384 ? 1 : planned;
        spread(args.team, used, [&](int thread, int threads) {
          std::byte* scratch = args.scratch + thread * sums_bytes;
          const int64_t last = pixels * (thread + 1) / threads;
          for (int64_t pixel = pixels * thread / threads; pixel < last; ++pixel) {
            if (!average) {
              run_max(d, k, args.inputs[0], args.outputs[0], pixel);
            } else if (codes) {
              run_average_codes(d, k, args.inputs[0], args.outputs[0], scratch, pixel);
            } else {
              run_average_floats(d, k, args.inputs[0], args.outputs[0], pixel);
            }
          }
        });
      },
      average && codes ? static_cast<size_t>(sums_bytes) * static_cast<size_t>(planned) : 0);
}

}  // namespace

Binding bind_max_pool() { return {"MaxPoolNhwc", tactics, pack, load}; }
Binding bind_average_pool() { return {"AveragePoolNhwc", tactics, pack, load}; }
Binding bind_global_average_pool() { return {"GlobalAveragePoolNhwc", tactics, pack, load}; }
Binding bind_qaverage_pool() { return {"QAveragePool", tactics, pack, load}; }
Binding bind_qglobal_average_pool() { return {"QGlobalAveragePool", tactics, pack, load}; }

}  // namespace kvant::backends::cpu
