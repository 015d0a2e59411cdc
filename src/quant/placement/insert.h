// SPDX-License-Identifier: Apache-2.0
// Writes the Q/DQ pairs of a placement into the graph: the only place that does.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quant/calibrate/calibration_table.h"
#include "quant/placement/sites.h"
#include "quant/weight_range.h"

namespace kvant::quant {

struct LayerReport {
  std::string name, op;
  bool quantized = false;   // some input reads a Q/DQ pair
  std::vector<int> inputs;  // quantized activations, by input index
  bool weight = false;      // its weight is quantized
  std::string reason;       // why it is as it is
  int weight_bits = 0;      // of a weight that got its pair here
  friend bool operator==(const LayerReport&, const LayerReport&) = default;
};

struct PairReport {
  std::string tensor;    // what it quantizes; "" when only the codes exist
  std::string quantize;  // the node's name; "" when only a DequantizeLinear exists
  bool weight = false;
  int bits = 8;
  int readers = 0;  // of the dequantized tensor
  std::string reason;
  friend bool operator==(const PairReport&, const PairReport&) = default;
};

struct PlacementReport {
  std::vector<LayerReport> layers;  // nodes with a float result, Q and DQ excepted, in topological order
  std::vector<PairReport> pairs;    // in the order of their DequantizeLinear
  int64_t activation_pairs = 0;     // in the graph, those that it came with included
  int64_t weight_pairs = 0;
};

// Metadata of a graph whose activations were given a pair on purpose: targets leave it where it is.
inline constexpr std::string_view kActivationTablesKey = "kvant.activation_tables";

// Names of the tensors that need a range: activations of sites without a pair.
std::vector<std::string> tensors_to_calibrate(const Sites& sites);

// Of those, the tensors that a rule gives a calibrator of their own, and its name. Where readers of one
// tensor disagree, the last node in the graph decides.
std::map<std::string, std::string> calibrators_of(const Sites& sites);

// Of those, the bits of each pair where the model's are `bits`.
std::map<std::string, int> bits_of(const Sites& sites, int bits);

// Fails, naming the node, on NaN or infinity in a weight that gets a pair.
void check_weights(const Sites& sites);

// Writes the pairs of `sites` into `graph`, a copy of the one that they were placed on. Symmetric int8,
// zero point 0, or, where `codes` says so, uint8 over the whole range for activations of 8 bits; activations
// per tensor with the union of their scale group's ranges, weights per channel
// with the range that `weights` finds (in the graph as float constant, Q, DQ), dead channels scale 1. A
// tensor that has a pair keeps it.
//
// Bits, 2 to 8: a site's own, else `bits`. A tensor has one pair, of the most bits that a weighted layer or a
// rule among its readers (and those of its scale group) asks for. Below 8, activations pass a Clip to the
// codes' range before Q; the metadata has `bits` (ir::kBitsKey), and "kvant.bits:<constant>" for weights of
// others.
//
// Sets the reason of every node. Fails, naming the node, on NaN or infinity in a weight, on a tensor without
// range and on bits out of range.
PlacementReport insert_pairs(ir::Graph& graph, const Sites& sites, const CalibrationTable& table,
                             int bits = 8, WeightCalibrator weights = WeightCalibrator::Max,
                             Codes codes = Codes::Symmetric);

}  // namespace kvant::quant
