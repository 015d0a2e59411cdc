// SPDX-License-Identifier: Apache-2.0
// QMatMul: products of activations. Each thread packs the second operand of a matrix for itself and makes a
// share of its rows, so that threads need not wait for one another.
#include <algorithm>

#include "backends/cpu/kernels/product/product.h"
#include "backends/cpu/node_epilogue.h"
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

constexpr std::string_view kProductPrefix = "qmatmul";

struct Batched {
  ProductDesc desc;
  Shape leading;  // dimensions of the matrices
  // Steps of an operand by dimension, the last two being the matrix's, as the product sees them.
  std::vector<int64_t> a_steps, b_steps, y_steps;
};

// Steps of the dimensions of Transpose(tensor of `shape`, perm), in elements.
std::vector<int64_t> steps_of(const engine::NodeView& view, const Shape& shape, std::string_view name,
                              Shape& seen) {
  const std::vector<int64_t> steps = strides_of(shape), perm = view.node.attributes.integers(name, {});
  if (perm.empty()) {
    seen = shape;
    return steps;
  }
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

void describe_codes(const engine::NodeView& view, ProductDesc& d) {
  d.a_signed = is_signed_code(view, view.inputs.at(0).dtype);
  d.b_signed = is_signed_code(view, view.inputs.at(1).dtype);
  d.a_zero_point = code_attribute(view, "a_zero_point", 0, d.a_signed ? Code::I8 : Code::U8);
  d.b_zero_point = code_attribute(view, "b_zero_point", 0, d.b_signed ? Code::I8 : Code::U8);
  d.multiplier = view.node.attributes.real("multiplier", 1.0f);
  d.output = code_of(view, view.outputs.at(0).dtype);
  if (d.output == Code::F32) return;
  d.zero_point = code_attribute(view, "y_zero_point", 0, d.output);
  read_clamp(view, d.output, d.low, d.high);
}

Batched describe_product(const engine::NodeView& view) {
  for (const Tensor* constant : view.constants) require(view, constant == nullptr, "an operand is constant");
  Batched p;
  describe_codes(view, p.desc);
  Shape a, b, y;
  p.a_steps = steps_of(view, input_shape(view, 0), "a_perm", a);
  p.b_steps = steps_of(view, input_shape(view, 1), "b_perm", b);
  require(view, a.size() >= 2 && a.size() == b.size() && std::equal(a.begin(), a.end() - 2, b.begin()),
          "operands with other leading dimensions are left to the reference");
  const size_t row = a.size() - 2, column = a.size() - 1;
  p.leading = Shape(a.begin(), a.end() - 2);
  Shape product = p.leading;
  product.push_back(a[row]);
  product.push_back(b[column]);
  // y_perm goes from the product to the result: the steps the product sees are the inverse's.
  const std::vector<int64_t> perm = view.node.attributes.integers("y_perm", {}),
                             steps = strides_of(output_shape(view));
  steps_of(view, product, "y_perm", y);
  require(view, y == output_shape(view) && a[column] == b[row], "the shapes do not fit");
  p.y_steps = steps;
  for (size_t i = 0; i < perm.size(); ++i) p.y_steps[static_cast<size_t>(perm[i])] = steps[i];
  p.desc.m = a[row], p.desc.n = b[column], p.desc.k = a[column];
  require(view, element_count(product) > 0 && p.desc.k > 0, "a tensor is empty");
  require(view, p.desc.k <= kMaxProductTerms, "too many terms for sums of 32 bits");
  require(view, p.y_steps[column] == 1 || p.desc.n == 1, "the result's rows do not lie in one piece");
  return p;
}

std::vector<std::string> product_tactics(const engine::NodeView& view, std::string&) {
  describe_product(view);
  return isa_tactics(product_kernels(), kProductPrefix);
}

// Where matrix `index` of the leading dimensions begins.
int64_t offset_of(const Shape& leading, const std::vector<int64_t>& steps, int64_t index) {
  int64_t offset = 0;
  for (size_t i = leading.size(); i-- > 0; index /= leading[i]) offset += index % leading[i] * steps[i];
  return offset;
}

std::unique_ptr<engine::Step> product_load(const engine::NodeView& view, std::string_view tactic,
                                           std::vector<Tensor> packed) {
  require_packed(view, packed, 0);
  const Batched p = describe_product(view);
  const ProductKernels& k = kernels_of(view, product_kernels(), kProductPrefix, tactic);
  const int threads = threads_of(view);
  const size_t packed_bytes = k.packed_bytes(p.desc), scratch_bytes = packed_bytes + k.scratch_bytes(p.desc);
  const int64_t matrices = element_count(p.leading);
  return function_step(
      [=, &k](const engine::RunArgs& args) {
        spread(args.team, threads, [&](int thread, int used) {
          std::byte* scratch = args.scratch + static_cast<size_t>(thread) * scratch_bytes;
          const size_t row = p.a_steps.size() - 2, column = row + 1;
          // Rows of all matrices together are shared out.
          const int64_t rows = matrices * p.desc.m, last = rows * (thread + 1) / used;
          for (int64_t at = rows * thread / used; at < last;) {
            const int64_t matrix = at / p.desc.m, first = at % p.desc.m;
            const int64_t end = std::min(p.desc.m, first + last - at);
            const CodeMatrix a{
                reinterpret_cast<const uint8_t*>(args.inputs[0]) + offset_of(p.leading, p.a_steps, matrix),
                p.a_steps[row], p.a_steps[column]};
            const CodeMatrix b{
                reinterpret_cast<const uint8_t*>(args.inputs[1]) + offset_of(p.leading, p.b_steps, matrix),
                p.b_steps[row], p.b_steps[column]};
            const ProductResult y{
                args.outputs[0] + offset_of(p.leading, p.y_steps, matrix) * code_bytes(p.desc.output),
                p.y_steps[row]};
            k.pack(p.desc, b, scratch);
            k.run(p.desc, a, scratch, y, first, end, scratch + packed_bytes);
            at += end - first;
          }
        });
      },
      scratch_bytes * static_cast<size_t>(threads));
}

std::vector<Tensor> no_constants(const engine::NodeView&, std::string_view) { return {}; }

}  // namespace

Binding bind_qmatmul() { return {"QMatMul", product_tactics, no_constants, product_load}; }

}  // namespace kvant::backends::cpu
