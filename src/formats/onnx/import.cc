// SPDX-License-Identifier: Apache-2.0
// ONNX file -> graph: names resolved, every node brought to ir::kIrOpset, typed as it is built, verified.
#include <algorithm>
#include <array>

#include "formats/onnx/attribute_proto.h"
#include "formats/onnx/draft.h"
#include "formats/onnx/model_file.h"
#include "formats/onnx/node_order.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/tensor_proto.h"
#include "ir/infer.h"
#include "ir/verify.h"
#include "ops/ops.h"

namespace kvant::formats {
namespace {

// Operators that have had a form which upgrades.inc knows since before kOldestOpset, and since when; the
// others had attributes then that nothing can raise.
struct OldForm {
  std::string_view op;
  int since;
};
constexpr std::array<OldForm, 45> kOldForms{{{"Abs", 6},
                                             {"Ceil", 6},
                                             {"Clip", 6},
                                             {"Constant", 1},
                                             {"Conv", 1},
                                             {"ConvTranspose", 1},
                                             {"DepthToSpace", 1},
                                             {"Elu", 6},
                                             {"Exp", 6},
                                             {"Flatten", 1},
                                             {"Floor", 6},
                                             {"GlobalAveragePool", 1},
                                             {"GlobalMaxPool", 1},
                                             {"HardSigmoid", 6},
                                             {"Identity", 1},
                                             {"InstanceNormalization", 6},
                                             {"LRN", 1},
                                             {"LeakyRelu", 6},
                                             {"Log", 6},
                                             {"LogSoftmax", 1},
                                             {"Neg", 6},
                                             {"Not", 1},
                                             {"Reciprocal", 6},
                                             {"ReduceL1", 1},
                                             {"ReduceL2", 1},
                                             {"ReduceLogSum", 1},
                                             {"ReduceLogSumExp", 1},
                                             {"ReduceMax", 1},
                                             {"ReduceMean", 1},
                                             {"ReduceMin", 1},
                                             {"ReduceProd", 1},
                                             {"ReduceSum", 1},
                                             {"ReduceSumSquare", 1},
                                             {"Relu", 6},
                                             {"Selu", 6},
                                             {"Shape", 1},
                                             {"Sigmoid", 6},
                                             {"Size", 1},
                                             {"Softmax", 1},
                                             {"Softplus", 1},
                                             {"Softsign", 1},
                                             {"Sqrt", 6},
                                             {"Tanh", 6},
                                             {"Transpose", 1},
                                             {"Unsqueeze", 1}}};

// Operators that Microsoft's tools write under their own domain with the standard's meaning.
constexpr std::array<std::string_view, 2> kMicrosoftStandard{"QuantizeLinear", "DequantizeLinear"};

bool is_standard(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

int opset_of(const kvant_onnx::ModelProto& model) {
  for (const kvant_onnx::Opset& import : model.opset_import()) {
    if (!is_standard(import.domain())) continue;
    if (import.version() < 1) fail("the model says opset {}; the file is damaged", import.version());
    if (import.version() > kNewestOpset) {
      fail(
          "the model is of opset {}, newer than {}, the newest that kvant knows; export it with opset {} or "
          "older",
          import.version(), kNewestOpset, ir::kIrOpset);
    }
    return static_cast<int>(import.version());
  }
  fail("the model does not say its ONNX opset");
}

class Importer final : public Importing {
 public:
  Importer(kvant_onnx::ModelProto& model, const std::filesystem::path& folder, const ReadOptions& options)
      : model_(model),
        proto_(*model.mutable_graph()),
        options_(options),
        opset_(opset_of(model)),
        external_(folder) {
    graph_.opset = opset_;
    graph_.name = proto_.name();
  }

  ir::Graph run();

  int opset() const override { return opset_; }
  const ir::Type& type(ir::ValueId value) const override { return graph_.value(value).type; }
  const Tensor* constant(ir::ValueId value) const override { return graph_.constant(value); }
  bool wanted(const std::string& output) const override { return read_.contains(output); }
  ir::ValueId add(std::string op, std::vector<ir::ValueId> inputs, ir::Attributes attributes) override;
  ir::ValueId add_constant(std::string_view suffix, Tensor value) override;

 private:
  void import_metadata();
  void import_initializers();
  void import_inputs();
  void import_node(const kvant_onnx::NodeProto& node);
  void import_outputs();
  void check_domain(const kvant_onnx::NodeProto& node) const;
  ir::NodeId emit(Draft draft);
  void define(const std::string& name, ir::ValueId value);
  void reserve_names();
  std::string fresh(const std::string& wanted) const;

  kvant_onnx::ModelProto& model_;
  kvant_onnx::GraphProto& proto_;
  const ReadOptions& options_;
  const int opset_;
  ExternalData external_;
  ir::Graph graph_;
  ir::Inference inference_{graph_, ops::standard()};
  std::map<std::string, ir::ValueId> values_;  // by the file's names
  std::set<std::string> given_;                // names of inputs and initializers
  std::set<std::string> taken_;                // all names of tensors in the file
  std::set<std::string> read_;                 // names that a node or the graph's outputs read
  std::string current_;                        // name of the node at work
};

// The element type and shape of an input or output; kUnknownDim and a name where a dimension is symbolic.
ir::Type type_of(const kvant_onnx::ValueInfoProto& info, const std::string& what,
                 std::vector<std::string>& dim_names) {
  const kvant_onnx::TypeProto& type = info.type();
  if (type.has_sequence_type() || type.has_map_type() || type.has_optional_type() ||
      type.has_sparse_tensor_type()) {
    fail("{} is a sequence, map, optional or sparse tensor; kvant works on dense tensors only", what);
  }
  if (!type.has_tensor_type()) fail("{} has no type", what);
  ir::Type result{dtype_of_number(type.tensor_type().elem_type(), what), std::nullopt};
  if (!type.tensor_type().has_shape()) return result;
  Shape shape;
  Shape known;
  for (const auto& dim : type.tensor_type().shape().dim()) {
    // Some exporters write -1 for "unknown".
    const bool fixed = dim.has_dim_value() && dim.dim_value() >= 0;
    shape.push_back(fixed ? dim.dim_value() : kUnknownDim);
    dim_names.push_back(fixed ? "" : dim.dim_param());
    if (fixed) known.push_back(dim.dim_value());
  }
  noting([&] { return "in the shape of " + what; }, [&] { element_count(known); });
  result.shape = std::move(shape);
  return result;
}

std::string Importer::fresh(const std::string& wanted) const {
  std::string name = wanted;
  for (int i = 1; taken_.contains(name) || graph_.find_value(name) != ir::kNone; ++i) {
    name = fmt::format("{}_{}", wanted, i);
  }
  return name;
}

ir::ValueId Importer::add_constant(std::string_view suffix, Tensor value) {
  return graph_.add_constant(fresh(fmt::format("{}_{}", current_, suffix)), std::move(value));
}

ir::ValueId Importer::add(std::string op, std::vector<ir::ValueId> inputs, ir::Attributes attributes) {
  const std::string name = fmt::format("{}_{}", current_, op);
  Draft draft{std::move(op), name, std::move(inputs), {fresh(name + "_output")}, std::move(attributes), {}};
  const ir::NodeId node = emit(std::move(draft));
  return graph_.node(node).outputs[0];
}

// Adds the node and types it at once, so that rules for later nodes know its result.
ir::NodeId Importer::emit(Draft draft) {
  while (!draft.inputs.empty() && draft.inputs.back() == ir::kNone) draft.inputs.pop_back();
  while (draft.outputs.size() > 1 && draft.outputs.back().empty()) draft.outputs.pop_back();
  for (std::string& output : draft.outputs) {
    if (output.empty()) output = fresh(draft.name + "_unused");
  }
  const ir::NodeId id = graph_.add_node(std::move(draft.op), draft.name, std::move(draft.inputs),
                                        std::move(draft.outputs), std::move(draft.attributes));
  graph_.sources(id) = {current_};
  ir::verify_node(graph_.node(id), ops::standard());
  inference_.infer(id);
  return id;
}

void Importer::define(const std::string& name, ir::ValueId value) {
  const auto [known, fresh] = values_.emplace(name, value);
  static_cast<void>(known);
  if (!fresh) fail("the model defines tensor '{}' twice", name);
}

void Importer::reserve_names() {
  for (const kvant_onnx::NodeProto& node : proto_.node()) {
    taken_.insert(node.output().begin(), node.output().end());
    read_.insert(node.input().begin(), node.input().end());
  }
  for (const kvant_onnx::ValueInfoProto& output : proto_.output()) read_.insert(output.name());
  for (const kvant_onnx::TensorProto& tensor : proto_.initializer()) given_.insert(tensor.name());
  for (const kvant_onnx::ValueInfoProto& input : proto_.input()) given_.insert(input.name());
  taken_.insert(given_.begin(), given_.end());
}

void Importer::import_metadata() {
  const auto keep = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) graph_.metadata[std::string(key)] = value;
  };
  for (const kvant_onnx::KeyValue& entry : model_.metadata_props())
    graph_.metadata[entry.key()] = entry.value();
  keep(kProducerNameKey, model_.producer_name());
  keep(kProducerVersionKey, model_.producer_version());
  keep(kDomainKey, model_.domain());
  keep(kModelVersionKey, model_.model_version() != 0 ? std::to_string(model_.model_version()) : "");
  keep(kDocKey, model_.doc_string());
  keep(kGraphDocKey, proto_.doc_string());
}

void Importer::import_initializers() {
  if (proto_.sparse_initializer_size() > 0) {
    fail("the model has the sparse initializer '{}'; kvant works on dense tensors only",
         proto_.sparse_initializer(0).values().name());
  }
  for (kvant_onnx::TensorProto& proto : *proto_.mutable_initializer()) {
    if (proto.name().empty()) fail("the model has an initializer without a name");
    Tensor tensor = to_tensor(proto, external_, "initializer '" + proto.name() + "'");
    delete proto.release_raw_data();  // now in the tensor: models are large
    define(proto.name(), graph_.add_constant(proto.name(), std::move(tensor)));
  }
}

// Files of IR version 3 list initializers as inputs too; constants they are.
void Importer::import_inputs() {
  for (const kvant_onnx::ValueInfoProto& info : proto_.input()) {
    if (info.name().empty()) fail("the model has an input without a name");
    if (const auto known = values_.find(info.name());
        known != values_.end() && graph_.is_constant(known->second))
      continue;
    std::vector<std::string> dim_names;
    ir::Type type = type_of(info, "input '" + info.name() + "'", dim_names);
    define(info.name(), graph_.add_input(info.name(), std::move(type), std::move(dim_names)));
  }
}

void Importer::check_domain(const kvant_onnx::NodeProto& node) const {
  if (is_standard(node.domain())) return;
  const bool standard = std::find(kMicrosoftStandard.begin(), kMicrosoftStandard.end(), node.op_type()) !=
                        kMicrosoftStandard.end();
  if (node.domain() == "com.microsoft" && standard) return;
  const auto is_called = [&](const kvant_onnx::FunctionProto& f) {
    return f.domain() == node.domain() && f.name() == node.op_type();
  };
  if (std::any_of(model_.functions().begin(), model_.functions().end(), is_called)) {
    fail("{} calls a function of the model; inline the functions first (onnx.inliner.inline_local_functions)",
         label(node));
  }
  fail("{} is of the operator set '{}'; kvant supports the standard ONNX operators only", label(node),
       node.domain());
}

void Importer::import_node(const kvant_onnx::NodeProto& node) {
  check_domain(node);
  const bool known = std::any_of(kOldForms.begin(), kOldForms.end(), [&](const OldForm& form) {
    return form.op == node.op_type() && form.since <= opset_;
  });
  if (opset_ < kOldestOpset && !known) {
    fail(
        "{} is in its form of opset {}; kvant reads opset {} and newer (onnx.version_converter raises a "
        "model)",
        label(node), opset_, kOldestOpset);
  }
  Draft draft;
  draft.op = node.op_type();
  draft.name = !node.name().empty() ? node.name() : node.output_size() > 0 ? node.output(0) : node.op_type();
  current_ = draft.name;
  for (const std::string& input : node.input()) {
    draft.inputs.push_back(input.empty() ? ir::kNone : values_.at(input));
  }
  draft.outputs.assign(node.output().begin(), node.output().end());
  draft.attributes = to_attributes(node, external_, label(node));
  upgrade(draft, *this);
  if (options_.lift) lift(draft, *this);
  if (draft.constant) {
    if (node.output_size() != 1 || node.output(0).empty())
      fail("{} has {} outputs, not one", label(node), node.output_size());
    define(node.output(0), graph_.add_constant(node.output(0), std::move(*draft.constant)));
    return;
  }
  const ir::NodeId id = emit(std::move(draft));
  for (int i = 0; i < node.output_size(); ++i) {
    const auto& outputs = graph_.node(id).outputs;
    if (!node.output(i).empty() && static_cast<size_t>(i) < outputs.size())
      define(node.output(i), outputs[static_cast<size_t>(i)]);
  }
}

void Importer::import_outputs() {
  if (proto_.output_size() == 0) fail("the model has no outputs");
  for (const kvant_onnx::ValueInfoProto& info : proto_.output()) {
    const auto value = values_.find(info.name());
    if (value == values_.end()) fail("the model's output '{}' is made by no node", info.name());
    graph_.add_output(value->second);
    std::vector<std::string> dim_names;
    if (info.type().has_tensor_type()) type_of(info, "output '" + info.name() + "'", dim_names);
    const ir::Value& output = graph_.value(value->second);
    const bool fits = output.type.shape && output.type.shape->size() == dim_names.size();
    if (fits && output.dim_names.empty()) graph_.set_dim_names(value->second, std::move(dim_names));
  }
}

ir::Graph Importer::run() {
  reserve_names();
  import_metadata();
  import_initializers();
  import_inputs();
  for (const int index : node_order(proto_, given_)) {
    const kvant_onnx::NodeProto& node = proto_.node(index);
    noting([&] { return "in node " + label(node); }, [&] { import_node(node); });
  }
  import_outputs();
  graph_.erase_dead();
  ir::verify(graph_, ops::standard());
  return std::move(graph_);
}

}  // namespace

ir::Graph read_onnx(const std::filesystem::path& path, const ReadOptions& options) {
  return noting([&] { return "while reading " + path.string(); },
                [&] {
                  const auto model = parse_model(path);
                  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
                  return Importer(*model, folder, options).run();
                });
}

}  // namespace kvant::formats
