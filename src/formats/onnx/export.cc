// SPDX-License-Identifier: Apache-2.0
// Graph -> ONNX file: the least opset that holds it, weights inside or beside the model.
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <optional>

#include "base/file.h"
#include "formats/onnx/attribute_proto.h"
#include "formats/onnx/downgrade.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/tensor_proto.h"
#include "ir/infer.h"
#include "ops/ops.h"

namespace kvant::formats {
namespace {

constexpr int kLeastWrittenOpset = 13;
// Smaller tensors stay in the model when the others go beside it: shapes and scales are read by every tool.
constexpr size_t kLeastExternalBytes = 1024;
constexpr size_t kExternalAlignment = 64;

// Lets protobuf write into an AtomicFile, so that a large model is never in memory as one string.
class FileStream final : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit FileStream(AtomicFile& file) : file_(file) {}
  bool Write(const void* data, int size) override {
    file_.write(std::string_view(static_cast<const char*>(data), static_cast<size_t>(size)));
    return true;
  }

 private:
  AtomicFile& file_;
};

// The file beside the model that takes large weights.
class ExternalFile {
 public:
  explicit ExternalFile(const std::filesystem::path& model)
      : location_(model.filename().string() + ".data"), file_(model.parent_path() / location_) {}

  void add(const Tensor& tensor, const std::string& name, kvant_onnx::TensorProto& proto) {
    const size_t padding = (kExternalAlignment - file_.size() % kExternalAlignment) % kExternalAlignment;
    file_.write(std::string(padding, '\0'));
    describe(tensor, name, proto);
    proto.set_data_location(1);
    put(proto, "location", location_);
    put(proto, "offset", std::to_string(file_.size()));
    put(proto, "length", std::to_string(tensor.byte_size()));
    file_.write(std::span(tensor.raw(), tensor.byte_size()));
  }
  void commit() { file_.commit(); }

 private:
  static void put(kvant_onnx::TensorProto& proto, const std::string& key, const std::string& value) {
    auto* entry = proto.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }

  std::string location_;
  AtomicFile file_;
};

bool is_written(const ir::Graph& graph, ir::ValueId id) {
  const ir::Value& value = graph.value(id);
  return !value.erased && value.constant && graph.use_count(id) > 0;
}

size_t constant_bytes(const ir::Graph& graph) {
  size_t total = 0;
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const auto id = static_cast<ir::ValueId>(i);
    if (is_written(graph, id)) total += graph.constant(id)->byte_size();
  }
  return total;
}

void write_value_info(const ir::Value& value, kvant_onnx::ValueInfoProto& proto) {
  proto.set_name(value.name);
  auto& tensor = *proto.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx_number(value.type.dtype));
  if (!value.type.shape) return;
  auto& shape = *tensor.mutable_shape();
  for (size_t i = 0; i < value.type.shape->size(); ++i) {
    const int64_t dim = (*value.type.shape)[i];
    const bool named = i < value.dim_names.size() && !value.dim_names[i].empty();
    if (dim != kUnknownDim) {
      shape.add_dim()->set_dim_value(dim);
    } else {
      shape.add_dim()->set_dim_param(named ? value.dim_names[i] : fmt::format("{}_d{}", value.name, i));
    }
  }
}

void write_node(const ir::Graph& graph, const ir::Node& node, kvant_onnx::NodeProto& proto) {
  const ir::OpDef* op = ops::standard().find(node.op);
  KVANT_CHECK(op == nullptr || !op->is(ir::Trait::Internal),
              "internal operator " + node.op + " in a graph to be written");
  proto.set_op_type(node.op);
  proto.set_name(node.name);
  size_t inputs = node.inputs.size();
  while (inputs > 0 && node.inputs[inputs - 1] == ir::kNone) --inputs;
  for (size_t i = 0; i < inputs; ++i) {
    proto.add_input(node.inputs[i] == ir::kNone ? "" : graph.value(node.inputs[i]).name);
  }
  for (const ir::ValueId output : node.outputs)
    proto.add_output(output == ir::kNone ? "" : graph.value(output).name);
  for (const auto& [name, value] : node.attributes) from_attribute(name, value, *proto.add_attribute());
}

// Metadata that stands for a field of its own; erased from `metadata` when taken.
std::optional<std::string> take(std::map<std::string, std::string>& metadata, std::string_view key) {
  const auto it = metadata.find(std::string(key));
  if (it == metadata.end()) return std::nullopt;
  std::string value = std::move(it->second);
  metadata.erase(it);
  return value;
}

void write_metadata(const ir::Graph& graph, kvant_onnx::ModelProto& model) {
  std::map<std::string, std::string> metadata = graph.metadata;
  model.set_producer_name(take(metadata, kProducerNameKey).value_or("kvant"));
  if (const auto value = take(metadata, kProducerVersionKey)) model.set_producer_version(*value);
  if (const auto value = take(metadata, kDomainKey)) model.set_domain(*value);
  if (const auto value = take(metadata, kDocKey)) model.set_doc_string(*value);
  if (const auto value = take(metadata, kGraphDocKey)) model.mutable_graph()->set_doc_string(*value);
  if (const auto value = take(metadata, kModelVersionKey))
    model.set_model_version(std::strtoll(value->c_str(), nullptr, 10));
  for (const auto& [key, value] : metadata) {
    auto* entry = model.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
}

kvant_onnx::ModelProto to_model(const ir::Graph& graph, int opset, ExternalFile* external) {
  kvant_onnx::ModelProto model;
  model.set_ir_version(ir_version_of(opset));
  model.add_opset_import()->set_version(opset);
  model.mutable_opset_import(0)->set_domain("");
  write_metadata(graph, model);
  kvant_onnx::GraphProto& proto = *model.mutable_graph();
  proto.set_name(graph.name.empty() ? "graph" : graph.name);
  for (const ir::ValueId input : graph.inputs()) write_value_info(graph.value(input), *proto.add_input());
  for (const ir::ValueId output : graph.outputs()) write_value_info(graph.value(output), *proto.add_output());
  for (const ir::NodeId id : graph.topological_order()) write_node(graph, graph.node(id), *proto.add_node());
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const auto id = static_cast<ir::ValueId>(i);
    if (!is_written(graph, id)) continue;
    const Tensor& tensor = *graph.constant(id);
    if (external != nullptr && tensor.byte_size() >= kLeastExternalBytes) {
      external->add(tensor, graph.value(id).name, *proto.add_initializer());
    } else {
      from_tensor(tensor, graph.value(id).name, *proto.add_initializer());
    }
  }
  return model;
}

void write_files(const ir::Graph& graph, const std::filesystem::path& path, const WriteOptions& options,
                 int opset) {
  std::optional<ExternalFile> external;
  if (options.external || constant_bytes(graph) > options.inline_limit) external.emplace(path);
  AtomicFile file(path);
  const kvant_onnx::ModelProto model = to_model(graph, opset, external ? &*external : nullptr);
  if (model.ByteSizeLong() > INT32_MAX)
    fail("cannot write {}: the graph without its weights is larger than 2 GiB", path.string());
  {
    FileStream stream(file);
    google::protobuf::io::CopyingOutputStreamAdaptor adaptor(&stream);
    KVANT_CHECK(model.SerializeToZeroCopyStream(&adaptor) && adaptor.Flush(),
                "protobuf did not write the model");
  }
  if (external) external->commit();
  file.commit();
}

}  // namespace

void write_onnx(const ir::Graph& graph, const std::filesystem::path& path, const WriteOptions& options) {
  if (options.opset < kLeastWrittenOpset || options.opset > ir::kIrOpset) {
    fail("opset {} cannot be written; choose {} to {}", options.opset, kLeastWrittenOpset, ir::kIrOpset);
  }
  ir::Graph written = graph;
  ir::infer_types(written, ops::standard());
  const int opset = least_opset(written, options.opset);
  downgrade(written, opset);
  write_files(written, path, options, opset);
}

}  // namespace kvant::formats
