// SPDX-License-Identifier: Apache-2.0
// Pools over channels-last tensors.
#include "backends/cuda/parts.h"

namespace kvant::backends::cuda {
namespace {

bool is_global(const engine::NodeView& view) { return view.node.op.find("Global") != std::string::npos; }

void read_window(const engine::NodeView& view, PoolShape& s) {
  if (is_global(view)) {
    s.kh = s.h, s.kw = s.w;
    return;
  }
  const auto kernel = numbers(view, "kernel_shape", 2, 1, {});
  const auto stride = numbers(view, "strides", 2, 1, {1, 1});
  const auto dilation = numbers(view, "dilations", 2, 1, {1, 1});
  const auto pads = numbers(view, "pads", 4, 0, {0, 0, 0, 0});
  require(view, view.node.attributes.integer("ceil_mode", 0) == 0, "ceil_mode is not resolved");
  s.kh = kernel[0], s.kw = kernel[1], s.stride_h = stride[0], s.stride_w = stride[1];
  s.dilation_h = dilation[0], s.dilation_w = dilation[1];
  s.top = pads[0], s.left = pads[1], s.bottom = pads[2], s.right = pads[3];
}

}  // namespace

PoolDesc describe_pool(const engine::NodeView& view) {
  const Shape &x = input_shape(view, 0), &y = output_shape(view);
  require(view, view.constants.empty() || view.constants[0] == nullptr, "x is constant");
  require(view, x.size() == 4, "x has rank 4");
  for (const int64_t dim : x) require(view, dim >= 1 && dim <= INT32_MAX, "a dimension is zero or absurd");
  PoolDesc d;
  PoolShape& s = d.shape;
  s.n = x[0], s.h = x[1], s.w = x[2], s.c = x[3];
  read_window(view, s);
  s.ho = (s.h + s.top + s.bottom - s.dilation_h * (s.kh - 1) - 1) / s.stride_h + 1;
  s.wo = (s.w + s.left + s.right - s.dilation_w * (s.kw - 1) - 1) / s.stride_w + 1;
  require(view, y == Shape{s.n, s.ho, s.wo, s.c},
          fmt::format("the result is [{}] where [{}x{}x{}x{}] belongs", to_string(y), s.n, s.ho, s.wo, s.c));
  require(view, view.node.outputs.size() == 1 && view.outputs.size() == 1, "only one result is made");
  require(view, s.kh * s.kw <= (1 << 23), "the window is too large for sums of 32 bits");
  d.average = view.node.op != "MaxPoolNhwc";
  d.count_include_pad = !is_global(view) && view.node.attributes.integer("count_include_pad", 0) != 0;
  d.x = code_of(view, view.inputs[0].dtype);
  if (view.node.op[0] == 'Q') {
    require(view, d.x != Code::F32, "codes belong here");
    d.x_zero_point = code_attribute(view, "x_zero_point", 0, d.x);
    const Code code = is_signed_code(view, view.outputs[0].dtype) ? Code::I8 : Code::U8;
    d.out = range_of(view, code);
    d.multiplier = view.node.attributes.real("multiplier", 1.0f);
  } else {
    require(view, view.outputs[0].dtype == view.inputs[0].dtype, "x and y differ in type");
    require(view, !d.average || d.x == Code::F32, "f32 belongs here");
  }
  return d;
}

namespace {

std::vector<std::string> pool_tactics(const engine::NodeView& view, int, std::string&) {
  describe_pool(view);
  return {std::string(kPlain)};
}

std::vector<Tensor> pack_nothing(const engine::NodeView&, std::string_view) { return {}; }

std::unique_ptr<engine::Step> pool_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  require(view, packed.empty(), "it has no packed constants");
  const PoolDesc d = describe_pool(view);
  return launch_step({},
                     [d](const Places& p, const auto& launch) { launch(pool_launch(d, p.in(0), p.out())); });
}

}  // namespace

Binding bind_max_pool() { return {"MaxPoolNhwc", pool_tactics, pack_nothing, pool_load}; }
Binding bind_average_pool() { return {"AveragePoolNhwc", pool_tactics, pack_nothing, pool_load}; }
Binding bind_global_average_pool() {
  return {"GlobalAveragePoolNhwc", pool_tactics, pack_nothing, pool_load};
}
Binding bind_qaverage_pool() { return {"QAveragePool", pool_tactics, pack_nothing, pool_load}; }
Binding bind_qglobal_average_pool() { return {"QGlobalAveragePool", pool_tactics, pack_nothing, pool_load}; }

}  // namespace kvant::backends::cuda
