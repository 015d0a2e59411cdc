// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/real_values.h"
#include "ops/resize_axis.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

constexpr size_t kRoi = 1, kScales = 2, kSizes = 3;

std::vector<size_t> resized_axes(const ir::Attributes& attributes, size_t rank) {
  std::vector<size_t> axes(rank);
  std::iota(axes.begin(), axes.end(), size_t{0});
  if (!attributes.has("axes")) return axes;
  const std::vector<int64_t> given = attributes.integers("axes");
  checked_axes("Resize", given, rank);
  axes.clear();
  for (const int64_t axis : given) axes.push_back(checked_axis("Resize", axis, rank));  // in the order given
  return axes;
}

int64_t scaled_size(int64_t input, float scale) {
  if (!(scale > 0) || !std::isfinite(scale)) fail("Resize: scale {} is not a positive number", scale);
  const float size = std::floor(static_cast<float>(input) * scale);
  if (size >= 2147483648.0f) fail("Resize: scale {} makes {} elements far too many", scale, input);
  return static_cast<int64_t>(size);
}

void resolve_sizes(const ir::Attributes& attributes, const std::vector<int64_t>& sizes,
                   const std::vector<size_t>& chosen, std::vector<ResizeAxis>& axes) {
  const std::string policy = attributes.text("keep_aspect_ratio_policy", "stretch");
  if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller")
    fail("Resize: keep_aspect_ratio_policy is '{}'; it must be stretch, not_larger or not_smaller", policy);
  double common = 0;
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (sizes[i] < 0 || sizes[i] >= (int64_t{1} << 31)) fail("Resize: size {} is out of range", sizes[i]);
    ResizeAxis& axis = axes[chosen[i]];
    axis.output = sizes[i];
    axis.scale = static_cast<double>(sizes[i]) / static_cast<double>(std::max<int64_t>(axis.input, 1));
    common = i == 0 ? axis.scale
                    : (policy == "not_larger" ? std::min(common, axis.scale) : std::max(common, axis.scale));
  }
  if (policy == "stretch") return;
  for (const size_t index : chosen) {
    axes[index].scale = common;
    axes[index].output =
        static_cast<int64_t>(std::floor(common * static_cast<double>(axes[index].input) + 0.5));
  }
}

void resolve_scales(const std::vector<float>& scales, const std::vector<size_t>& chosen,
                    std::vector<ResizeAxis>& axes) {
  for (size_t i = 0; i < chosen.size(); ++i) {
    axes[chosen[i]].scale = scales[i];
    axes[chosen[i]].output = scaled_size(axes[chosen[i]].input, scales[i]);
  }
}

}  // namespace

std::vector<ResizeAxis> resize_axes(const ir::Attributes& attributes, const Shape& x, const Tensor* scales,
                                    const Tensor* sizes) {
  const std::vector<size_t> chosen = resized_axes(attributes, x.size());
  const bool by_scale = scales != nullptr && scales->size() > 0,
             by_size = sizes != nullptr && sizes->size() > 0;
  if (by_scale == by_size) fail("Resize: exactly one of scales and sizes must be given");
  const Tensor& given = by_scale ? *scales : *sizes;
  if (given.size() != static_cast<int64_t>(chosen.size()))
    fail("Resize: {} {} for {} axes", given.size(), by_scale ? "scales" : "sizes", chosen.size());
  std::vector<ResizeAxis> axes(x.size());
  for (size_t d = 0; d < x.size(); ++d) axes[d].input = axes[d].output = x[d];
  if (by_scale)
    resolve_scales(scales->to_floats(), chosen, axes);
  else
    resolve_sizes(attributes, sizes->to_ints(), chosen, axes);
  return axes;
}

namespace {

// roi is [begin of each axis..., end of each axis...] in units of the axis' length.
void set_roi(const ir::EvalArgs& args, std::vector<ResizeAxis>& axes) {
  const std::vector<size_t> chosen = resized_axes(args.attributes(), axes.size());
  if (!args.has(kRoi)) fail("Resize: tf_crop_and_resize needs the input roi");
  const std::vector<float> roi = args.in(kRoi).to_floats();
  if (roi.size() != 2 * chosen.size())
    fail("Resize: roi has {} entries; {} are needed", roi.size(), 2 * chosen.size());
  for (size_t i = 0; i < chosen.size(); ++i) {
    axes[chosen[i]].roi_begin = roi[i];
    axes[chosen[i]].roi_end = roi[chosen.size() + i];
  }
}

// x as [outer, input, inner] to [outer, output, inner].
std::vector<double> resize_along(const std::vector<double>& x, int64_t outer, int64_t inner,
                                 const ResizeAxis& axis, const ResizeRules& rules) {
  const std::vector<ResizeTap> taps = resize_taps(rules, axis);
  std::vector<double> y(static_cast<size_t>(outer * axis.output * inner), 0.0);
  double* out = y.data();
  for (int64_t o = 0; o < outer; ++o)
    for (const ResizeTap& tap : taps) {
      for (size_t k = 0; k < tap.index.size(); ++k) {
        const double* in = x.data() + (o * axis.input + tap.index[k]) * inner;
        for (int64_t i = 0; i < inner; ++i) out[i] += in[i] * tap.weight[k];
      }
      if (tap.outside) std::fill_n(out, inner, static_cast<double>(rules.extrapolation));
      out += inner;
    }
  return y;
}

// An axis that maps every element to itself.
bool is_copy(const ResizeAxis& axis, const ResizeRules& rules) {
  const bool whole =
      rules.coordinates != CoordinateMode::TfCropAndResize || (axis.roi_begin == 0 && axis.roi_end == 1);
  return axis.input == axis.output && axis.scale == 1.0 && whole;
}

std::vector<Type> infer_resize(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  parse_resize_rules(args.attributes());
  if (!x.shape) return {x};
  const auto chosen = resized_axes(args.attributes(), x.shape->size());
  Type result = x;
  for (const size_t axis : chosen) (*result.shape)[axis] = kUnknownDim;
  const Tensor* scales = args.has(kScales) ? args.constants[kScales] : nullptr;
  const Tensor* sizes = args.has(kSizes) ? args.constants[kSizes] : nullptr;
  if ((scales == nullptr || scales->size() == 0) && (sizes == nullptr || sizes->size() == 0)) return {result};
  const bool keeps = args.attributes().text("keep_aspect_ratio_policy", "stretch") == "stretch";
  const std::vector<ResizeAxis> axes = resize_axes(args.attributes(), *x.shape, scales, sizes);
  const bool by_size = sizes != nullptr && sizes->size() > 0;
  const bool all_known =
      std::all_of(chosen.begin(), chosen.end(), [&](size_t d) { return (*x.shape)[d] != kUnknownDim; });
  for (const size_t d : chosen) {
    const bool scaled = (*x.shape)[d] != kUnknownDim && (keeps || all_known);
    if (scaled || (by_size && keeps)) (*result.shape)[d] = axes[d].output;
    if (!by_size && (*x.shape)[d] == kUnknownDim) (*result.shape)[d] = kUnknownDim;
  }
  return {result};
}

std::vector<Tensor> evaluate_resize(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const ResizeRules rules = parse_resize_rules(args.attributes());
  std::vector<ResizeAxis> axes =
      resize_axes(args.attributes(), x.shape(), args.has(kScales) ? &args.in(kScales) : nullptr,
                  args.has(kSizes) ? &args.in(kSizes) : nullptr);
  if (rules.coordinates == CoordinateMode::TfCropAndResize) set_roi(args, axes);
  Shape shape;
  for (const ResizeAxis& axis : axes) shape.push_back(axis.output);
  checked_result("Resize", shape);
  if (element_count(shape) > 0 && x.size() == 0)
    fail("Resize: an empty tensor cannot become {}", to_string(shape));
  if (element_count(shape) == 0) return {Tensor(x.dtype(), shape)};
  std::vector<double> values = to_doubles(x);
  Shape current = x.shape();
  for (size_t d = axes.size(); d-- > 0;) {
    if (is_copy(axes[d], rules)) continue;
    const auto at = current.begin() + static_cast<std::ptrdiff_t>(d);
    const int64_t outer = element_count(Shape(current.begin(), at)),
                  inner = element_count(Shape(at + 1, current.end()));
    values = resize_along(values, outer, inner, axes[d], rules);
    current[d] = axes[d].output;
  }
  if (is_float(x.dtype())) return {from_doubles(x.dtype(), shape, values)};
  return {from_doubles(DType::Float64, shape, values).cast(x.dtype())};
}

}  // namespace

ir::OpDef resize() {
  using ir::AttributeKind;
  return {.name = "Resize",
          .min_inputs = 1,
          .max_inputs = 4,
          .attributes = {{"antialias", AttributeKind::Integer},
                         {"axes", AttributeKind::Integers},
                         {"coordinate_transformation_mode", AttributeKind::Text},
                         {"cubic_coeff_a", AttributeKind::Real},
                         {"exclude_outside", AttributeKind::Integer},
                         {"extrapolation_value", AttributeKind::Real},
                         {"keep_aspect_ratio_policy", AttributeKind::Text},
                         {"mode", AttributeKind::Text},
                         {"nearest_mode", AttributeKind::Text}},
          .infer = infer_resize,
          .evaluate = evaluate_resize};
}

}  // namespace kvant::ops
