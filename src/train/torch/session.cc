// SPDX-License-Identifier: Apache-2.0
#include "train/torch/session.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "train/torch/seed.h"

namespace kvant::train::plugin {
namespace {

kvant_train_dtype dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return KVANT_TRAIN_F32;
    case at::kDouble:
      return KVANT_TRAIN_F64;
    case at::kInt:
      return KVANT_TRAIN_I32;
    case at::kLong:
      return KVANT_TRAIN_I64;
    case at::kByte:
      return KVANT_TRAIN_U8;
    case at::kChar:
      return KVANT_TRAIN_I8;
    case at::kBool:
      return KVANT_TRAIN_BOOL;
    default:
      refuse("an output has an element type that cannot leave the training plug-in");
  }
}

at::Device device_of(const kvant_train_settings& settings) {
  if (settings.device == 0) return at::kCPU;
  return {at::kCUDA, static_cast<at::DeviceIndex>(settings.device - 1)};
}

at::Tensor import_labels(const int64_t* labels, int64_t count, int64_t classes, at::Device device) {
  for (int64_t i = 0; i < count; ++i) {
    if (labels[i] < 0 || labels[i] >= classes) {
      refuse("label " + std::to_string(labels[i]) + " does not fit the model, whose output has " +
             std::to_string(classes) + " classes");
    }
  }
  at::Tensor result = at::empty({count}, at::TensorOptions(at::kLong));
  std::memcpy(result.data_ptr<int64_t>(), labels, static_cast<size_t>(count) * sizeof(int64_t));
  return device.is_cpu() ? result : result.to(device);
}

}  // namespace

Session::Session(const kvant_train_graph& graph, const kvant_train_settings& settings)
    : settings_(settings), executor_(graph, settings.channels_last != 0, device_of(settings)) {
  if (settings.training != 0) {
    optimizer_ = std::make_unique<Optimizer>(executor_, settings_);
  }
  for (size_t i = 0; i < executor_.constants().size(); ++i) {
    if (executor_.constants()[i].role != KVANT_TRAIN_FIXED) state_.push_back({i, 0, 0});
  }
  for (size_t p = 0; optimizer_ && p < optimizer_->parameters().size(); ++p) {
    for (size_t s = 0; s < optimizer_->slots(); ++s) {
      state_.push_back({optimizer_->parameters()[p].constant, p, static_cast<int32_t>(s) + 1});
    }
  }
}

at::Tensor Session::loss_of(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& teacher) {
  const double weight = teacher.defined() ? settings_.distill_weight : 0.0;
  at::Tensor loss;
  if (weight < 1) {
    loss = at::cross_entropy_loss(logits, labels, {}, 1, -100, settings_.label_smoothing) * (1 - weight);
  }
  if (weight <= 0) return loss;
  // Kullback-Leibler divergence at temperature T, times T^2 (Hinton et al. 2015).
  const double t = settings_.distill_temperature;
  const at::Tensor wanted = at::log_softmax(teacher / t, 1), given = at::log_softmax(logits / t, 1);
  const at::Tensor soft =
      (wanted.exp() * (wanted - given)).sum() * (weight * t * t / static_cast<double>(logits.size(0)));
  return loss.defined() ? loss + soft : soft;
}

kvant_train_outcome Session::step(const kvant_train_batch& batch) {
  if (!optimizer_) refuse("this session was made for forward passes only");
  outputs_.clear();
  seed_torch(batch.seed);
  optimizer_->clear_gradients();
  // Before the first step; after it the optimizer sees to it.
  if (!followed_ && batch.frozen_ranges == 0) executor_.follow();
  followed_ = true;
  c10::AutoGradMode grad(true);
  const Mode mode{true, batch.frozen_statistics == 0, batch.frozen_ranges == 0, settings_.range_momentum};
  const at::Tensor logits = executor_.run(batch.images, 1, mode).at(0);
  if (logits.dim() != 2) {
    refuse("training needs an output of shape [batch, classes], this one has rank " +
           std::to_string(logits.dim()));
  }
  at::Tensor teacher;
  if (batch.teacher != nullptr && settings_.distill_weight > 0) {
    teacher = import_tensor(*batch.teacher).to(executor_.device());
    if (teacher.sizes() != logits.sizes()) refuse("the teacher's output has another shape than the model's");
  }
  if (batch.labels == nullptr && !(teacher.defined() && settings_.distill_weight >= 1)) {
    refuse("a batch without labels needs a teacher");
  }
  const at::Tensor labels = batch.labels == nullptr ? teacher.argmax(1)
                                                    : import_labels(batch.labels, logits.size(0),
                                                                    logits.size(1), executor_.device());
  const at::Tensor loss = loss_of(logits, labels, teacher);
  loss.backward();
  optimizer_->step(batch.learning_rate, batch.step, batch.frozen_ranges != 0);
  c10::AutoGradMode no_grad(false);
  return {loss.item().toDouble(), logits.argmax(1).eq(labels).sum().item().toLong()};
}

void Session::forward(const kvant_train_tensor* inputs, int32_t count, kvant_train_tensor* outputs,
                      int32_t output_count) {
  c10::AutoGradMode no_grad(false);
  outputs_ = executor_.run(inputs, count, {});
  if (static_cast<size_t>(output_count) != outputs_.size())
    refuse("another number of outputs than the graph's");
  for (size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i] = outputs_[i].cpu().contiguous();
    const at::Tensor& t = outputs_[i];
    outputs[i] = {dtype_of(t.scalar_type()), static_cast<int32_t>(t.dim()), t.sizes().data(), t.data_ptr()};
  }
}

void Session::bench(const kvant_train_tensor* inputs, int32_t count, int32_t warmup, int32_t iterations,
                    double* milliseconds) {
  c10::AutoGradMode no_grad(false);
  const std::vector<at::Tensor> tensors = executor_.import_inputs(inputs, count);
  for (int32_t i = 0; i < warmup; ++i) executor_.run(tensors, {});
  for (int32_t i = 0; i < iterations; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<at::Tensor> outputs = executor_.run(tensors, {});
    for (const at::Tensor& output : outputs) {  // a card is done when its results are here
      if (!output.is_cpu()) output.cpu();
    }
    milliseconds[i] =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }
}

at::Tensor Session::tensor_of(const Entry& entry) {
  if (entry.slot == 0) return executor_.constants()[entry.constant].tensor.detach();
  return optimizer_->parameters()[entry.parameter].slot[entry.slot - 1];
}

kvant_train_state Session::state_at(int32_t index) const {
  const Entry& entry = state_.at(static_cast<size_t>(index));
  const Executor::Constant& constant = executor_.constants()[entry.constant];
  return {constant.value, entry.slot, constant.tensor.numel()};
}

void Session::state_read(int32_t index, float* data) {
  c10::AutoGradMode no_grad(false);
  const at::Tensor tensor = tensor_of(state_.at(static_cast<size_t>(index))).cpu().contiguous();
  std::memcpy(data, tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel()) * sizeof(float));
}

void Session::state_write(int32_t index, const float* data) {
  c10::AutoGradMode no_grad(false);
  at::Tensor tensor = tensor_of(state_.at(static_cast<size_t>(index)));
  at::Tensor source = at::empty(tensor.sizes(), at::TensorOptions(at::kFloat));
  std::memcpy(source.data_ptr<float>(), data, static_cast<size_t>(tensor.numel()) * sizeof(float));
  tensor.copy_(source);
}

}  // namespace kvant::train::plugin
