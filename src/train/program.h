// SPDX-License-Identifier: Apache-2.0
// A graph as the plug-in runs it: Q/DQ pairs as fake-quantize nodes, constants with what training may do to
// them, and the way back into the graph.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ir/qdq.h"
#include "train/plugin_abi.h"

namespace kvant::train {

// What becomes of quantization scales in training.
enum class Ranges {
  // Activations keep theirs. Scales of symmetric weights follow max |w| per channel after every step, as the
  // share of it that the calibration chose.
  Fixed,
  // Activations take the range of every batch, the last one stays (NVIDIA's toolkit for TensorFlow 2);
  // weights are scaled by max |w|. Zero points stay: the scale is the smallest that covers the range.
  Last,
  Average,  // as Fixed for weights; activations take the moving average of such scales (Jacob et al. 2018)
  Learned,  // all scales are trained (LSQ, Esser et al. 2020)
};

// "fixed", "last", "average", "learned"; fails with the nearest of these on another name.
Ranges ranges_named(std::string_view name);
const std::vector<std::string>& ranges_names();

struct ProgramOptions {
  bool training = false;  // false: the graph exactly as it is, nothing changes
  bool logits = false;    // without the Softmax at the end of output 0, as in training
  Ranges ranges = Ranges::Fixed;
  std::vector<ir::ValueId> extra_outputs;  // further values to give out, after the graph's outputs
};

// One changeable constant of the program.
struct Slot {
  int32_t value;  // program value id
  kvant_train_role role;
  Shape shape;
  ir::ValueId constant = ir::kNone;  // the graph's constant; kNone for a scale
  ir::Quantized pair;                // of a scale: where it belongs
};

class Program {
 public:
  struct Storage;
  // Float32 graphs only. Fails, naming the node, on operators that the plug-in cannot run and on codes that
  // are used other than by a DequantizeLinear of the same parameters. In training a Softmax or LogSoftmax at
  // the end of output 0 is left out (the loss has its own), and only output 0 counts.
  Program(const ir::Graph& graph, const ProgramOptions& options, const kvant_train_api& api);
  ~Program();
  Program(Program&&) noexcept;

  // Points into this object.
  const kvant_train_graph& border() const;
  // Constants that training changes: weights, statistics, scales.
  const std::vector<Slot>& slots() const { return slots_; }
  size_t output_count() const;

  // Puts trained values (one list of floats per slot, in order) into the graph: constants, scales, clip
  // bounds; weights are clamped to their codes' range. `graph` is the one that the program was made
  // from.
  void write_back(ir::Graph& graph, const std::vector<std::vector<float>>& values) const;

 private:
  friend class ProgramBuilder;
  std::unique_ptr<Storage> storage_;
  std::vector<Slot> slots_;
};

// Integer constants behind a lone DequantizeLinear become float constants (with a Q/DQ pair when int8 or
// uint8, so that they can be trained; int32 biases without one). Done before training. Returns how many there
// were.
size_t unfold_integer_constants(ir::Graph& graph);

}  // namespace kvant::train
