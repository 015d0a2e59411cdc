// SPDX-License-Identifier: Apache-2.0
#include "train/torch/executor.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "train/fake_quantize.h"
#include "train/torch/fake_quantize_op.h"

namespace kvant::train::plugin {

#define KVANT_ENTRY(op, function) Kernel function(const NodeView&);
#include "train/torch/operators.inc"
#undef KVANT_ENTRY

KernelBuilder find_builder(const std::string& op) {
  static const std::map<std::string, KernelBuilder> table{
#define KVANT_ENTRY(op, function) {#op, &function},
#include "train/torch/operators.inc"
#undef KVANT_ENTRY
  };
  const auto found = table.find(op);
  return found == table.end() ? nullptr : found->second;
}

namespace {

at::ScalarType scalar_type(int32_t dtype) {
  switch (dtype) {
    case KVANT_TRAIN_F32:
      return at::kFloat;
    case KVANT_TRAIN_F64:
      return at::kDouble;
    case KVANT_TRAIN_I32:
      return at::kInt;
    case KVANT_TRAIN_I64:
      return at::kLong;
    case KVANT_TRAIN_U8:
      return at::kByte;
    case KVANT_TRAIN_I8:
      return at::kChar;
    case KVANT_TRAIN_BOOL:
      return at::kBool;
  }
  refuse("unknown element type " + std::to_string(dtype) + " at the plug-in's border");
}

std::string place(const kvant_train_node& node) {
  return "node '" + std::string(node.name) + "' (" + node.op + ")";
}

// Producers whose backward pass reads neither output: their result may be overwritten in place.
bool keeps_no_output(const std::string& op) {
  static const std::set<std::string> ops{"BatchNormalization", "Add", "Conv", "Gemm"};
  return ops.count(op) > 0;
}

}  // namespace

at::Tensor import_tensor(const kvant_train_tensor& tensor) {
  const at::IntArrayRef shape(tensor.shape, static_cast<size_t>(tensor.rank));
  at::Tensor result = at::empty(shape, at::TensorOptions(scalar_type(tensor.dtype)));
  if (result.numel() > 0) std::memcpy(result.data_ptr(), tensor.data, result.nbytes());
  return result;
}

NodeView::NodeView(const kvant_train_node& node)
    : op_(node.op),
      name_(node.name),
      inputs_(static_cast<size_t>(node.input_count)),
      outputs_(static_cast<size_t>(node.output_count)) {
  for (int32_t i = 0; i < node.attribute_count; ++i) {
    const kvant_train_attribute& a = node.attributes[i];
    const auto count = static_cast<size_t>(a.count);
    switch (a.kind) {
      case KVANT_TRAIN_INTEGER:
        integers_[a.name] = {a.integer};
        break;
      case KVANT_TRAIN_REAL:
        reals_[a.name] = {a.real};
        break;
      case KVANT_TRAIN_TEXT:
        texts_[a.name] = a.text;
        break;
      case KVANT_TRAIN_INTEGERS:
        integers_[a.name] = Ints(a.integers, a.integers + count);
        break;
      case KVANT_TRAIN_REALS:
        reals_[a.name] = std::vector<double>(a.reals, a.reals + count);
        break;
    }
  }
}

int64_t NodeView::integer(const std::string& name, int64_t fallback) const {
  const auto found = integers_.find(name);
  return found == integers_.end() || found->second.empty() ? fallback : found->second[0];
}

double NodeView::real(const std::string& name, double fallback) const {
  const auto found = reals_.find(name);
  return found == reals_.end() || found->second.empty() ? fallback : found->second[0];
}

std::string NodeView::text(const std::string& name, const std::string& fallback) const {
  const auto found = texts_.find(name);
  return found == texts_.end() ? fallback : found->second;
}

Ints NodeView::integers(const std::string& name, Ints fallback) const {
  const auto found = integers_.find(name);
  return found == integers_.end() ? std::move(fallback) : found->second;
}

const at::Tensor& Frame::in(size_t i) const {
  if (!has(i)) refuse("input " + std::to_string(i) + " is missing");
  return values_[static_cast<size_t>(inputs_[i])];
}

Ints Frame::ints(size_t i) const {
  const at::Tensor t = in(i).to(at::kCPU, at::kLong).contiguous();
  return Ints(t.data_ptr<int64_t>(), t.data_ptr<int64_t>() + t.numel());
}

double Frame::scalar(size_t i) const {
  if (in(i).numel() != 1) refuse("input " + std::to_string(i) + " must hold one number");
  return in(i).item().toDouble();
}

void Frame::out(size_t i, at::Tensor tensor) {
  if (i < outputs_.size() && outputs_[i] >= 0) values_[static_cast<size_t>(outputs_[i])] = std::move(tensor);
}

int64_t axis_of(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank) {
    refuse("axis " + std::to_string(axis) + " is outside a tensor of rank " + std::to_string(rank));
  }
  return axis < 0 ? axis + rank : axis;
}

Executor::Executor(const kvant_train_graph& graph, bool channels_last, at::Device device)
    : value_count_(graph.value_count),
      channels_last_(channels_last),
      device_(device),
      inputs_(graph.inputs, graph.inputs + graph.input_count),
      outputs_(graph.outputs, graph.outputs + graph.output_count) {
  add_constants(graph, channels_last);
  add_steps(graph);
  plan_release();
  find_shares();
}

at::Tensor Executor::placed(at::Tensor tensor) const {
  if (device_.is_cpu() || !tensor.defined() || tensor.device() == device_) return tensor;
  const bool read_by_host = c10::isIntegralType(tensor.scalar_type(), false) && tensor.dim() <= 1;
  return read_by_host ? tensor : tensor.to(device_);
}

void Executor::add_constants(const kvant_train_graph& graph, bool channels_last) {
  for (int32_t i = 0; i < graph.constant_count; ++i) {
    const kvant_train_constant& constant = graph.constants[i];
    at::Tensor tensor = placed(import_tensor(constant.tensor));
    if (channels_last && tensor.dim() == 4 && tensor.scalar_type() == at::kFloat) {
      tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast);
    }
    const bool trained = constant.role == KVANT_TRAIN_WEIGHT || constant.role == KVANT_TRAIN_PARAMETER ||
                         constant.role == KVANT_TRAIN_LEARNED;
    tensor.set_requires_grad(trained);
    constants_.push_back({constant.value, constant.role, std::move(tensor)});
  }
}

void Executor::add_steps(const kvant_train_graph& graph) {
  std::vector<int> uses(static_cast<size_t>(value_count_), 0);
  std::vector<std::string> made_by(static_cast<size_t>(value_count_));
  for (int32_t n = 0; n < graph.node_count; ++n) {
    const kvant_train_node& node = graph.nodes[n];
    for (int32_t i = 0; i < node.input_count; ++i) {
      if (node.inputs[i] >= 0) ++uses[static_cast<size_t>(node.inputs[i])];
    }
    for (int32_t i = 0; i < node.output_count; ++i) {
      if (node.outputs[i] >= 0) made_by[static_cast<size_t>(node.outputs[i])] = node.op;
    }
  }
  for (const int32_t output : outputs_) ++uses[static_cast<size_t>(output)];
  for (int32_t n = 0; n < graph.node_count; ++n) {
    const kvant_train_node& node = graph.nodes[n];
    const KernelBuilder builder = find_builder(node.op);
    if (builder == nullptr) refuse(place(node) + ": the training plug-in does not know this operator");
    NodeView view(node);
    if (node.input_count > 0 && node.inputs[0] >= 0) {
      const auto first = static_cast<size_t>(node.inputs[0]);
      view.may_overwrite = uses[first] == 1 && keeps_no_output(made_by[first]);
    }
    if (view.op() == "FakeQuantize" && view.integer("follow", 0) != 0) {
      followers_.push_back({node.inputs[0],
                            node.inputs[1],
                            view.integer("axis", -1),
                            static_cast<float>(view.integers("high").at(0)),
                            view.integer("follow", 0) == 2,
                            {}});
    }
    try {
      steps_.push_back({builder(view),
                        {node.inputs, node.inputs + node.input_count},
                        {node.outputs, node.outputs + node.output_count},
                        {},
                        place(node)});
    } catch (const std::exception& error) {
      refuse(place(node) + ": " + error.what());
    }
  }
}

void Executor::plan_release() {
  std::set<int32_t> kept(outputs_.begin(), outputs_.end());
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    for (const auto* list : {&step->inputs, &step->outputs}) {
      for (const int32_t value : *list) {
        if (value >= 0 && kept.insert(value).second) step->done.push_back(value);
      }
    }
  }
}

void Executor::set_constant(size_t index, at::Tensor tensor) {
  constants_.at(index).tensor = std::move(tensor);
}

at::Tensor& Executor::constant_of(int32_t value) {
  for (Constant& constant : constants_) {
    if (constant.value == value) return constant.tensor;
  }
  refuse("value " + std::to_string(value) + " is not a constant");
}

std::vector<at::Tensor> Executor::import_inputs(const kvant_train_tensor* inputs, int32_t count) const {
  if (static_cast<size_t>(count) != inputs_.size()) {
    refuse("the graph has " + std::to_string(inputs_.size()) + " inputs, " + std::to_string(count) +
           " were given");
  }
  std::vector<at::Tensor> tensors;
  for (int32_t i = 0; i < count; ++i) {
    at::Tensor tensor = placed(import_tensor(inputs[i]));
    const bool image = channels_last_ && tensor.dim() == 4 && tensor.scalar_type() == at::kFloat;
    tensors.push_back(image ? tensor.contiguous(at::MemoryFormat::ChannelsLast) : tensor);
  }
  return tensors;
}

std::vector<at::Tensor> Executor::run(const kvant_train_tensor* inputs, int32_t count, Mode mode) {
  return run(import_inputs(inputs, count), mode);
}

std::vector<at::Tensor> Executor::run(const std::vector<at::Tensor>& inputs, Mode mode) {
  std::vector<at::Tensor> values(static_cast<size_t>(value_count_));
  for (const Constant& constant : constants_) values[static_cast<size_t>(constant.value)] = constant.tensor;
  for (size_t i = 0; i < inputs_.size(); ++i) values[static_cast<size_t>(inputs_[i])] = inputs[i];
  for (const Step& step : steps_) {
    try {
      Frame frame(values, step.inputs, step.outputs, mode);
      step.kernel(frame);
      for (const int32_t output : step.outputs) {  // what was made from a shape is made on the host
        if (output >= 0 && !device_.is_cpu())
          values[static_cast<size_t>(output)] = placed(std::move(values[static_cast<size_t>(output)]));
      }
    } catch (const c10::Error& error) {
      refuse(step.where + ": " + error.what_without_backtrace());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      refuse(step.where + ": " + error.what());
    }
    for (const int32_t value : step.done) values[static_cast<size_t>(value)] = at::Tensor();
  }
  std::vector<at::Tensor> outputs;
  for (const int32_t output : outputs_) outputs.push_back(values[static_cast<size_t>(output)]);
  return outputs;
}

std::vector<float> Executor::full_scales(const Follower& follower) {
  at::Tensor weight = constant_of(follower.weight).detach();
  const int64_t channels = constant_of(follower.scale).numel();
  if (!weight.is_cpu()) {
    const at::Tensor largest = magnitudes_composed(weight, follower.axis, channels).cpu();
    std::vector<float> scales;
    for (int64_t c = 0; c < channels; ++c) scales.push_back(largest.data_ptr<float>()[c] / follower.high);
    return scales;
  }
  if (follower.axis >= 0 && channels > 1) weight = weight.transpose(0, follower.axis);
  // Axis 0 outermost: one run of memory for each channel, in either layout.
  if (follower.axis > 0) weight = weight.contiguous();
  const float* data = weight.data_ptr<float>();
  const int64_t run = weight.numel() / channels;
  std::vector<float> scales;
  for (int64_t c = 0; c < channels; ++c) scales.push_back(max_magnitude(data + c * run, run) / follower.high);
  return scales;
}

void Executor::find_shares() {
  for (Follower& follower : followers_) {
    const std::vector<float> full = full_scales(follower);
    const at::Tensor scale = constant_of(follower.scale).detach().cpu();
    const float* scales = scale.data_ptr<float>();
    for (size_t c = 0; c < full.size(); ++c) {
      const float share = full[c] > 0 ? scales[c] / full[c] : 1.0f;
      // The maximum itself, computed another way.
      const bool all = follower.whole || std::fabs(share - 1) < 1e-5f || !std::isfinite(share);
      follower.share.push_back(all ? 1.0f : share);
    }
  }
}

void Executor::follow() {
  c10::AutoGradMode no_grad(false);
  for (const Follower& follower : followers_) {
    const std::vector<float> full = full_scales(follower);
    at::Tensor& scale = constant_of(follower.scale);
    const at::Tensor host = scale.detach().cpu();  // on the CPU the very memory
    float* scales = host.data_ptr<float>();
    for (size_t c = 0; c < full.size(); ++c) scales[c] = full[c] > 0 ? full[c] * follower.share[c] : 1.0f;
    if (!scale.is_cpu()) scale.copy_(host);
  }
}

}  // namespace kvant::train::plugin
