// SPDX-License-Identifier: Apache-2.0
// How the CUDA backend learns of an operator: node -> descriptor -> launches. One bind_<family>.cc per
// family, one line per operator in bindings.inc.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cuda/device.h"
#include "backends/cuda/kernels/epilogue.h"
#include "base/error.h"
#include "engine/backend.h"

namespace kvant::backends::cuda {

// The tactic of operators that have only one way to be computed.
inline constexpr std::string_view kPlain = "plain";

struct Binding {
  std::string_view op;
  // As engine::Backend's functions, on a card of compute capability `sm`. tactics: empty with `why` when no
  // kernel fits; it may also fail with an Error, which becomes the reason. load: everything about the node
  // and the packed constants is checked here.
  std::vector<std::string> (*tactics)(const engine::NodeView& view, int sm, std::string& why);
  std::vector<Tensor> (*pack)(const engine::NodeView& view, std::string_view tactic);
  std::unique_ptr<engine::Step> (*load)(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed);
};

// All bindings (bindings.inc).
const std::vector<Binding>& bindings();

// Fails unless `ok`: for checks on what comes from plans and models.
void require(const engine::NodeView& view, bool ok, std::string_view what);
// The static shape of input or output i; fails when it is not there.
const Shape& input_shape(const engine::NodeView& view, size_t i);
const Shape& output_shape(const engine::NodeView& view, size_t i = 0);
// Attribute `name`: `count` numbers, none less than `least` nor absurdly large.
std::vector<int64_t> numbers(const engine::NodeView& view, std::string_view name, size_t count, int64_t least,
                             std::vector<int64_t> fallback);

// The code type of an element type; fails for others than u8, i8 and f32.
Code code_of(const engine::NodeView& view, DType dtype);
// u8 or i8 only.
bool is_signed_code(const engine::NodeView& view, DType dtype);
// An integer attribute that must lie among the codes of `code` (0 for f32).
int32_t code_attribute(const engine::NodeView& view, std::string_view name, int64_t fallback, Code code);
// y_zero_point, low and high of a result of codes.
CodeRange range_of(const engine::NodeView& view, Code code);
// Attribute `activation` with alpha and beta.
Activation activation_of(const engine::NodeView& view);
// Epilogue attributes of QConv and QGemm (docs/lowered-ops.md). With a table the output is what indexes it.
Epilogue epilogue_of(const engine::NodeView& view, size_t residual_input, size_t table_input);

// All constant inputs as they are: their indices (i64), then the tensors.
std::vector<Tensor> pack_constants(const engine::NodeView& view, std::string_view tactic);

// The inputs of a node at build (from view.constants) or at load (from what pack_constants() wrote).
class Operands {
 public:
  explicit Operands(const engine::NodeView& view);
  Operands(const engine::NodeView& view, std::vector<Tensor> packed);

  bool has(size_t i) const { return view_.has(i); }
  // nullptr when input i comes at run time.
  const Tensor* constant(size_t i) const {
    return i < constants_.size() && constants_[i] ? &*constants_[i] : nullptr;
  }
  // Fails unless input i is constant.
  const Tensor& required(size_t i, std::string_view what) const;
  DType dtype(size_t i) const;
  const Shape& shape(size_t i) const;
  std::vector<std::optional<Tensor>> take() { return std::move(constants_); }

 private:
  const engine::NodeView& view_;
  std::vector<std::optional<Tensor>> constants_;
};

// Where a node's operands lie on the device.
class Places {
 public:
  Places(const engine::RunArgs& args, const std::vector<std::shared_ptr<std::byte>>& constants)
      : args_(args), constants_(constants) {}
  // Input i, constant or not; nullptr when it is absent.
  const std::byte* in(size_t i) const {
    if (i < constants_.size() && constants_[i]) return constants_[i].get();
    return i < args_.inputs.size() ? args_.inputs[i] : nullptr;
  }
  std::byte* out(size_t i = 0) const { return args_.outputs[i]; }
  std::byte* scratch() const { return args_.scratch; }
  std::byte* counters() const { return args_.counters; }

 private:
  const engine::RunArgs& args_;
  const std::vector<std::shared_ptr<std::byte>>& constants_;
};

// A step made of launches: `constants` (by input, absent ones come at run time) go to the device once;
// `launches` is called at each run that is not a replay, with the room that it asks for.
using MakeLaunches =
    std::function<void(const Places& places, const std::function<void(const Launch&)>& launch)>;
std::unique_ptr<engine::Step> launch_step(std::vector<std::optional<Tensor>> constants, MakeLaunches launches,
                                          Room room = {});

}  // namespace kvant::backends::cuda
