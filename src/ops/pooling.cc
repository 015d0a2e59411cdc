// SPDX-License-Identifier: Apache-2.0
#include "ops/pooling.h"

#include <algorithm>
#include <limits>

#include "ops/channels_last.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

struct Taps {
  std::vector<int64_t> at;   // coordinates inside the input
  int64_t padded_count = 0;  // taps inside the padded input
};

// Works with bounds instead of walking the kernel: its size is untrusted.
Taps taps_of(const WindowAxis& axis, int64_t out) {
  Taps taps;
  const int64_t start = axis.start(out), d = axis.dilation;
  const int64_t first = start >= 0 ? 0 : (-start + d - 1) / d;
  for (int64_t k = first; k < axis.kernel && start + k * d < axis.input; ++k)
    taps.at.push_back(start + k * d);
  const int64_t room = axis.input + axis.pad_end - start;  // padded elements from the window's start on
  taps.padded_count = room <= 0 ? 0 : std::min(axis.kernel, (room - 1) / d + 1);
  return taps;
}

std::vector<Taps> all_taps(const WindowAxis& axis) {
  std::vector<Taps> result;
  for (int64_t out = 0; out < axis.output; ++out) result.push_back(taps_of(axis, out));
  return result;
}

template <class T>
T least() {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return T(-std::numeric_limits<float>::infinity());
  else if constexpr (std::is_floating_point_v<T>)
    return -std::numeric_limits<T>::infinity();
  else
    return std::numeric_limits<T>::min();
}

}  // namespace

std::optional<Shape> pool_shape(std::string_view op, const ir::Attributes& attributes,
                                const std::optional<Shape>& x) {
  const WindowAttributes window = window_attributes(attributes);
  if (!x) return std::nullopt;
  spatial_rank(op, *x);
  const auto sizes = window_output_sizes(window, std::span(*x).subspan(2));
  Shape result{(*x)[0], (*x)[1]};
  result.insert(result.end(), sizes.begin(), sizes.end());
  return result;
}

std::optional<Shape> pool_shape_nhwc(std::string_view op, const ir::Attributes& attributes,
                                     const std::optional<Shape>& x) {
  require_nhwc(op, x);
  const auto shape = pool_shape(op, attributes, x ? std::optional(to_channels_first(*x)) : std::nullopt);
  return shape ? std::optional(to_channels_last(*shape)) : std::nullopt;
}

Pool plan_pool(std::string_view op, const ir::Attributes& attributes, const Shape& x) {
  Pool pool;
  pool.output = checked_result(op, *pool_shape(op, attributes, x));
  pool.outer = x[0] * x[1];
  pool.axes = three_axes(resolve_windows(window_attributes(attributes), std::span(x).subspan(2)));
  return pool;
}

Pool plan_pool_nhwc(std::string_view op, const ir::Attributes& attributes, const Shape& x) {
  require_nhwc(op, x);
  Pool pool = plan_pool(op, attributes, to_channels_first(x));
  pool.outer = x[0];
  pool.inner = x[3];
  pool.output = to_channels_last(pool.output);
  return pool;
}

void for_each_window(const Pool& pool, const std::function<void(int64_t, const PoolWindow&)>& fn) {
  if (pool.outer * pool.inner == 0) return;
  const auto depth = all_taps(pool.axes[0]), height = all_taps(pool.axes[1]), width = all_taps(pool.axes[2]);
  int64_t position = 0;
  PoolWindow window;
  for (const Taps& d : depth)
    for (const Taps& h : height)
      for (const Taps& w : width) {
        window.offsets.clear();
        window.padded_count = d.padded_count * h.padded_count * w.padded_count;
        for (const int64_t z : d.at)
          for (const int64_t y : h.at)
            for (const int64_t x : w.at)
              window.offsets.push_back((z * pool.axes[1].input + y) * pool.axes[2].input + x);
        fn(position++, window);
      }
}

std::vector<double> window_means(const Pool& pool, const std::vector<double>& x, bool count_include_pad) {
  return pool_with(pool, x, [&](const PoolWindow& window, auto element) {
    double sum = 0;
    for (const int64_t offset : window.offsets) sum += element(offset);
    const auto own = static_cast<int64_t>(window.offsets.size());
    const int64_t count = count_include_pad ? window.padded_count : own;
    return count == 0 ? 0.0 : sum / static_cast<double>(count);
  });
}

std::vector<int64_t> largest_under(const Pool& pool, const std::vector<double>& x) {
  std::vector<int64_t> result(static_cast<size_t>(pool.outer * pool.output_plane() * pool.inner));
  const int64_t in_plane = pool.input_plane(), out_plane = pool.output_plane();
  for_each_window(pool, [&](int64_t position, const PoolWindow& window) {
    for (int64_t o = 0; o < pool.outer; ++o)
      for (int64_t i = 0; i < pool.inner; ++i) {
        int64_t best = -1;
        for (const int64_t offset : window.offsets) {
          const int64_t at = (o * in_plane + offset) * pool.inner + i;
          if (best < 0 || x[static_cast<size_t>(at)] > x[static_cast<size_t>(best)]) best = at;
        }
        result[static_cast<size_t>((o * out_plane + position) * pool.inner + i)] = best;
      }
  });
  return result;
}

Tensor pick(const Tensor& x, Shape shape, const std::vector<int64_t>& indices) {
  Tensor y(x.dtype(), std::move(shape));
  KVANT_CHECK(static_cast<size_t>(y.size()) == indices.size(), "one index for each element");
  visit_dtype(x.dtype(), [&]<class T>() {
    const auto in = x.data<T>();
    const auto out = y.mutable_data<T>();
    for (size_t i = 0; i < indices.size(); ++i)
      out[i] = indices[i] < 0 ? least<T>() : in[static_cast<size_t>(indices[i])];
  });
  return y;
}

std::vector<double> plane_sums(const std::vector<double>& x, int64_t outer, int64_t plane, int64_t inner) {
  std::vector<double> sums(static_cast<size_t>(outer * inner), 0.0);
  const double* value = x.data();
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t p = 0; p < plane; ++p)
      for (int64_t i = 0; i < inner; ++i) sums[static_cast<size_t>(o * inner + i)] += *value++;
  return sums;
}

std::optional<Shape> global_pool_shape(std::string_view op, const std::optional<Shape>& x) {
  if (!x) return std::nullopt;
  require_rank(op, *x, 2);
  Shape result(x->size(), 1);
  result[0] = (*x)[0];
  result[1] = (*x)[1];
  return result;
}

std::vector<ir::AttributeDef> pool_attributes() {
  using ir::AttributeKind;
  return {{"auto_pad", AttributeKind::Text},      {"ceil_mode", AttributeKind::Integer},
          {"dilations", AttributeKind::Integers}, {"kernel_shape", AttributeKind::Integers, true},
          {"pads", AttributeKind::Integers},      {"strides", AttributeKind::Integers}};
}

}  // namespace kvant::ops
