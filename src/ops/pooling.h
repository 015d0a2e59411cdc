// SPDX-License-Identifier: Apache-2.0
// Windows over spatial positions, for all pools in either layout.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "ir/op_def.h"
#include "ops/window.h"

namespace kvant::ops {

// The spatial elements under one window: their offsets in the plane in row-major order, padding left out.
struct PoolWindow {
  std::vector<int64_t> offsets;
  int64_t padded_count = 0;  // how many there are with the declared padding counted
};

// A pool over a tensor seen as [outer, plane, inner]: NCHW has inner 1, NHWC outer N and inner C.
struct Pool {
  int64_t outer = 1, inner = 1;
  WindowAxes axes;
  Shape output;
  int64_t input_plane() const { return axes[0].input * axes[1].input * axes[2].input; }
  int64_t output_plane() const { return axes[0].output * axes[1].output * axes[2].output; }
};

// Output shape of N,C,spatial... and of N,H,W,C tensors; unknown dimensions pass through.
std::optional<Shape> pool_shape(std::string_view op, const ir::Attributes& attributes,
                                const std::optional<Shape>& x);
std::optional<Shape> pool_shape_nhwc(std::string_view op, const ir::Attributes& attributes,
                                     const std::optional<Shape>& x);
Pool plan_pool(std::string_view op, const ir::Attributes& attributes, const Shape& x);
Pool plan_pool_nhwc(std::string_view op, const ir::Attributes& attributes, const Shape& x);

// Calls fn(position, window) for every output position of the plane.
void for_each_window(const Pool& pool, const std::function<void(int64_t, const PoolWindow&)>& fn);

// result[outer, position, inner] = fn(window, element) where element(offset) reads the input under that
// window.
template <class Fn>
std::vector<double> pool_with(const Pool& pool, const std::vector<double>& x, Fn fn) {
  std::vector<double> result(static_cast<size_t>(pool.outer * pool.output_plane() * pool.inner));
  const int64_t in_plane = pool.input_plane(), out_plane = pool.output_plane();
  for_each_window(pool, [&](int64_t position, const PoolWindow& window) {
    for (int64_t o = 0; o < pool.outer; ++o)
      for (int64_t i = 0; i < pool.inner; ++i) {
        const double* plane = x.data() + o * in_plane * pool.inner + i;
        const auto element = [&](int64_t offset) { return plane[offset * pool.inner]; };
        result[static_cast<size_t>((o * out_plane + position) * pool.inner + i)] = fn(window, element);
      }
  });
  return result;
}

// Mean of the window: ONNX's AveragePool. Padding counts where `count_include_pad`; an empty window gives 0.
std::vector<double> window_means(const Pool& pool, const std::vector<double>& x, bool count_include_pad);
// For every output element, the index in x of the largest element under its window (the first of equals), or
// -1 where the window has only padding.
std::vector<int64_t> largest_under(const Pool& pool, const std::vector<double>& x);
// The elements of x at the indices; the least value of the type where the index is -1.
Tensor pick(const Tensor& x, Shape shape, const std::vector<int64_t>& indices);

// [outer, plane, inner] to [outer, inner]: sums over the plane.
std::vector<double> plane_sums(const std::vector<double>& x, int64_t outer, int64_t plane, int64_t inner);

// N,C,1,1... of an N,C,spatial... shape; fails on fewer than 2 dimensions.
std::optional<Shape> global_pool_shape(std::string_view op, const std::optional<Shape>& x);

std::vector<ir::AttributeDef> pool_attributes();

}  // namespace kvant::ops
