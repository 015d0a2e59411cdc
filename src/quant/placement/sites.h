// SPDX-License-Identifier: Apache-2.0
// The places where a model shall read quantized tensors, as the families of placements.inc claim them. A site
// is an input of a node; sites that read one tensor share one Q/DQ pair. Nothing is changed in the graph
// here: insert.h does that.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "tensor/activation.h"
#include "tensor/quantize.h"

namespace kvant::quant {

struct Site {
  std::string reason;
  bool weight = false;
  int64_t axis = QuantParams::kPerTensor;  // of a weight's scales
  bool present = false;                    // the model came with a pair here
  int bits = 0;                            // 0: the default of the whole model
  std::string calibrator = {};             // of an activation; "": the default
};

// What a spec, or a user's own case, says of one node. It is stronger than what any family claims.
struct LayerRule {
  bool input = true;            // its activations may get a pair
  bool weight = true;           // its weight may
  std::vector<int> inputs;      // only these activations; empty: all
  int bits = 0;                 // 2 to 8; 0: the default
  std::string calibrator = {};  // of its activations; "": the default
  std::string origin;           // who says so, for reasons ("spec entry 3")
};

class Sites {
 public:
  using Key = std::pair<ir::NodeId, int>;  // node and input

  // The graph must outlive it, and its types must be inferred.
  explicit Sites(const ir::Graph& graph) : graph_(graph) {}

  const ir::Graph& graph() const { return graph_; }

  // From here on every claim on `node` obeys `rule`; the first rule of a node stays. A node that may have no
  // pair at all is kept in float, for that reason.
  void set_rule(ir::NodeId node, LayerRule rule);
  const LayerRule* rule_of(ir::NodeId node) const;

  // Claims input `input` of `node` as a quantized activation. Does nothing if that is claimed already, if the
  // node's rule forbids it, or if it cannot be: a constant, or neither f32 nor quantized.
  void want_activation(ir::NodeId node, int input, std::string reason);
  // Claims data (input 0) and weight (input 1) of a weighted layer, both or none (then keep_float() says
  // why) unless the node's rule wants one alone. `axis` is that of the weight's scales, `what` the layer in
  // words ("convolution").
  void want_weighted(ir::NodeId node, int64_t axis, const std::string& what);
  // Claims a pair on the tensor itself, whoever reads it: all its readers then read the DQ, and with
  // `as_graph_output` the graph's output of that name too. Does nothing for what cannot be an activation.
  void want_output(ir::ValueId value, std::string reason, bool as_graph_output = false);
  // Why a node stays in float; the first reason stays, and it is dropped when the node gets a site after all.
  void keep_float(ir::NodeId node, std::string reason);
  // These two tensors shall have one scale (the wider range of both).
  void share_scale(ir::ValueId a, ir::ValueId b);
  // `value` is moved from the quantized tensor `root` without arithmetic, so that it lies on its codes too.
  void carry(ir::ValueId value, ir::ValueId root) { carried_[value] = root; }

  // `input` is read by this activation alone, whose result is quantized as well: of the input's range only
  // what the result's codes can tell apart needs codes.
  struct Curve {
    Activation activation;
    ir::ValueId result;
  };
  void set_curve(ir::ValueId input, Curve curve) { curves_.emplace(input, curve); }
  const std::map<ir::ValueId, Curve>& curves() const { return curves_; }

  bool is_site(ir::NodeId node, int input) const { return sites_.contains({node, input}); }
  bool has_site(ir::NodeId node) const;
  // A non-constant f32 tensor: what an activation pair can stand on.
  bool can_be_activation(ir::ValueId value) const;
  // A site reads `value`, or it came with a pair.
  bool is_quantized(ir::ValueId value) const;
  // The quantized tensor whose codes `value` holds: itself, or the root it is carried from; kNone if there is
  // none.
  ir::ValueId codes_of(ir::ValueId value) const;
  // A constant, or made of constants through a pair and data movement.
  bool is_weight(ir::ValueId value) const;

  // What lies between a layer and the quantized reader of its result, when looking for one.
  enum class Through {
    DataMovement,  // ops that commute with Q and DQ: moved or picked elements
    Activations,   // also Relu, Clip and smooth activations: they fuse into the layer before
  };
  // Whether some reader of `value` is a site, or a QuantizeLinear that the model came with.
  bool reaches_site(ir::ValueId value, Through through) const;
  // Whether input 0 of the node passes to its outputs unchanged (MaxPool, Reshape, Transpose, Slice, Pad with
  // 0 ...).
  bool is_transparent(ir::NodeId node) const;

  const std::map<Key, Site>& all() const { return sites_; }
  struct Output {
    std::string reason;
    bool as_graph_output = false;
  };
  const std::map<ir::ValueId, Output>& outputs() const { return outputs_; }
  const std::map<ir::NodeId, std::string>& float_reasons() const { return float_reasons_; }
  // Tensors that share the scale of `value`, itself included.
  std::vector<ir::ValueId> scale_group(ir::ValueId value) const;
  // Grows whenever something new is claimed: the families run until it does not.
  size_t revision() const { return revision_; }

 private:
  bool can_be_weight(ir::ValueId value) const;
  bool reaches(ir::ValueId value, Through through, std::set<ir::ValueId>& seen) const;
  ir::ValueId group_root(ir::ValueId value) const;

  const ir::Graph& graph_;
  std::map<Key, Site> sites_;
  std::map<ir::ValueId, Output> outputs_;
  std::map<ir::NodeId, LayerRule> rules_;
  std::map<ir::NodeId, std::string> float_reasons_;
  std::set<ir::ValueId> quantized_;
  std::map<ir::ValueId, ir::ValueId> carried_;
  std::map<ir::ValueId, Curve> curves_;
  std::map<ir::ValueId, ir::ValueId> group_;  // union-find by parent
  size_t revision_ = 0;
};

// The node as reasons and errors call it: its name, else that of its result.
std::string label(const ir::Graph& graph, ir::NodeId node);
// Conv, ConvTranspose, Gemm or MatMul.
bool is_weighted(const ir::Node& node);
// Operators that an integer layer before them computes in its epilogue.
bool is_activation(const ir::Node& node);
// Mul of a value with its own Sigmoid or HardSigmoid: SiLU and HardSwish as exporters write them.
bool is_swish(const ir::Graph& graph, const ir::Node& node);

}  // namespace kvant::quant
