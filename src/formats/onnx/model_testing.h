// SPDX-License-Identifier: Apache-2.0
// For tests of the ONNX format: models made message by message, files in a folder of the test's own, and what
// the importer says about them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/model.h"
#include "formats/onnx/attribute_proto.h"
#include "formats/onnx/tensor_proto.h"
#include "ir/interpreter.h"
#include "ops/ops.h"

namespace kvant::formats {

// A model, field by field. Node names are op and output unless told.
class ModelBuilder {
 public:
  explicit ModelBuilder(int opset = ir::kIrOpset) {
    proto.set_ir_version(8);
    proto.mutable_graph()->set_name("made");
    proto.add_opset_import()->set_version(opset);
  }

  kvant_onnx::GraphProto& graph() { return *proto.mutable_graph(); }

  ModelBuilder& input(const std::string& name, const Shape& shape, DType dtype = DType::Float32) {
    auto& info = *graph().add_input();
    info.set_name(name);
    auto& type = *info.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx_number(dtype));
    type.mutable_shape();
    for (const int64_t dim : shape) {
      auto& proto_dim = *type.mutable_shape()->add_dim();
      if (dim != kUnknownDim) proto_dim.set_dim_value(dim);
    }
    return *this;
  }

  ModelBuilder& constant(const std::string& name, const Tensor& value) {
    from_tensor(value, name, *graph().add_initializer());
    return *this;
  }

  ModelBuilder& node(const std::string& op, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs, const ir::Attributes& attributes = {}) {
    auto& node = *graph().add_node();
    node.set_op_type(op);
    node.set_name(op + "_" + outputs.at(0));
    for (const std::string& name : inputs) node.add_input(name);
    for (const std::string& name : outputs) node.add_output(name);
    for (const auto& [name, value] : attributes) from_attribute(name, value, *node.add_attribute());
    return *this;
  }

  ModelBuilder& output(const std::string& name) {
    graph().add_output()->set_name(name);
    return *this;
  }

  std::string bytes() const { return proto.SerializeAsString(); }

  kvant_onnx::ModelProto proto;
};

// Whatever the test writes, in a folder that goes with it.
class InFolder : public testing::Test {
 protected:
  InFolder() {
    const auto& info = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("kvant_" + std::to_string(::getpid()) + "_" + info.test_suite_name() + "_" + info.name());
    std::filesystem::create_directories(folder_);
  }
  ~InFolder() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path at(const std::string& name) const { return folder_ / name; }

  std::filesystem::path save(const std::string& bytes, const std::string& name = "model.onnx") const {
    std::ofstream(at(name), std::ios::binary) << bytes;
    return at(name);
  }
  std::filesystem::path save(const ModelBuilder& model, const std::string& name = "model.onnx") const {
    return save(model.bytes(), name);
  }
  ir::Graph load(const ModelBuilder& model, const ReadOptions& options = {}) const {
    return read(save(model), options);
  }

  // What reading it fails with; "" when it does not.
  std::string refusal(const std::filesystem::path& path, const ReadOptions& options = {}) const {
    try {
      read(path, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::string refusal(const ModelBuilder& model, const ReadOptions& options = {}) const {
    return refusal(save(model), options);
  }

  std::filesystem::path folder_;
};

inline std::vector<Tensor> run(const ir::Graph& graph, const std::vector<Tensor>& inputs) {
  return ir::evaluate(graph, ops::standard(), inputs);
}

inline std::vector<std::string> operators(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::NodeId id : graph.topological_order()) names.push_back(graph.node(id).op);
  return names;
}

// Values in (-1, 1), all different, of both signs in every neighbourhood.
inline Tensor wave(Shape shape, float phase = 0) {
  Tensor result(DType::Float32, std::move(shape));
  float x = phase;
  for (float& element : result.mutable_data<float>()) element = std::sin(x += 1.7f);
  return result;
}

inline Tensor codes(DType dtype, Shape shape, int seed = 0) {
  Tensor result(DType::Int32, std::move(shape));
  int x = seed;
  for (int32_t& element : result.mutable_data<int32_t>())
    element = (x += 37) % (dtype == DType::UInt8 ? 256 : 128);
  return result.cast(dtype);
}

inline void expect_equal(const std::vector<Tensor>& have, const std::vector<Tensor>& want,
                         double tolerance = 0) {
  ASSERT_EQ(have.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(have[i].dtype(), want[i].dtype()) << "output " << i;
    ASSERT_EQ(have[i].shape(), want[i].shape()) << "output " << i;
    EXPECT_LE(max_abs_difference(have[i], want[i]), tolerance) << "output " << i;
  }
}

}  // namespace kvant::formats
