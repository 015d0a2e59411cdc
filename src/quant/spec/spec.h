// SPDX-License-Identifier: Apache-2.0
// What a user says about single layers, or whole classes of them: which get Q/DQ pairs, at how many bits,
// with which calibrator. Made by hand, or read from a JSON or TOML file (read_spec.h).
#pragma once

#include <string>
#include <vector>

namespace kvant::quant {

struct SpecEntry {
  // One of the two. `name`: an ONNX node name (or that of a node's result), a glob with * ?
  // and [..], or "re:" and a regular expression (ECMAScript) that is searched for in the name. `layer_class`:
  // an ONNX operator, or DepthwiseConv, Linear (Gemm and MatMul with a constant weight), Swish.
  std::string name = {};
  std::string layer_class = {};
  bool quantize_input = true;    // with quantize_weight false too, the layer stays in float
  bool quantize_weight = true;   // no matter where there is no weight
  std::vector<int> inputs = {};  // which inputs of an Add, Mul or Concat; empty: all. Others do not heed it
  int bits = 0;                  // 2 to 8; 0: the class entry's, or the model's
  std::string calibrator = {};   // of its activations; "": the class entry's, or the model's
  int line = 0;                  // of the file; 0: not from one that tells
  int number = 0;                // in the user's spec, from 1; 0: its position here
  friend bool operator==(const SpecEntry&, const SpecEntry&) = default;
};

// An entry by name is stronger than one by class; of several that fit a layer, the last one counts.
struct Spec {
  std::vector<SpecEntry> layers;
  friend bool operator==(const Spec&, const Spec&) = default;
};

// "spec entry 2 (line 14)", counted from 1.
std::string place_of(const Spec& spec, size_t index);
// The same and what it speaks of: "spec entry 2 (line 14), name 'conv*'".
std::string describe(const Spec& spec, size_t index);

// Fails, naming the entry, on one with both name and class or neither, on bits outside 2 to 8, on a negative
// index, on an unknown calibrator (with the nearest) and on a regular expression that is none.
void check_spec(const Spec& spec);

}  // namespace kvant::quant
