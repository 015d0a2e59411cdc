// SPDX-License-Identifier: Apache-2.0
// Float operators of attention blocks through oneDNN: MatMul of two activations, Softmax, LayerNormalization
// and ReduceMean.
#include <omp.h>

#include <unordered_map>

#include "backends/cpu/onednn.h"
#include "backends/cpu/operands.h"

namespace kvant::backends::cpu {
namespace {

using dnnl::memory;

constexpr std::string_view kTactic = "onednn";

// A memory that a run points at an input, a constant or the output of the node.
struct Slot {
  int argument;
  memory::desc desc;
  int input;  // -1: the output
};

// What a node becomes: a primitive and its arguments.
struct Primitive {
  dnnl::primitive primitive;
  memory::desc scratch;
  std::vector<Slot> slots;
};

memory::desc row_major(const Shape& shape) {
  const Shape dims = shape.empty() ? Shape{1} : shape;
  return {memory::dims(dims), memory::data_type::f32, memory::dims(strides_of(dims))};
}

template <class Desc, class Kind>
Primitive made(const typename Kind::desc& desc, std::vector<Slot> slots) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const Desc primitive_desc(desc, attributes, onednn_engine());
  return {Kind(primitive_desc), primitive_desc.scratchpad_desc(), std::move(slots)};
}

void require_f32(const engine::NodeView& view, const Operands& operands, size_t inputs) {
  for (size_t i = 0; i < inputs; ++i)
    require(view, !operands.has(i) || operands.dtype(i) == DType::Float32, "only f32");
  for (const Shape* shape : {&operands.shape(0), &output_shape(view)}) {
    require(view, element_count(*shape) > 0, "a tensor is empty");
    for (const int64_t dim : *shape) require(view, dim <= INT32_MAX, "a dimension is absurd");
  }
  require(view, view.outputs.at(0).dtype == DType::Float32, "the result is not f32");
}

// Both operands at the rank of the result, leading dimensions equal or 1.
Primitive describe_matmul(const engine::NodeView& view, const Operands& operands) {
  require_f32(view, operands, 2);
  Shape a = operands.shape(0), b = operands.shape(1);
  const Shape& y = output_shape(view);
  require(view, a.size() >= 2 && b.size() >= 2 && element_count(b) > 0,
          "products with vectors are left to the reference");
  require(view, y.size() >= a.size() && y.size() >= b.size() && y.size() <= 6, "the ranks do not fit");
  a.insert(a.begin(), y.size() - a.size(), 1);
  b.insert(b.begin(), y.size() - b.size(), 1);
  const size_t row = y.size() - 2, column = y.size() - 1;
  require(view, a[column] == b[row] && y[row] == a[row] && y[column] == b[column], "the shapes do not fit");
  for (size_t i = 0; i < row; ++i) {
    require(view,
            (a[i] == y[i] || a[i] == 1) && (b[i] == y[i] || b[i] == 1) && (a[i] == y[i] || b[i] == y[i]),
            "the leading dimensions do not fit");
  }
  const memory::desc first = row_major(a), second = row_major(b), result = row_major(y);
  return made<dnnl::matmul::primitive_desc, dnnl::matmul>(
      {first, second, result},
      {{DNNL_ARG_SRC, first, 0}, {DNNL_ARG_WEIGHTS, second, 1}, {DNNL_ARG_DST, result, -1}});
}

Primitive describe_softmax(const engine::NodeView& view, const Operands& operands) {
  require_f32(view, operands, 1);
  const Shape& x = operands.shape(0);
  require(view, x == output_shape(view) && !x.empty(), "x and y differ in shape");
  const int64_t axis = normalize_axis(view.node.attributes.integer("axis", -1), x.size());
  const memory::desc desc = row_major(x);
  using Softmax = dnnl::softmax_forward;
  return made<Softmax::primitive_desc, Softmax>(
      {dnnl::prop_kind::forward_inference, desc, static_cast<int>(axis)},
      {{DNNL_ARG_SRC, desc, 0}, {DNNL_ARG_DST, desc, -1}});
}

Primitive describe_layer_normalization(const engine::NodeView& view, const Operands& operands) {
  require_f32(view, operands, 3);
  const Shape& x = operands.shape(0);
  require(view, x == output_shape(view) && !x.empty(), "x and y differ in shape");
  for (size_t i = 1; i < view.node.outputs.size(); ++i)
    require(view, view.node.outputs[i] == ir::kNone, "means and deviations are left to the reference");
  const auto axis = static_cast<size_t>(normalize_axis(view.node.attributes.integer("axis", -1), x.size()));
  const int64_t length = element_count(Shape(x.begin() + static_cast<std::ptrdiff_t>(axis), x.end()));
  for (const size_t i : {size_t{1}, size_t{2}}) {
    require(view, !operands.has(i) || element_count(operands.shape(i)) == length,
            "scale and bias have not one value for each element of a row");
  }
  const memory::desc rows = row_major({element_count(x) / length, length}), line = row_major({length});
  using Norm = dnnl::layer_normalization_forward;
  auto flags = dnnl::normalization_flags::use_scale;
  std::vector<Slot> slots = {{DNNL_ARG_SRC, rows, 0}, {DNNL_ARG_DST, rows, -1}, {DNNL_ARG_SCALE, line, 1}};
  if (operands.has(2)) {
    flags |= dnnl::normalization_flags::use_shift;
    slots.push_back({DNNL_ARG_SHIFT, line, 2});
  }
  const float epsilon = view.node.attributes.real("epsilon", 1e-5f);
  return made<Norm::primitive_desc, Norm>({dnnl::prop_kind::forward_inference, rows, epsilon, flags},
                                          std::move(slots));
}

Primitive describe_reduce_mean(const engine::NodeView& view, const Operands& operands) {
  require_f32(view, operands, 1);
  const Shape& x = operands.shape(0);
  std::vector<int64_t> axes;
  if (operands.has(1)) axes = operands.required(1, "the list of axes").to_ints();
  require(view, !axes.empty() || view.node.attributes.integer("noop_with_empty_axes", 0) == 0,
          "without axes nothing is reduced");
  Shape reduced = axes.empty() ? Shape(x.size(), 1) : x;
  for (const int64_t axis : axes) reduced[static_cast<size_t>(normalize_axis(axis, x.size()))] = 1;
  require(view, element_count(reduced) == element_count(output_shape(view)), "the result has another size");
  require(view, reduced != x, "nothing is reduced");
  const memory::desc from = row_major(x), to = row_major(reduced);
  return made<dnnl::reduction::primitive_desc, dnnl::reduction>(
      {dnnl::algorithm::reduction_mean, from, to, 0.0f, 0.0f},
      {{DNNL_ARG_SRC, from, 0}, {DNNL_ARG_DST, to, -1}});
}

class PrimitiveStep final : public engine::Step {
 public:
  PrimitiveStep(Primitive made, Operands& operands, int threads)
      : threads_(threads), made_(std::move(made)), stream_(onednn_engine()) {
    for (const Slot& slot : made_.slots) {
      const auto constant = slot.input < 0 ? std::nullopt : operands.take(static_cast<size_t>(slot.input));
      memory place(slot.desc, onednn_engine(), nullptr);
      if (constant) place.set_data_handle(const_cast<std::byte*>(constant->raw()));
      constants_.push_back(constant);
      memories_.push_back(place);
      arguments_.emplace(slot.argument, place);
    }
    scratch_ = memory(made_.scratch, onednn_engine(), nullptr);
    arguments_.emplace(DNNL_ARG_SCRATCHPAD, scratch_);
  }

  size_t scratch_bytes() const override { return (made_.scratch.get_size() + 63) / 64 * 64; }

  void run(const engine::RunArgs& args) override {
    // Made for this number of threads, whatever the OpenMP default of the calling thread is.
    omp_set_num_threads(threads_);
    for (size_t i = 0; i < memories_.size(); ++i) {
      const int input = made_.slots[i].input;
      if (constants_[i]) continue;
      memories_[i].set_data_handle(
          input < 0 ? args.outputs[0] : const_cast<std::byte*>(args.inputs[static_cast<size_t>(input)]));
    }
    scratch_.set_data_handle(args.scratch);
    try {
      made_.primitive.execute(stream_, arguments_);
      stream_.wait();
    } catch (const dnnl::error& error) {
      fail("cpu: oneDNN cannot run it: {}", error.what());
    }
  }

 private:
  int threads_;
  Primitive made_;
  dnnl::stream stream_;
  std::vector<std::optional<Tensor>> constants_;
  std::vector<memory> memories_;
  memory scratch_;
  std::unordered_map<int, memory> arguments_;
};

using Describe = Primitive (*)(const engine::NodeView&, const Operands&);

template <Describe describe>
std::vector<std::string> tactics(const engine::NodeView& view, std::string&) {
  const Operands operands(view);
  translated(view, [&] { return describe(view, operands); });
  return {std::string(kTactic)};
}

template <Describe describe>
std::unique_ptr<engine::Step> load(const engine::NodeView& view, std::string_view tactic,
                                   std::vector<Tensor> packed) {
  require(view, tactic == kTactic, fmt::format("unknown tactic '{}'", tactic));
  const int threads = threads_of(view);
  Operands operands(view, std::move(packed));
  return translated(view, [&]() -> std::unique_ptr<engine::Step> {
    omp_set_num_threads(threads);
    return std::make_unique<PrimitiveStep>(describe(view, operands), operands, threads);
  });
}

template <Describe describe>
Binding binding(std::string_view op) {
  return {op, tactics<describe>, pack_constants, load<describe>};
}

}  // namespace

Binding bind_matmul() { return binding<describe_matmul>("MatMul"); }
Binding onednn_softmax() { return binding<describe_softmax>("Softmax"); }
Binding onednn_layer_normalization() { return binding<describe_layer_normalization>("LayerNormalization"); }
Binding bind_reduce_mean() { return binding<describe_reduce_mean>("ReduceMean"); }

}  // namespace kvant::backends::cpu
