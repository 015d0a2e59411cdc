// SPDX-License-Identifier: Apache-2.0
#include "train/torch/optimizer.h"

#include <ATen/ops/dot.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

namespace kvant::train::plugin {

// A learned scale stays above this share of where it began.
constexpr double kScaleFloor = 1e-3;

Optimizer::Optimizer(Executor& executor, const kvant_train_settings& settings)
    : executor_(executor), settings_(settings) {
  for (size_t i = 0; i < executor.constants().size(); ++i) {
    const at::Tensor& tensor = executor.constants()[i].tensor;
    if (!tensor.requires_grad()) continue;
    Parameter parameter{i, {}, 0};
    for (size_t s = 0; s < slots(); ++s) parameter.slot[s] = at::zeros_like(tensor.detach());
    if (executor.constants()[i].role == KVANT_TRAIN_LEARNED) {
      parameter.floor = tensor.min().item().toDouble() * kScaleFloor;
    }
    parameters_.push_back(std::move(parameter));
  }
}

void Optimizer::clear_gradients() {
  for (Parameter& parameter : parameters_) tensor(parameter).mutable_grad() = at::Tensor();
}

void Optimizer::clip() {
  double squares = 0;
  for (Parameter& parameter : parameters_) {
    const at::Tensor& gradient = tensor(parameter).grad();
    if (!gradient.defined()) continue;
    const double norm = gradient.norm().item().toDouble();
    squares += norm * norm;
  }
  const double norm = std::sqrt(squares);
  if (!(norm > settings_.clip_norm)) return;
  for (Parameter& parameter : parameters_) {
    at::Tensor& gradient = tensor(parameter).mutable_grad();
    if (gradient.defined()) gradient.mul_(settings_.clip_norm / norm);
  }
}

void Optimizer::update(Parameter& parameter, double learning_rate, int64_t step) {
  at::Tensor& value = tensor(parameter);
  at::Tensor gradient = value.grad();
  if (!gradient.defined()) return;
  const int32_t role = executor_.constants()[parameter.constant].role;
  const double decay = role == KVANT_TRAIN_WEIGHT ? settings_.weight_decay : 0;
  if (role == KVANT_TRAIN_LEARNED) learning_rate *= settings_.scale_learning_rate;
  if (settings_.optimizer == 0) {
    if (decay != 0) gradient = gradient.add(value, decay);
    parameter.slot[0].mul_(settings_.momentum).add_(gradient);
    value.add_(
        settings_.nesterov != 0 ? gradient.add(parameter.slot[0], settings_.momentum) : parameter.slot[0],
        -learning_rate);
  } else {  // AdamW: Loshchilov and Hutter, 2019
    if (decay != 0) value.mul_(1 - learning_rate * decay);
    parameter.slot[0].mul_(settings_.beta1).add_(gradient, 1 - settings_.beta1);
    parameter.slot[1].mul_(settings_.beta2).addcmul_(gradient, gradient, 1 - settings_.beta2);
    const auto steps = static_cast<double>(step);
    const double first = 1 - std::pow(settings_.beta1, steps), second = 1 - std::pow(settings_.beta2, steps);
    const at::Tensor deviation = at::sqrt(parameter.slot[1]).div_(std::sqrt(second)).add_(settings_.epsilon);
    value.addcdiv_(parameter.slot[0], deviation, -learning_rate / first);
  }
  if (parameter.floor > 0) value.clamp_min_(parameter.floor);
}

void Optimizer::step(double learning_rate, int64_t step, bool frozen_ranges) {
  c10::AutoGradMode no_grad(false);
  if (settings_.clip_norm > 0) clip();
  for (Parameter& parameter : parameters_) {
    const bool scale = executor_.constants()[parameter.constant].role == KVANT_TRAIN_LEARNED;
    if (!(scale && frozen_ranges)) update(parameter, learning_rate, step);
  }
  if (!frozen_ranges) executor_.follow();
}

}  // namespace kvant::train::plugin
