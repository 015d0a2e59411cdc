// SPDX-License-Identifier: Apache-2.0
// QMatMul and MatMul: products of tensors that come at run time, transposed where the graph says so without a
// copy.
#include <algorithm>

#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/product/product.h"
#include "backends/cuda/kernels/real/real.h"

namespace kvant::backends::cuda {
namespace {

constexpr int64_t kMaxTerms = 1 << 16;  // of sums of 32 bits

// Steps of the axes of Transpose(tensor of `shape`, attribute `name`), in elements; `seen`: its shape.
std::vector<int64_t> steps_of(const engine::NodeView& view, const Shape& shape, std::string_view name,
                              Shape& seen) {
  const std::vector<int64_t> steps = strides_of(shape), perm = view.node.attributes.integers(name, {});
  seen = shape;
  if (perm.empty()) return steps;
  std::vector<int64_t> sorted(perm), result;
  std::ranges::sort(sorted);
  require(view, perm.size() == shape.size(), fmt::format("{} is not of the operand's rank", name));
  for (size_t i = 0; i < sorted.size(); ++i)
    require(view, sorted[i] == static_cast<int64_t>(i), fmt::format("{} is not a permutation", name));
  seen.clear();
  for (const int64_t axis : perm) {
    seen.push_back(shape[static_cast<size_t>(axis)]);
    result.push_back(steps[static_cast<size_t>(axis)]);
  }
  return result;
}

// What ProductDesc and RealProductDesc have in common, from steps by axis (the last two the matrix's).
template <class Desc>
void set_matrices(const engine::NodeView& view, const Shape& leading, const std::vector<int64_t>& a,
                  const std::vector<int64_t>& b, const std::vector<int64_t>& y, Desc& d) {
  require(view, leading.size() <= static_cast<size_t>(Desc::kBatchRank), "too many leading axes");
  const size_t first = static_cast<size_t>(Desc::kBatchRank) - leading.size();
  for (size_t i = 0; i < leading.size(); ++i) {
    d.batch[first + i] = leading[i];
    d.a_batch[first + i] = a[i], d.b_batch[first + i] = b[i], d.y_batch[first + i] = y[i];
  }
  const size_t row = leading.size(), column = row + 1;
  d.a_row = a[row], d.a_column = a[column];
  d.b_row = b[row], d.b_column = b[column];
  d.y_row = y[row], d.y_column = y[column];
}

void check_runtime(const engine::NodeView& view) {
  require(view, view.node.inputs.size() == 2 && view.outputs.size() == 1, "two operands and one result");
  for (const Tensor* constant : view.constants) require(view, constant == nullptr, "an operand is constant");
}

ProductDesc describe_qmatmul(const engine::NodeView& view) {
  check_runtime(view);
  ProductDesc d;
  d.a_signed = is_signed_code(view, view.inputs[0].dtype);
  d.b_signed = is_signed_code(view, view.inputs[1].dtype);
  d.a_zero_point = code_attribute(view, "a_zero_point", 0, d.a_signed ? Code::I8 : Code::U8);
  d.b_zero_point = code_attribute(view, "b_zero_point", 0, d.b_signed ? Code::I8 : Code::U8);
  d.multiplier = view.node.attributes.real("multiplier", 1.0f);
  d.output = code_of(view, view.outputs[0].dtype);
  if (d.output != Code::F32) d.out = range_of(view, d.output);
  Shape a, b, y;
  const auto a_steps = steps_of(view, input_shape(view, 0), "a_perm", a);
  const auto b_steps = steps_of(view, input_shape(view, 1), "b_perm", b);
  require(view, a.size() >= 2 && a.size() == b.size() && std::equal(a.begin(), a.end() - 2, b.begin()),
          "operands with other leading dimensions are left to the host");
  const size_t row = a.size() - 2, column = a.size() - 1;
  const Shape leading(a.begin(), a.end() - 2);
  Shape product = leading;
  product.push_back(a[row]);
  product.push_back(b[column]);
  steps_of(view, product, "y_perm", y);
  require(view, y == output_shape(view) && a[column] == b[row], "the shapes do not fit");
  // y_perm goes from the product to the result: the steps the product sees are the inverse's.
  const std::vector<int64_t> perm = view.node.attributes.integers("y_perm", {}),
                             steps = strides_of(output_shape(view));
  std::vector<int64_t> y_steps = steps;
  for (size_t i = 0; i < perm.size(); ++i) y_steps[static_cast<size_t>(perm[i])] = steps[i];
  d.m = a[row], d.n = b[column], d.k = a[column];
  require(view, d.k > 0 && d.k <= kMaxTerms, "no terms, or too many for sums of 32 bits");
  set_matrices(view, leading, a_steps, b_steps, y_steps, d);
  return d;
}

// Steps of an operand's leading axes beside those of the result; 0 where it is repeated.
std::vector<int64_t> broadcast_steps(const engine::NodeView& view, const Shape& x, const Shape& leading) {
  const std::vector<int64_t> steps = strides_of(x);
  std::vector<int64_t> result(leading.size(), 0);
  const size_t own = x.size() - 2;
  require(view, own <= leading.size(), "an operand has more axes than the result");
  for (size_t i = 0; i < own; ++i) {
    const size_t at = leading.size() - own + i;
    require(view, x[i] == leading[at] || x[i] == 1, "the leading axes do not fit");
    result[at] = x[i] == 1 ? 0 : steps[i];
  }
  result.push_back(steps[own]);
  result.push_back(steps[own + 1]);
  return result;
}

RealProductDesc describe_matmul(const engine::NodeView& view) {
  require(view, view.node.inputs.size() == 2 && view.outputs.size() == 1, "two operands and one result");
  const Operands operands(view);
  require(view, view.outputs[0].dtype == DType::Float32, "only f32");
  const Shape &a = input_shape(view, 0), &b = input_shape(view, 1), &y = output_shape(view);
  for (const size_t i : {size_t{0}, size_t{1}})
    require(view, view.inputs[i].dtype == DType::Float32, "only f32");
  require(view, a.size() >= 2 && b.size() >= 2 && y.size() >= 2, "vectors are left to the host");
  RealProductDesc d;
  d.m = a[a.size() - 2], d.k = a.back(), d.n = b.back();
  require(view, b[b.size() - 2] == d.k && y[y.size() - 2] == d.m && y.back() == d.n && d.k > 0,
          "the shapes do not fit");
  const Shape leading(y.begin(), y.end() - 2);
  set_matrices(view, leading, broadcast_steps(view, a, leading), broadcast_steps(view, b, leading),
               strides_of(y), d);
  return d;
}

std::vector<std::string> qmatmul_tactics(const engine::NodeView& view, int, std::string&) {
  describe_qmatmul(view);
  return {std::string(kPlain)};
}

std::vector<Tensor> no_constants(const engine::NodeView&, std::string_view) { return {}; }

std::unique_ptr<engine::Step> qmatmul_load(const engine::NodeView& view, std::string_view tactic,
                                           std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  require(view, packed.empty(), "it has no packed constants");
  const ProductDesc d = describe_qmatmul(view);
  return launch_step(
      {}, [d](const Places& p, const auto& launch) { launch(product_launch(d, p.in(0), p.in(1), p.out())); });
}

std::vector<std::string> matmul_tactics(const engine::NodeView& view, int, std::string&) {
  describe_matmul(view);
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> matmul_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  const RealProductDesc d = describe_matmul(view);
  Operands operands(view, std::move(packed));
  return launch_step(operands.take(), [d](const Places& p, const auto& launch) {
    launch(real_product_launch(d, p.in(0), p.in(1), p.out()));
  });
}

}  // namespace

Binding bind_qmatmul() { return {"QMatMul", qmatmul_tactics, no_constants, qmatmul_load}; }
Binding bind_matmul() { return {"MatMul", matmul_tactics, pack_constants, matmul_load}; }

}  // namespace kvant::backends::cuda
