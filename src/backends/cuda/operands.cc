// SPDX-License-Identifier: Apache-2.0
// What bindings share: attributes read with checks, constant operands, steps made of launches.
#include "backends/cuda/binding.h"

namespace kvant::backends::cuda {
namespace {

constexpr int64_t kMaxNumber = 1 << 20;  // of pads, strides and dilations: keeps products far from overflow

class LaunchStep final : public engine::Step {
 public:
  LaunchStep(std::vector<std::optional<Tensor>> constants, MakeLaunches launches, Room room)
      : constants_(std::move(constants)), launches_(std::move(launches)), room_(room) {}

  size_t scratch_bytes() const override { return room_.scratch_bytes; }
  size_t counter_bytes() const override { return room_.counter_bytes; }

  void attach(engine::Session& session) override {
    for (std::optional<Tensor>& constant : constants_) {
      placed_.emplace_back();
      if (!constant || constant->byte_size() == 0) continue;
      placed_.back() = session.allocate(constant->byte_size());
      session.upload(placed_.back().get(), constant->raw(), constant->byte_size());
    }
    session.wait();
    constants_.clear();
  }

  std::unique_ptr<engine::Step> twin() const override {
    KVANT_CHECK(constants_.empty(), "a step is attached before it has a twin");
    auto twin = std::make_unique<LaunchStep>(std::vector<std::optional<Tensor>>{}, launches_, room_);
    twin->placed_ = placed_;
    return twin;
  }

  void run(const engine::RunArgs& args) override {
    auto* queue = dynamic_cast<Queue*>(args.session);
    KVANT_CHECK(queue != nullptr, "a step of the CUDA backend runs on a queue of it");
    launches_(Places(args, placed_), [queue](const Launch& launch) { queue->launch(launch); });
  }

 private:
  std::vector<std::optional<Tensor>> constants_;
  std::vector<std::shared_ptr<std::byte>> placed_;
  MakeLaunches launches_;
  Room room_;
};

}  // namespace

std::unique_ptr<engine::Step> launch_step(std::vector<std::optional<Tensor>> constants, MakeLaunches launches,
                                          Room room) {
  return std::make_unique<LaunchStep>(std::move(constants), std::move(launches), room);
}

void require(const engine::NodeView& view, bool ok, std::string_view what) {
  if (!ok) fail("cuda: {}: {}", view.node.op, what);
}

const Shape& input_shape(const engine::NodeView& view, size_t i) {
  require(view, view.has(i) && i < view.inputs.size() && view.inputs[i].is_static(),
          fmt::format("the shape of input {} is not known", i));
  return *view.inputs[i].shape;
}

const Shape& output_shape(const engine::NodeView& view, size_t i) {
  require(view, i < view.outputs.size() && view.outputs[i].is_static(),
          fmt::format("the shape of output {} is not known", i));
  return *view.outputs[i].shape;
}

std::vector<int64_t> numbers(const engine::NodeView& view, std::string_view name, size_t count, int64_t least,
                             std::vector<int64_t> fallback) {
  std::vector<int64_t> v = view.node.attributes.integers(name, std::move(fallback));
  require(view, v.size() == count, fmt::format("attribute {} has not {} numbers", name, count));
  for (const int64_t i : v)
    require(view, i >= least && i <= kMaxNumber, fmt::format("attribute {} is absurd", name));
  return v;
}

Code code_of(const engine::NodeView& view, DType dtype) {
  switch (dtype) {
    case DType::UInt8:
      return Code::U8;
    case DType::Int8:
      return Code::I8;
    case DType::Float32:
      return Code::F32;
    default:
      fail("cuda: {}: element type {} where u8, i8 or f32 belongs", view.node.op, name(dtype));
  }
}

bool is_signed_code(const engine::NodeView& view, DType dtype) {
  const Code code = code_of(view, dtype);
  require(view, code != Code::F32, "f32 where codes (u8 or i8) belong");
  return code == Code::I8;
}

int32_t code_attribute(const engine::NodeView& view, std::string_view name, int64_t fallback, Code code) {
  const int64_t value = view.node.attributes.integer(name, fallback);
  const int64_t low = code == Code::I8 ? -128 : 0, high = code == Code::I8 ? 127 : code == Code::U8 ? 255 : 0;
  if (value < low || value > high)
    fail("cuda: {}: attribute {} is {}, outside [{}, {}]", view.node.op, name, value, low, high);
  return static_cast<int32_t>(value);
}

CodeRange range_of(const engine::NodeView& view, Code code) {
  CodeRange range;
  range.zero_point = code_attribute(view, "y_zero_point", 0, code);
  range.low = code_attribute(view, "low", code == Code::I8 ? -128 : 0, code);
  range.high = code_attribute(view, "high", code == Code::I8 ? 127 : 255, code);
  require(view, range.low <= range.high, "attribute low is above attribute high");
  return range;
}

Activation activation_of(const engine::NodeView& view) {
  const std::string name = view.node.attributes.text("activation", "");
  const auto known = activation_named(name);
  if (!known) fail("cuda: {}: unknown activation '{}'", view.node.op, name);
  return *known;
}

Epilogue epilogue_of(const engine::NodeView& view, size_t residual_input, size_t table_input) {
  const ir::Attributes& attributes = view.node.attributes;
  require(view, view.outputs.size() == 1, "one output belongs here");
  Epilogue e;
  const DType result = view.outputs[0].dtype;
  const std::string output = attributes.text("output", name(result));
  if (view.has(table_input)) {
    require(view, output == "u8" || output == "i8", "attribute output is no type of codes");
    require(view, code_of(view, result) != Code::F32, "the table gives no codes");
    e.output = output == "i8" ? Code::I8 : Code::U8;
  } else {
    require(view, output == name(result), "attribute output is not the type of the result");
    e.output = code_of(view, result);
  }
  e.activation = activation_of(view);
  e.alpha = attributes.real("alpha", 0.0f);
  e.beta = attributes.real("beta", 0.0f);
  if (e.codes()) {
    e.out = range_of(view, e.output);
    e.inverse_scale = attributes.real("inverse_scale", 1.0f);
  }
  if (view.has(residual_input)) {
    e.residual = code_of(view, view.inputs[residual_input].dtype);
    require(view, input_shape(view, residual_input) == output_shape(view),
            "residual and result differ in shape");
    e.residual_multiplier = attributes.real("residual_multiplier", 1.0f);
    e.residual_zero_point = code_attribute(view, "residual_zero_point", 0, e.residual);
  }
  return e;
}

std::vector<Tensor> pack_constants(const engine::NodeView& view, std::string_view) {
  std::vector<int64_t> places;
  std::vector<Tensor> packed(1);
  for (size_t i = 0; i < view.constants.size(); ++i) {
    if (view.constants[i] == nullptr) continue;
    places.push_back(static_cast<int64_t>(i));
    packed.push_back(*view.constants[i]);
  }
  packed[0] = Tensor::vector(places);
  return packed;
}

Operands::Operands(const engine::NodeView& view) : view_(view), constants_(view.node.inputs.size()) {
  for (size_t i = 0; i < view.constants.size() && i < constants_.size(); ++i) {
    if (view.constants[i] != nullptr) constants_[i] = *view.constants[i];
  }
}

Operands::Operands(const engine::NodeView& view, std::vector<Tensor> packed)
    : view_(view), constants_(view.node.inputs.size()) {
  require(view,
          !packed.empty() && packed[0].dtype() == DType::Int64 &&
              packed[0].size() + 1 == static_cast<int64_t>(packed.size()),
          "the packed constants are not in the form that this version writes");
  const std::vector<int64_t> places = packed[0].to_ints();
  for (size_t i = 0; i < places.size(); ++i) {
    require(view, places[i] >= 0 && places[i] < static_cast<int64_t>(constants_.size()),
            "a packed constant belongs to no input");
    constants_[static_cast<size_t>(places[i])] = std::move(packed[i + 1]);
  }
}

const Tensor& Operands::required(size_t i, std::string_view what) const {
  require(view_, constant(i) != nullptr, fmt::format("{} is not constant", what));
  return *constant(i);
}

DType Operands::dtype(size_t i) const {
  if (constant(i) != nullptr) return constant(i)->dtype();
  require(view_, view_.has(i) && i < view_.inputs.size(), fmt::format("input {} is missing", i));
  return view_.inputs[i].dtype;
}

const Shape& Operands::shape(size_t i) const {
  return constant(i) != nullptr ? constant(i)->shape() : input_shape(view_, i);
}

}  // namespace kvant::backends::cuda
