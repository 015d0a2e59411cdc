// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <map>

#include "engine/passes/epilogue.h"
#include "engine/passes/integer_epilogue.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

constexpr int64_t kMostStride = 64;
constexpr int64_t kMostGrowth = 16;  // of the weight, zeros included

// One spatial axis of a transposed convolution as a convolution with `stride` results, its phases, at each
// position. With u = phase + offset, output a * stride + phase - cut is the sum over taps t with
// (u - t * dilation) a multiple of the stride, of tap t times input a + (u - t * dilation) / stride.
struct PhaseAxis {
  int64_t input, output, taps, stride, dilation, offset;
  int64_t cut = 0;                                                // results to drop at the begin
  int64_t first = std::numeric_limits<int64_t>::max(), last = 0;  // inputs read, from the position on
  int64_t positions = 0, pad_begin = 0, pad_end = 0;

  // The input, from the position on, that tap t meets in a phase; nothing when it meets none.
  std::optional<int64_t> input_of(int64_t phase, int64_t tap) const {
    const int64_t at = phase + offset - tap * dilation;
    if (at % stride != 0) return std::nullopt;
    return at / stride;
  }
  int64_t kernel() const { return last - first + 1; }
  int64_t made() const { return positions * stride; }
};

// `pad_begin` is the node's, and `cut` outputs are made and dropped so that phases fall otherwise.
PhaseAxis phase_axis(PhaseAxis axis, int64_t pad_begin, int64_t cut) {
  axis.cut = cut;
  axis.offset = pad_begin - cut;
  for (int64_t phase = 0; phase < axis.stride; ++phase) {
    for (int64_t tap = 0; tap < axis.taps; ++tap) {
      const auto at = axis.input_of(phase, tap);
      if (!at) continue;
      axis.first = std::min(axis.first, *at);
      axis.last = std::max(axis.last, *at);
    }
  }
  axis.first = std::min<int64_t>(axis.first, 0);
  axis.positions = (axis.output + cut + axis.stride - 1) / axis.stride;
  axis.pad_begin = -axis.first;
  axis.pad_end = std::max<int64_t>(axis.positions - 1 + axis.last - (axis.input - 1), 0);
  axis.positions = axis.input + axis.pad_begin + axis.pad_end - axis.kernel() + 1;
  return axis;
}

// A transposed convolution with a constant weight.
struct Transposed {
  const Tensor* weight = nullptr;     // i8 codes around 0, or f32
  std::optional<QuantParams> params;  // of the codes
  int64_t group, channels;            // channels: of the result
  PhaseAxis axes[2];
  std::vector<float> bias;

  int64_t stride() const { return axes[0].stride; }
  int64_t blocks() const { return stride() * stride(); }
  // Channel of the convolution that makes a phase of a channel. Blocks outermost, so that pixels are moved as
  // rows of channels; with groups each group's channels must stay together.
  int64_t channel_of(int64_t channel, int64_t block) const {
    return group == 1 ? block * channels + channel : channel * blocks() + block;
  }
};

class UnfoldTransposed {
 public:
  UnfoldTransposed(ir::Graph& graph, const ir::OpTable& ops) : graph_(graph), edit_(graph, ops) {}

  size_t run() {
    return fuse_each(graph_, upwards(graph_), [this](ir::NodeId id) {
      if (graph_.node(id).op != "ConvTranspose") return false;
      std::string why;
      const auto match = match_at(id, why);
      if (match) {
        rewrite(id, *match);
      } else {
        graph_.set_reason(id, "float: " + why);
      }
      return match.has_value();
    });
  }

 private:
  static std::nullopt_t refuse(std::string& why, std::string reason) {
    why = std::move(reason);
    return std::nullopt;
  }

  std::optional<Transposed> match_at(ir::NodeId id, std::string& why) const {
    const ir::Node& node = graph_.node(id);
    const auto x = static_shape(graph_, node.inputs[0]), y = static_shape(graph_, node.outputs[0]);
    if (!x || !y) return refuse(why, "its shape is not known");
    if (x->size() != 4) return refuse(why, "only 2-D transposed convolutions have a kernel");
    const int64_t group = node.attributes.integer("group", 1);
    Transposed result{.group = group, .channels = (*y)[1], .axes = {}, .bias = {}};
    result.weight = graph_.constant(node.inputs[1]);
    if (result.weight == nullptr) {
      auto weight = quantized_weight(graph_, node.inputs[1], 1, why);
      if (!weight) return std::nullopt;
      result.weight = weight->codes;
      result.params = std::move(weight->params);
    }
    const ir::ValueId bias = input_at(node, 2);
    if (bias != ir::kNone) {
      const Tensor* values = graph_.constant(bias);
      if (values == nullptr || values->size() != result.channels)
        return refuse(why, "its bias is no vector constant");
      result.bias = values->to_floats();
    }
    return set_axes(node, *x, *y, result, why) ? std::optional(std::move(result)) : std::nullopt;
  }

  bool set_axes(const ir::Node& node, const Shape& x, const Shape& y, Transposed& result,
                std::string& why) const {
    const auto attribute = [&](const char* name) {
      std::vector<int64_t> values = node.attributes.integers(name);
      if (values.empty()) values = {1, 1};
      return values;
    };
    const std::vector<int64_t> strides = attribute("strides"), dilations = attribute("dilations");
    if (strides[0] != strides[1]) {
      why = "its strides differ, and phases are moved in square blocks";
      return false;
    }
    if (strides[0] > kMostStride) {
      why = "its strides leave most taps of its phases empty";
      return false;
    }
    for (size_t i = 0; i < 2; ++i) {
      const PhaseAxis axis{.input = x[i + 2],
                           .output = y[i + 2],
                           .taps = result.weight->dim(i + 2),
                           .stride = strides[i],
                           .dilation = dilations[i],
                           .offset = 0};
      const auto pad = pad_begin(node, i, axis);
      if (!pad || *pad < 0) {
        why = "its pads are negative";
        return false;
      }
      const PhaseAxis whole = phase_axis(axis, *pad, 0), cut = phase_axis(axis, *pad, *pad % axis.stride);
      // Fewer taps that are zero against a copy without the border.
      result.axes[i] = 4 * cut.kernel() < 3 * whole.kernel() ? cut : whole;
    }
    const PhaseAxis &rows = result.axes[0], &columns = result.axes[1];
    const int64_t most = kMostGrowth * rows.taps * columns.taps;
    if (rows.kernel() > most || columns.kernel() > most || result.blocks() * rows.kernel() > most ||
        result.blocks() * rows.kernel() * columns.kernel() > most) {
      why = "its strides, pads or dilations leave most taps of its phases empty";
      return false;
    }
    return true;
  }

  // Elements cut off at the begin of the full result, as ConvTranspose-22 says.
  static std::optional<int64_t> pad_begin(const ir::Node& node, size_t i, const PhaseAxis& axis) {
    const std::string auto_pad = node.attributes.text("auto_pad", "NOTSET");
    const std::vector<int64_t> more = node.attributes.integers("output_padding"),
                               pads = node.attributes.integers("pads");
    const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
    if (same || !node.attributes.integers("output_shape").empty()) {
      const int64_t natural =
          axis.stride * (axis.input - 1) + (more.empty() ? 0 : more[i]) + (axis.taps - 1) * axis.dilation + 1;
      const int64_t total = std::max<int64_t>(natural - axis.output, 0);
      return auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
    }
    return pads.empty() || auto_pad == "VALID" ? 0 : pads[i];
  }

  // [C, K/g, kh, kw] => [K * blocks, C/g, kernel of the phases], zeros where a phase has no tap.
  static Tensor unfolded_weight(const Transposed& t) {
    const Tensor& w = *t.weight;
    const int64_t in = w.dim(0) / t.group, out = w.dim(1);
    const auto bytes = static_cast<int64_t>(size_of(w.dtype()));
    const PhaseAxis &rows = t.axes[0], &columns = t.axes[1];
    const Shape shape = {t.channels * t.blocks(), in, rows.kernel(), columns.kernel()};
    Tensor result(w.dtype(), shape);
    std::fill_n(result.mutable_raw(), result.byte_size(), std::byte{0});
    for (int64_t block = 0; block < t.blocks(); ++block) {
      for (int64_t i = 0; i < rows.taps; ++i) {
        const auto row = rows.input_of(block / t.stride(), i);
        for (int64_t j = 0; row && j < columns.taps; ++j) {
          const auto column = columns.input_of(block % t.stride(), j);
          if (!column) continue;
          for (int64_t k = 0; k < t.channels; ++k) {
            for (int64_t c = 0; c < in; ++c) {
              const int64_t source =
                  (((k / out * in + c) * out + k % out) * rows.taps + i) * columns.taps + j;
              const int64_t target =
                  ((t.channel_of(k, block) * in + c) * shape[2] + *row - rows.first) * shape[3] + *column -
                  columns.first;
              std::copy_n(w.raw() + source * bytes, bytes, result.mutable_raw() + target * bytes);
            }
          }
        }
      }
    }
    return result;
  }

  // One number for each channel of the convolution from one for each channel of the result (or of a group).
  static std::vector<float> spread(const Transposed& t, const std::vector<float>& values) {
    std::vector<float> result(static_cast<size_t>(t.channels * t.blocks()));
    for (int64_t k = 0; k < t.channels; ++k) {
      for (int64_t block = 0; block < t.blocks(); ++block)
        result[static_cast<size_t>(t.channel_of(k, block))] = values[static_cast<size_t>(k) % values.size()];
    }
    return result;
  }

  ir::ValueId weight(ir::NodeId id, const std::string& name, const Transposed& t) {
    const ir::ValueId old = graph_.node(id).inputs[1];
    if (!t.params) return edit_.constant(graph_.value(old).name, unfolded_weight(t));
    const ir::NodeId maker = graph_.value(old).producer;
    const ir::Node dq = graph_.node(maker);
    const ir::ValueId codes = edit_.constant(graph_.value(dq.inputs[0]).name, unfolded_weight(t));
    if (t.params->per_tensor())
      return edit_.value("DequantizeLinear", dq.name, {codes, dq.inputs[1]}, dq.attributes, {maker});
    const ir::ValueId scale =
        edit_.constant(name + "_scale", Tensor::vector<float>(spread(t, t.params->scale)));
    return edit_.value("DequantizeLinear", dq.name, {codes, scale}, {{"axis", int64_t{0}}}, {maker});
  }

  ir::ValueId convolution(ir::NodeId id, const std::string& name, const Transposed& t) {
    std::vector<ir::ValueId> inputs = {graph_.node(id).inputs[0], weight(id, name, t)};
    if (!t.bias.empty())
      inputs.push_back(edit_.constant(name + "_bias", Tensor::vector<float>(spread(t, t.bias))));
    const PhaseAxis &rows = t.axes[0], &columns = t.axes[1];
    return edit_.value(
        "Conv", name, std::move(inputs),
        {{"group", t.group},
         {"kernel_shape", std::vector<int64_t>{rows.kernel(), columns.kernel()}},
         {"pads", std::vector<int64_t>{rows.pad_begin, columns.pad_begin, rows.pad_end, columns.pad_end}}},
        {id});
  }

  // What works on each element for itself is done before the phases are taken apart, so that it stays behind
  // the sums: constants for each channel, then an activation. Returns the value that `value` becomes; `end`
  // is the last one covered.
  ir::ValueId elementwise(const Transposed& t, ir::ValueId value, ir::ValueId& end) {
    while (true) {
      const ir::NodeId user = sole_user(graph_, end);
      if (user == ir::kNone) break;
      const ir::Node node = graph_.node(user);
      if ((node.op != "Mul" && node.op != "Add") || node.inputs.size() != 2) break;
      const size_t other = node.inputs[0] == end ? 1 : 0;
      const auto numbers = per_channel(graph_, node.inputs[other], 4, 1, t.channels);
      if (!numbers) break;
      const std::vector<float> narrow(numbers->begin(), numbers->end());
      const Tensor spread_out =
          Tensor::vector<float>(spread(t, narrow)).reshaped({1, t.channels * t.blocks(), 1, 1});
      std::vector<ir::ValueId> inputs = node.inputs;
      inputs[1 - other] = value;
      inputs[other] = edit_.constant(graph_.value(node.inputs[other]).name, spread_out);
      value = edit_.value(node.op, node.name, std::move(inputs), node.attributes, {user});
      end = node.outputs[0];
    }
    const auto activation = match_activation(graph_, end);
    return activation ? activated(*activation, value, end) : value;
  }

  // The nodes of an activation once more, over `value` instead of `end`.
  ir::ValueId activated(const ActivationMatch& activation, ir::ValueId value, ir::ValueId& end) {
    std::map<ir::ValueId, ir::ValueId> fresh = {{end, value}};
    std::vector<ir::NodeId> left = activation.nodes;
    while (!left.empty()) {
      const auto ready = std::ranges::find_if(left, [&](ir::NodeId id) {
        return std::ranges::all_of(graph_.node(id).inputs, [&](ir::ValueId input) {
          return input == ir::kNone || graph_.is_constant(input) || fresh.contains(input);
        });
      });
      KVANT_CHECK(ready != left.end(), "an activation reads its operand and constants alone");
      const ir::NodeId id = *ready;
      const ir::Node node = graph_.node(id);
      std::vector<ir::ValueId> inputs = node.inputs;
      for (ir::ValueId& input : inputs) {
        if (const auto it = fresh.find(input); it != fresh.end()) input = it->second;
      }
      fresh[node.outputs[0]] = edit_.value(node.op, node.name, std::move(inputs), node.attributes, {id});
      left.erase(ready);
    }
    end = activation.end;
    return fresh.at(activation.end);
  }

  void rewrite(ir::NodeId id, const Transposed& t) {
    const std::string name = graph_.node(id).name;
    ir::ValueId end = graph_.node(id).outputs[0];
    graph_.rename_node(id, name + "~");
    ir::ValueId y = elementwise(t, convolution(id, name, t), end);
    if (t.stride() > 1) {
      y = edit_.value("DepthToSpace", name + "_phases", {y},
                      {{"blocksize", t.stride()}, {"mode", std::string(t.group == 1 ? "DCR" : "CRD")}}, {id});
    }
    const PhaseAxis &rows = t.axes[0], &columns = t.axes[1];
    if (rows.made() != rows.output || columns.made() != columns.output) {
      const auto numbers = [&](int64_t a, int64_t b) {
        return edit_.constant("", Tensor::vector<int64_t>(std::vector<int64_t>{a, b}));
      };
      y = edit_.value("Slice", name + "_cut",
                      {y, numbers(rows.cut, columns.cut),
                       numbers(rows.cut + rows.output, columns.cut + columns.output), numbers(2, 3)},
                      {}, {id});
    }
    edit_.take_place(end, y);
  }

  ir::Graph& graph_;
  Edit edit_;
};

}  // namespace

// ConvTranspose(x, w) => a convolution that makes all phases of an output block as channels, and a
// DepthToSpace: W. Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.
ir::Pass unfold_transposed(const LoweringOptions&) {
  return {"unfold-transposed", "ConvTranspose(x, w) => DepthToSpace(Conv(x, phases of w))",
          ir::Exactness::Reordered,
          [](ir::Graph& graph, const ir::OpTable& ops) { return UnfoldTransposed(graph, ops).run(); }};
}

}  // namespace kvant::engine
