// SPDX-License-Identifier: Apache-2.0
#include "train/program.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "base/error.h"
#include "base/nearest.h"
#include "train/roles.h"

namespace kvant::train {

// What the border's pointers point to. Deques: their elements stay where they are.
struct Program::Storage {
  struct Attribute {
    std::string name, text;
    std::vector<int64_t> integers;
    std::vector<float> reals;
    kvant_train_attribute_kind kind;
  };
  struct Node {
    std::string op, name;
    std::vector<int32_t> inputs, outputs;
    std::deque<Attribute> attributes;
    std::vector<kvant_train_attribute> border;
  };
  struct Constant {
    int32_t value;
    int32_t role;
    Tensor tensor;
    std::vector<int64_t> shape;
  };
  std::deque<Node> nodes;
  std::deque<Constant> constants;
  std::vector<kvant_train_node> border_nodes;
  std::vector<kvant_train_constant> border_constants;
  std::vector<int32_t> inputs, outputs;
  int32_t value_count = 0;
  kvant_train_graph graph{};

  void finish();
};

namespace {

kvant_train_dtype border_dtype(const std::string& value, DType dtype) {
  switch (dtype) {
    case DType::Float32:
      return KVANT_TRAIN_F32;
    case DType::Float64:
      return KVANT_TRAIN_F64;
    case DType::Int32:
      return KVANT_TRAIN_I32;
    case DType::Int64:
      return KVANT_TRAIN_I64;
    case DType::UInt8:
      return KVANT_TRAIN_U8;
    case DType::Int8:
      return KVANT_TRAIN_I8;
    case DType::Bool:
      return KVANT_TRAIN_BOOL;
    default:
      fail("training takes float32 models: the constant '{}' is {}; convert the model to float32 first",
           value, name(dtype));
  }
}

std::string node_label(const ir::Graph& graph, const ir::Node& node) {
  if (!node.name.empty()) return node.name;
  return node.outputs.empty() || node.outputs[0] == ir::kNone ? node.op : graph.value(node.outputs[0]).name;
}

Program::Storage::Attribute attribute(const std::string& name, const ir::Attribute& value) {
  Program::Storage::Attribute result{name, {}, {}, {}, KVANT_TRAIN_INTEGER};
  if (const auto* i = std::get_if<int64_t>(&value)) {
    result.integers = {*i};
  } else if (const auto* r = std::get_if<float>(&value)) {
    result.kind = KVANT_TRAIN_REAL;
    result.reals = {*r};
  } else if (const auto* t = std::get_if<std::string>(&value)) {
    result.kind = KVANT_TRAIN_TEXT;
    result.text = *t;
  } else if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) {
    result.kind = KVANT_TRAIN_INTEGERS;
    result.integers = *list;
  } else if (const auto* reals = std::get_if<std::vector<float>>(&value)) {
    result.kind = KVANT_TRAIN_REALS;
    result.reals = *reals;
  }
  return result;
}

}  // namespace

void Program::Storage::finish() {
  for (Node& node : nodes) {
    for (const Attribute& a : node.attributes) {
      node.border.push_back({a.name.c_str(), a.kind, a.integers.empty() ? 0 : a.integers[0],
                             a.reals.empty() ? 0.0 : static_cast<double>(a.reals[0]), a.text.c_str(),
                             a.integers.data(), a.reals.data(),
                             static_cast<int64_t>(std::max(a.integers.size(), a.reals.size()))});
    }
    border_nodes.push_back({node.op.c_str(), node.name.c_str(), node.inputs.data(),
                            static_cast<int32_t>(node.inputs.size()), node.outputs.data(),
                            static_cast<int32_t>(node.outputs.size()), node.border.data(),
                            static_cast<int32_t>(node.border.size())});
  }
  for (const Constant& c : constants) {
    const kvant_train_dtype dtype = border_dtype("", c.tensor.dtype());
    border_constants.push_back(
        {c.value, c.role, {dtype, static_cast<int32_t>(c.shape.size()), c.shape.data(), c.tensor.raw()}});
  }
  graph = {value_count,
           border_nodes.data(),
           static_cast<int32_t>(border_nodes.size()),
           border_constants.data(),
           static_cast<int32_t>(border_constants.size()),
           inputs.data(),
           static_cast<int32_t>(inputs.size()),
           outputs.data(),
           static_cast<int32_t>(outputs.size())};
}

class ProgramBuilder {
 public:
  ProgramBuilder(const ir::Graph& graph, const ProgramOptions& options, const kvant_train_api& api,
                 Program& program)
      : graph_(graph), options_(options), api_(api), program_(program), storage_(*program.storage_) {}

  void build() {
    storage_.value_count = static_cast<int32_t>(graph_.value_capacity());
    for (const ir::ValueId output : graph_.outputs()) storage_.outputs.push_back(output);
    KVANT_CHECK(!storage_.outputs.empty(), "a graph without outputs");
    if (options_.training || options_.logits) leave_out_softmax(storage_.outputs[0]);
    if (options_.training) storage_.outputs.resize(1);
    for (const ir::ValueId value : options_.extra_outputs) storage_.outputs.push_back(value);
    const std::vector<ir::NodeId> order = graph_.topological_order();
    find_pairs(order);
    find_needed(order);
    if (options_.training) roles_ = trained_constants(graph_, storage_.outputs);
    for (const ir::NodeId id : order) {
      if (needed_nodes_.contains(id)) add_node(id);
    }
    for (const ir::ValueId input : graph_.inputs()) storage_.inputs.push_back(input);
    for (const ir::ValueId output : storage_.outputs) use(output);
    storage_.finish();
  }

 private:
  // The Softmax that makes `output`; behind operators that only move data it becomes an Identity.
  void leave_out_softmax(int32_t& output) {
    static const std::set<std::string> movers{"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    for (const ir::Node* node = graph_.producer(output); node != nullptr;
         node = graph_.producer(node->inputs[0])) {
      if (node->op == "Softmax" || node->op == "LogSoftmax") {
        const ir::ValueId result = node->outputs[0];
        if (result == output) {
          output = node->inputs[0];
        } else {
          skipped_ = graph_.value(result).producer;
        }
        return;
      }
      if (!movers.contains(node->op) || graph_.use_count(node->inputs[0]) != 1) return;
    }
  }

  void find_pairs(const std::vector<ir::NodeId>& order) {
    for (const ir::NodeId id : order) {
      const ir::Node& node = graph_.node(id);
      if (!ir::is_dequantize(node)) continue;
      const auto pair = ir::quantized_behind(graph_, node.outputs[0]);
      if (!pair || (pair->source == ir::kNone && !graph_.is_constant(pair->codes))) {
        fail(
            "node '{}' ({}): training needs its scale constant and a QuantizeLinear with the same parameters "
            "right "
            "before it",
            node_label(graph_, node), node.op);
      }
      pairs_.emplace(id, *pair);
    }
  }

  // The values that a node of the program reads: a DQ reads its pair's source.
  std::vector<ir::ValueId> reads(ir::NodeId id) const {
    const auto pair = pairs_.find(id);
    if (pair == pairs_.end()) return graph_.node(id).inputs;
    return pair->second.source == ir::kNone ? std::vector<ir::ValueId>()
                                            : std::vector<ir::ValueId>{pair->second.source};
  }

  void find_needed(const std::vector<ir::NodeId>& order) {
    std::set<ir::ValueId> values(storage_.outputs.begin(), storage_.outputs.end());
    for (auto id = order.rbegin(); id != order.rend(); ++id) {
      const std::vector<ir::ValueId>& outputs = graph_.node(*id).outputs;
      if (std::none_of(outputs.begin(), outputs.end(), [&](ir::ValueId v) { return values.contains(v); }))
        continue;
      needed_nodes_.insert(*id);
      for (const ir::ValueId value : reads(*id)) values.insert(value);
    }
  }

  int32_t add_constant(int32_t value, int32_t role, const Tensor& tensor, const std::string& name) {
    border_dtype(name, tensor.dtype());
    storage_.constants.push_back({value, role, tensor, tensor.shape()});
    return value;
  }

  // A value as an input: constants are added at their first use.
  int32_t use(ir::ValueId id) {
    const Tensor* constant = graph_.constant(id);
    if (constant == nullptr || !added_.insert(id).second) return id;
    const auto role = roles_.find(id);
    if (role == roles_.end()) return add_constant(id, KVANT_TRAIN_FIXED, *constant, graph_.value(id).name);
    program_.slots_.push_back({id, role->second, constant->shape(), id, {}});
    return add_constant(id, role->second, *constant, graph_.value(id).name);
  }

  void add_node(ir::NodeId id) {
    const ir::Node& node = graph_.node(id);
    if (const auto pair = pairs_.find(id); pair != pairs_.end()) return add_pair(pair->second);
    const std::string label = node_label(graph_, node);
    if (ir::is_quantize(node))
      fail("node '{}' (QuantizeLinear): training cannot run on integer codes", label);
    if (api_.supports(node.op.c_str()) == 0) {
      fail("node '{}' ({}): the training plug-in does not know this operator", label, node.op);
    }
    Program::Storage::Node& added = storage_.nodes.emplace_back();
    added.op = id == skipped_ ? "Identity" : node.op;
    added.name = label;
    for (const ir::ValueId input : node.inputs) added.inputs.push_back(input == ir::kNone ? -1 : use(input));
    for (const ir::ValueId output : node.outputs) added.outputs.push_back(output);
    for (const auto& [key, value] : node.attributes) {
      if (const auto* tensor = std::get_if<Tensor>(&value)) {  // ConstantOfShape's, as one more input
        added.inputs.push_back(add_constant(storage_.value_count++, KVANT_TRAIN_FIXED, *tensor, label));
      } else {
        added.attributes.push_back(attribute(key, value));
      }
    }
  }

  void add_pair(const ir::Quantized& pair) {
    if (pair.source == ir::kNone) {
      added_.insert(pair.result);
      add_constant(pair.result, KVANT_TRAIN_FIXED, dequantize(*graph_.constant(pair.codes), pair.params),
                   graph_.value(pair.codes).name);
      return;
    }
    Program::Storage::Node& node = storage_.nodes.emplace_back();
    node.outputs = {pair.result};
    const auto same = fake_quantized_.find(pair.quantize);
    if (same != fake_quantized_.end()) {  // another DQ of the same Q
      node.op = "Identity";
      node.name = node_label(graph_, graph_.node(pair.dequantize));
      node.inputs = {same->second};
      return;
    }
    fake_quantized_[pair.quantize] = pair.result;
    node.op = "FakeQuantize";
    node.name = node_label(graph_, graph_.node(pair.quantize));
    node.inputs = {use(pair.source), add_scale(pair)};
    add_ranges(pair, node);
  }

  // The weight behind a pair, if its scale can follow max |w|.
  bool follows(const ir::Quantized& pair) const {
    return options_.training && options_.ranges != Ranges::Learned && symmetric_weight(pair);
  }
  bool tracks(const ir::Quantized& pair) const {
    const bool mode = options_.ranges == Ranges::Last || options_.ranges == Ranges::Average;
    return options_.training && mode && graph_.constant(pair.source) == nullptr;
  }
  bool symmetric_weight(const ir::Quantized& pair) const {
    return roles_.contains(pair.source) && pair.params.zero_point.empty() &&
           (pair.params.dtype == DType::Int8 || pair.params.dtype == DType::Int16);
  }

  int32_t add_scale(const ir::Quantized& pair) {
    const int32_t value = storage_.value_count++;
    const Tensor scale = Tensor::vector<float>(pair.params.scale);
    kvant_train_role role = KVANT_TRAIN_FIXED;
    if (options_.training && options_.ranges == Ranges::Learned) role = KVANT_TRAIN_LEARNED;
    if (follows(pair) || tracks(pair)) role = KVANT_TRAIN_SCALE;
    if (role != KVANT_TRAIN_FIXED) program_.slots_.push_back({value, role, scale.shape(), ir::kNone, pair});
    return add_constant(value, role, scale, graph_.value(pair.source).name);
  }

  void add_ranges(const ir::Quantized& pair, Program::Storage::Node& node) {
    std::vector<int64_t> low, high;
    const bool narrow = options_.training && symmetric_weight(pair);
    for (size_t c = 0; c < std::max<size_t>(1, pair.params.zero_point.size()); ++c) {
      const int64_t zero = pair.params.zero_point_at(c);
      high.push_back(pair.range.high - zero);
      low.push_back(narrow ? -high.back() : pair.range.low - zero);
    }
    if (high.back() > 65535 || low.back() < -65535) {
      fail("node '{}' ({}): training simulates codes of up to 16 bits", node.name, node.op);
    }
    node.attributes.push_back({"axis", {}, {pair.params.axis}, {}, KVANT_TRAIN_INTEGER});
    node.attributes.push_back({"low", {}, std::move(low), {}, KVANT_TRAIN_INTEGERS});
    node.attributes.push_back({"high", {}, std::move(high), {}, KVANT_TRAIN_INTEGERS});
    const auto set = [&](const char* name, int64_t value) {
      node.attributes.push_back({name, {}, {value}, {}, KVANT_TRAIN_INTEGER});
    };
    if (graph_.constant(pair.source) == nullptr) set("activation", 1);
    if (follows(pair)) set("follow", options_.ranges == Ranges::Last ? 2 : 1);
    if (tracks(pair)) set("track", options_.ranges == Ranges::Last ? 1 : 2);
  }

  const ir::Graph& graph_;
  const ProgramOptions& options_;
  const kvant_train_api& api_;
  Program& program_;
  Program::Storage& storage_;
  std::map<ir::NodeId, ir::Quantized> pairs_;     // by DQ
  std::map<ir::NodeId, int32_t> fake_quantized_;  // by Q: the program value
  std::set<ir::NodeId> needed_nodes_;
  ir::NodeId skipped_ = ir::kNone;
  std::set<ir::ValueId> added_;
  std::map<ir::ValueId, kvant_train_role> roles_;
};

const std::vector<std::string>& ranges_names() {
  static const std::vector<std::string> names{"fixed", "last", "average", "learned"};
  return names;
}

Ranges ranges_named(std::string_view name) {
  const std::vector<std::string>& names = ranges_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    fail("there is no range mode '{}'{}; known: {}", name, nearest_hint(std::string(name), names),
         fmt::join(names, ", "));
  }
  return static_cast<Ranges>(found - names.begin());
}

Program::Program(const ir::Graph& graph, const ProgramOptions& options, const kvant_train_api& api)
    : storage_(std::make_unique<Storage>()) {
  ProgramBuilder(graph, options, api, *this).build();
}
Program::~Program() = default;
Program::Program(Program&&) noexcept = default;

const kvant_train_graph& Program::border() const { return storage_->graph; }
size_t Program::output_count() const { return storage_->outputs.size(); }

}  // namespace kvant::train
