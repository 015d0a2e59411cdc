// SPDX-License-Identifier: Apache-2.0
// Engine::run_into and run_dlpack of include/kvant/kvant.h: tensors of others where they lie.
#include <algorithm>

#include "api/states.h"
#include "backends/device_name.h"

namespace kvant::api {
namespace {

constexpr std::string_view kCard = "cuda";  // the backend whose memory kCuda is

std::optional<DType> dtype_of(const dlpack::DataType& type) {
  if (type.lanes != 1) return std::nullopt;
  const auto among = [&](std::initializer_list<DType> all) -> std::optional<DType> {
    for (const DType dtype : all) {
      if (size_of(dtype) * 8 == type.bits) return dtype;
    }
    return std::nullopt;
  };
  switch (type.code) {
    case dlpack::kInt:
      return among({DType::Int8, DType::Int16, DType::Int32, DType::Int64});
    case dlpack::kUInt:
      return among({DType::UInt8, DType::UInt16, DType::UInt32, DType::UInt64});
    case dlpack::kFloat:
      return among({DType::Float16, DType::Float32, DType::Float64});
    case dlpack::kBfloat:
      return among({DType::BFloat16});
    case dlpack::kBool:
      return among({DType::Bool});
    default:
      return std::nullopt;
  }
}

dlpack::DataType data_type_of(DType dtype) {
  const bool is_unsigned = name(dtype).starts_with("u");
  const uint8_t code = dtype == DType::Bool       ? dlpack::kBool
                       : dtype == DType::BFloat16 ? dlpack::kBfloat
                       : is_float(dtype)          ? dlpack::kFloat
                       : is_unsigned              ? dlpack::kUInt
                                                  : dlpack::kInt;
  return {code, static_cast<uint8_t>(8 * size_of(dtype)), 1};
}

Shape shape_of(const dlpack::Tensor& tensor, const std::string& what) {
  if (tensor.ndim < 0 || (tensor.ndim > 0 && tensor.shape == nullptr)) fail("{} has no shape", what);
  Shape shape(tensor.shape, tensor.shape + tensor.ndim);
  if (std::ranges::any_of(shape, [](int64_t dim) { return dim < 0; }))
    fail("{} has the shape {}: no dimension is negative", what, to_string(shape));
  int64_t step = 1;
  for (size_t d = shape.size(); tensor.strides != nullptr && d-- > 0;) {
    if (shape[d] != 1 && tensor.strides[d] != step)
      fail("{} has gaps or lies in another order (strides): copy it row by row first", what);
    step *= shape[d];
  }
  return shape;
}

// Where a tensor lies, after checking that the engine can read or write it there.
engine::Place place_of(const dlpack::Tensor& tensor, const ir::Type& type, const std::string& what,
                       const std::string& device) {
  const std::optional<DType> dtype = dtype_of(tensor.dtype);
  if (dtype != type.dtype)
    fail("{} has elements of another type than the model's {}; they are not converted here", what,
         name(type.dtype));
  if (shape_of(tensor, what) != *type.shape)
    fail("{} has the shape {} where {} belongs", what, to_string(shape_of(tensor, what)),
         to_string(*type.shape));
  if (tensor.data == nullptr && element_count(*type.shape) > 0) fail("{} has no data", what);
  engine::Place place{.data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset};
  if (reinterpret_cast<uintptr_t>(place.data) % size_of(type.dtype) != 0)
    fail("{} is not aligned to its elements of {} bytes", what, size_of(type.dtype));
  switch (tensor.device.type) {
    case dlpack::kCpu:
      return place;
    case dlpack::kCudaHost:
      place.pinned = true;
      return place;
    case dlpack::kCuda: {
      const backends::DeviceName name = backends::parse_device(device);
      if (name.kind == backends::DeviceKind::Cpu || name.ordinal != tensor.device.id)
        fail("{} lies on cuda:{} and the engine runs on {}", what, tensor.device.id, device);
      place.backend = kCard;
      return place;
    }
    default:
      fail(
          "{} lies on a device of DLPack's type {}, which is not supported: use memory of the host or of a "
          "CUDA card",
          what, tensor.device.type);
  }
}

// An output that this library allocated.
struct Result {
  std::shared_ptr<std::byte> memory;
  Shape shape;
  dlpack::ManagedTensor managed;
};

dlpack::Owned managed(std::shared_ptr<std::byte> memory, const ir::Type& type, dlpack::Device device) {
  auto* result = new Result{std::move(memory), *type.shape, {}};
  result->managed.tensor = {.data = result->memory.get(),
                            .device = device,
                            .ndim = static_cast<int32_t>(result->shape.size()),
                            .dtype = data_type_of(type.dtype),
                            .shape = result->shape.data()};
  result->managed.manager = result;
  result->managed.deleter = [](dlpack::ManagedTensor* self) { delete static_cast<Result*>(self->manager); };
  return dlpack::Owned(&result->managed);
}

// The engine for the shapes of these inputs, and where those lie.
engine::Engine& engine_for(Engine::State& state, const std::vector<dlpack::Tensor>& inputs,
                           std::vector<engine::Place>& places) {
  const ir::Graph& graph = state.plan.graph;
  if (inputs.size() != state.plan.input_count)
    fail("the model takes {} inputs, and {} are given", state.plan.input_count, inputs.size());
  const auto named = [&](size_t i) { return fmt::format("input '{}'", graph.value(graph.inputs()[i]).name); };
  std::vector<Shape> shapes;
  for (size_t i = 0; i < inputs.size(); ++i) shapes.push_back(shape_of(inputs[i], named(i)));
  engine::Engine& engine = state.engine_for(shapes);
  const ir::Graph& planned = engine.plan().graph;
  for (size_t i = 0; i < inputs.size(); ++i)
    places.push_back(
        place_of(inputs[i], planned.value(planned.inputs()[i]).type, named(i), state.device->device()));
  return engine;
}

}  // namespace

void Engine::run_into(const std::vector<dlpack::Tensor>& inputs, const std::vector<dlpack::Tensor>& outputs) {
  guarded([&] {
    std::vector<engine::Place> from, to;
    engine::Engine& engine = engine_for(*state_, inputs, from);
    const ir::Graph& graph = engine.plan().graph;
    if (outputs.size() != graph.outputs().size())
      fail("the model gives {} outputs, and there is room for {}", graph.outputs().size(), outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ir::Value& value = graph.value(graph.outputs()[i]);
      to.push_back(
          place_of(outputs[i], value.type, fmt::format("output '{}'", value.name), state_->device->device()));
    }
    engine.run_at(from, to);
  });
}

std::vector<dlpack::Owned> Engine::run_dlpack(const std::vector<dlpack::Tensor>& inputs, bool on_device) {
  return guarded([&] {
    std::vector<engine::Place> from, to;
    engine::Engine& engine = engine_for(*state_, inputs, from);
    const std::string& device = state_->device->device();
    if (on_device && device == "cpu") fail("outputs on a card are wanted, and the engine runs on the host");
    const dlpack::Device where =
        on_device ? dlpack::Device{dlpack::kCuda, backends::parse_device(device).ordinal} : dlpack::Device{};
    const ir::Graph& graph = engine.plan().graph;
    std::vector<dlpack::Owned> outputs;
    for (const ir::ValueId id : graph.outputs()) {
      const ir::Type& type = graph.value(id).type;
      const std::string_view backend = on_device ? kCard : std::string_view();
      outputs.push_back(managed(engine.allocate(backend, engine::value_bytes(graph, id)), type, where));
      to.push_back({static_cast<std::byte*>(outputs.back()->tensor.data), backend});
    }
    engine.run_at(from, to);
    return outputs;
  });
}

}  // namespace kvant::api
