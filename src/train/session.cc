// SPDX-License-Identifier: Apache-2.0
#include "train/session.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"

namespace kvant::train {
namespace {

// Calls an ABI function with an error buffer.
template <class Fn>
void guarded(const Fn& fn) {
  std::array<char, 2048> error{};
  if (fn(error.data(), error.size()) != 0) fail("{}", error.data());
}

Tensor import_tensor(const kvant_train_tensor& view) {
  constexpr std::array kTypes{DType::Float32, DType::Float64, DType::Int32, DType::Int64,
                              DType::UInt8,   DType::Int8,    DType::Bool};
  Tensor result(kTypes.at(static_cast<size_t>(view.dtype)), Shape(view.shape, view.shape + view.rank));
  if (result.byte_size() > 0) std::memcpy(result.mutable_raw(), view.data, result.byte_size());
  return result;
}

std::vector<kvant_train_tensor> border_tensors(std::span<const Tensor> tensors) {
  std::vector<kvant_train_tensor> views;
  for (const Tensor& tensor : tensors) views.push_back(border_tensor(tensor));
  return views;
}

}  // namespace

kvant_train_tensor border_tensor(const Tensor& tensor) {
  kvant_train_dtype dtype = KVANT_TRAIN_F32;
  switch (tensor.dtype()) {
    case DType::Float32:
      dtype = KVANT_TRAIN_F32;
      break;
    case DType::Float64:
      dtype = KVANT_TRAIN_F64;
      break;
    case DType::Int32:
      dtype = KVANT_TRAIN_I32;
      break;
    case DType::Int64:
      dtype = KVANT_TRAIN_I64;
      break;
    case DType::UInt8:
      dtype = KVANT_TRAIN_U8;
      break;
    case DType::Int8:
      dtype = KVANT_TRAIN_I8;
      break;
    case DType::Bool:
      dtype = KVANT_TRAIN_BOOL;
      break;
    default:
      fail("LibTorch is not fed {} tensors; convert the model to float32", name(tensor.dtype()));
  }
  return {dtype, static_cast<int32_t>(tensor.rank()), tensor.shape().data(), tensor.raw()};
}

Session::Session(const Plugin& plugin, const Program& program, const kvant_train_settings& settings)
    : api_(*plugin.api), outputs_(program.output_count()) {
  guarded([&](char* e, size_t n) { return api_.create(&program.border(), &settings, &session_, e, n); });
  const int32_t count = api_.state_count(session_);
  for (int32_t i = 0; i < count; ++i) {
    kvant_train_state state{};
    KVANT_CHECK(api_.state_at(session_, i, &state) == 0, "state index out of range");
    states_.push_back(state);
  }
  for (size_t i = 0; i < program.slots().size(); ++i) {
    KVANT_CHECK(i < states_.size() && states_[i].slot == 0 && states_[i].value == program.slots()[i].value,
                "the plug-in orders its state otherwise");
  }
}

Session::~Session() {
  if (session_ != nullptr) api_.destroy(session_);
}

kvant_train_outcome Session::step(const kvant_train_batch& batch) {
  kvant_train_outcome outcome{};
  guarded([&](char* e, size_t n) { return api_.step(session_, &batch, &outcome, e, n); });
  return outcome;
}

std::vector<Tensor> Session::forward(std::span<const Tensor> inputs) {
  const std::vector<kvant_train_tensor> views = border_tensors(inputs);
  std::vector<kvant_train_tensor> outputs(outputs_);
  guarded([&](char* e, size_t n) {
    return api_.forward(session_, views.data(), static_cast<int32_t>(views.size()), outputs.data(),
                        static_cast<int32_t>(outputs.size()), e, n);
  });
  std::vector<Tensor> results;
  for (const kvant_train_tensor& output : outputs) results.push_back(import_tensor(output));
  return results;
}

std::vector<double> Session::bench(std::span<const Tensor> inputs, int warmup, int iterations) {
  const std::vector<kvant_train_tensor> views = border_tensors(inputs);
  std::vector<double> milliseconds(static_cast<size_t>(std::max(iterations, 0)));
  guarded([&](char* e, size_t n) {
    return api_.bench(session_, views.data(), static_cast<int32_t>(views.size()), warmup, iterations,
                      milliseconds.data(), e, n);
  });
  return milliseconds;
}

std::vector<std::vector<float>> Session::read_state(size_t count) {
  std::vector<std::vector<float>> state;
  for (size_t i = 0; i < std::min(count, states_.size()); ++i) {
    std::vector<float>& values = state.emplace_back(static_cast<size_t>(states_[i].count));
    guarded([&](char* e, size_t n) {
      return api_.state_read(session_, static_cast<int32_t>(i), values.data(), e, n);
    });
  }
  return state;
}

void Session::write_state(const std::vector<std::vector<float>>& state) {
  bool fits = state.size() <= states_.size();
  for (size_t i = 0; fits && i < state.size(); ++i)
    fits = state[i].size() == static_cast<size_t>(states_[i].count);
  if (!fits) fail("the saved training state belongs to another model");
  for (size_t i = 0; i < state.size(); ++i) {
    guarded([&](char* e, size_t n) {
      return api_.state_write(session_, static_cast<int32_t>(i), state[i].data(), e, n);
    });
  }
}

}  // namespace kvant::train
