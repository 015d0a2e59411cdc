// SPDX-License-Identifier: Apache-2.0
// How the plug-in runs an operator: built once from a node's attributes, then called with the tensors. ATen
// calls record autograd by themselves when an input requires it.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "train/plugin_abi.h"

namespace kvant::train::plugin {

// Becomes the sentence that the host shows, after the node's name.
[[noreturn]] inline void refuse(const std::string& message) { throw std::runtime_error(message); }

using Ints = std::vector<int64_t>;

// A node's attributes, copied.
class NodeView {
 public:
  explicit NodeView(const kvant_train_node& node);
  const std::string& op() const { return op_; }
  const std::string& name() const { return name_; }
  size_t input_count() const { return inputs_; }
  size_t output_count() const { return outputs_; }
  bool has(const std::string& name) const {
    return integers_.count(name) + reals_.count(name) + texts_.count(name) > 0;
  }
  int64_t integer(const std::string& name, int64_t fallback) const;
  double real(const std::string& name, double fallback) const;
  std::string text(const std::string& name, const std::string& fallback) const;
  Ints integers(const std::string& name, Ints fallback = {}) const;
  // Input 0 is read by nobody else, and its producer does not need it for its gradient.
  bool may_overwrite = false;

 private:
  std::string op_, name_;
  size_t inputs_, outputs_;
  std::map<std::string, Ints> integers_;
  std::map<std::string, std::vector<double>> reals_;
  std::map<std::string, std::string> texts_;
};

// What a pass over the graph is for.
struct Mode {
  bool training = false;          // dropout
  bool batch_statistics = false;  // BatchNormalization: of the batch, updating the running ones
  bool track_ranges = false;      // FakeQuantize: scales that track their input do so
  double range_momentum = 0.0;
};

// The tensors of one call.
class Frame {
 public:
  Frame(std::vector<at::Tensor>& values, const std::vector<int32_t>& inputs,
        const std::vector<int32_t>& outputs, Mode mode)
      : mode(mode), values_(values), inputs_(inputs), outputs_(outputs) {}
  size_t size() const { return inputs_.size(); }
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i] >= 0; }
  const at::Tensor& in(size_t i) const;
  // Input i, or an undefined tensor when absent.
  at::Tensor optional(size_t i) const { return has(i) ? in(i) : at::Tensor(); }
  // Elements of a small integer or float tensor (axes, shapes, bounds).
  Ints ints(size_t i) const;
  double scalar(size_t i) const;
  void out(size_t i, at::Tensor tensor);
  const Mode mode;

 private:
  std::vector<at::Tensor>& values_;
  const std::vector<int32_t>& inputs_;
  const std::vector<int32_t>& outputs_;
};

using Kernel = std::function<void(Frame&)>;
using KernelBuilder = Kernel (*)(const NodeView&);

// The builder of an operator, or nullptr: the table of operators.inc.
KernelBuilder find_builder(const std::string& op);

// Normalizes an axis to [0, rank).
int64_t axis_of(int64_t axis, int64_t rank);

}  // namespace kvant::train::plugin
