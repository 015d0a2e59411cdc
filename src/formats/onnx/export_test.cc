// SPDX-License-Identifier: Apache-2.0
// What is written: the bytes, the opset, the form of operators in it.
#include "base/file.h"
#include "formats//onnx/model_file.h"
#include "formats/onnx/model_testing.h"

namespace kvant::formats {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ints = std::vector<int64_t>;

std::string text(const char* value) { return value; }

class Export : public InFolder {
 protected:
  // A node of today over x and constants, its output y.
  static ModelBuilder one(const std::string& op, const ir::Attributes& attributes = {},
                          const std::vector<Tensor>& constants = {}, const Shape& shape = {2, 3, 4, 5},
                          DType dtype = DType::Float32) {
    ModelBuilder model(21);
    model.input("x", shape, dtype);
    std::vector<std::string> inputs = {"x"};
    for (size_t i = 0; i < constants.size(); ++i) {
      inputs.push_back("c" + std::to_string(i));
      model.constant(inputs.back(), constants[i]);
    }
    return model.node(op, inputs, {"y"}, attributes).output("y");
  }

  // The opset in which the model is written, when opset 13 is asked for. Read again it computes the same.
  int64_t opset_of(const ModelBuilder& model, const WriteOptions& options = {}) {
    const ir::Graph graph = load(model);
    write(graph, at("written.onnx"), options);
    written_ = std::move(*parse_model(at("written.onnx")));
    const ir::Type type = graph.value(graph.inputs()[0]).type;
    const Tensor x =
        is_float(type.dtype) ? wave(*type.shape).cast(type.dtype) : codes(type.dtype, *type.shape);
    expect_equal(run(read(at("written.onnx")), {x}), run(graph, {x}));
    return written_.opset_import(0).version();
  }

  const kvant_onnx::NodeProto& node() const { return written_.graph().node(0); }
  const kvant_onnx::AttributeProto* attribute(const std::string& name) const {
    for (const auto& a : node().attribute())
      if (a.name() == name) return &a;
    return nullptr;
  }
  static Tensor ints(std::initializer_list<int64_t> values) { return Tensor::vector<int64_t>(values); }

  kvant_onnx::ModelProto written_;
};

TEST_F(Export, SameGraphSameBytes) {
  const ir::Graph graph = load(one("Add", {}, {wave({5})}));
  write(graph, at("a.onnx"));
  write(load(one("Add", {}, {wave({5})})), at("b.onnx"));
  EXPECT_EQ(read_text(at("a.onnx")), read_text(at("b.onnx")));
  write(read(at("a.onnx")), at("c.onnx"));
  EXPECT_EQ(read_text(at("a.onnx")), read_text(at("c.onnx")));
}

TEST_F(Export, FieldsOfTheModel) {
  EXPECT_EQ(opset_of(one("Relu")), 13);
  EXPECT_EQ(written_.ir_version(), 7);
  EXPECT_EQ(written_.producer_name(), "kvant");
  EXPECT_EQ(written_.graph().name(), "made");
  EXPECT_EQ(opset_of(one("Relu"), {.opset = 21}), 21);
  EXPECT_EQ(written_.ir_version(), 10);
}

TEST_F(Export, DimensionsKeepTheirNames) {
  ModelBuilder model(13);
  model.input("x", {kUnknownDim, kUnknownDim, 4}).node("Relu", {"x"}, {"y"}).output("y");
  model.graph()
      .mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_param("N");
  write(load(model), at("out.onnx"));
  const auto written = parse_model(at("out.onnx"));
  const auto& shape = written->graph().input(0).type().tensor_type().shape();
  EXPECT_EQ(shape.dim(0).dim_param(), "N");
  EXPECT_EQ(shape.dim(1).dim_param(), "x_d1");
  EXPECT_EQ(shape.dim(2).dim_value(), 4);
}

TEST_F(Export, AbsentInputsAndConstantsNobodyReads) {
  ir::Graph graph;
  const ir::ValueId x = graph.add_input("x", {DType::Float32, Shape{4}});
  graph.add_constant("unused", wave({3}));
  graph.add_output(
      graph.add("Clip", "clip", {x, ir::kNone, graph.add_constant("max", Tensor::scalar(0.5f))}));
  write(graph, at("out.onnx"));
  const auto written = parse_model(at("out.onnx"));
  EXPECT_THAT(written->graph().node(0).input(), ElementsAre("x", "", "max"));
  ASSERT_EQ(written->graph().initializer_size(), 1);
  expect_equal(run(read(at("out.onnx")), {wave({4})}), run(graph, {wave({4})}));
}

TEST_F(Export, OpsetsThatCannotBeWritten) {
  const ir::Graph graph = load(one("Relu"));
  for (const int opset : {12, 22, -1}) {
    try {
      write(graph, at("out.onnx"), {.opset = opset});
      ADD_FAILURE() << opset << " was written";
    } catch (const Error& error) {
      EXPECT_EQ(error.what(), fmt::format("opset {} cannot be written; choose 13 to 21", opset));
    }
    EXPECT_FALSE(std::filesystem::exists(at("out.onnx")));
  }
}

TEST_F(Export, InternalOperatorsAreABugAndLeaveNoFile) {
  const ir::OpDef* internal = nullptr;
  for (const ir::OpDef& op : ops::standard().all())
    if (op.name == "QLut") internal = &op;
  ASSERT_NE(internal, nullptr);
  ir::Graph graph;
  const ir::ValueId x = graph.add_input("x", {DType::Int8, Shape{4}});
  graph.add_output(graph.add("QLut", "lut", {x, graph.add_constant("table", Tensor(DType::Int8, {256}))}));
  EXPECT_ANY_THROW(write(graph, at("out.onnx")));
  EXPECT_FALSE(std::filesystem::exists(at("out.onnx")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 0);
}

TEST_F(Export, UnwritablePlaces) {
  const ir::Graph graph = load(one("Relu"));
  for (const auto& path : {at("none/out.onnx"), at("folder.onnx")}) {
    if (path.filename() == "folder.onnx") std::filesystem::create_directory(path);
    try {
      write(graph, path);
      ADD_FAILURE() << "wrote " << path;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("cannot write " + path.string()));
    }
  }
}

TEST_F(Export, ReductionsGetTheirAxesBack) {
  for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
                         "ReduceProd", "ReduceSumSquare"}) {
    EXPECT_EQ(opset_of(one(op, {{"keepdims", int64_t{0}}}, {ints({1, -1})})), 13) << op;
    ASSERT_NE(attribute("axes"), nullptr);
    EXPECT_THAT(attribute("axes")->ints(), ElementsAre(1, -1));
    EXPECT_EQ(node().input_size(), 1);
    EXPECT_EQ(opset_of(one(op, {}, {ints({1})}), {.opset = 18}), 18) << op;
    EXPECT_EQ(attribute("axes"), nullptr);
  }
  EXPECT_EQ(opset_of(one("ReduceSum", {}, {ints({1})})), 13);
  EXPECT_EQ(node().input_size(), 2);
  EXPECT_EQ(opset_of(one("ReduceMean")), 13);
  // Nothing to reduce could not be said then.
  EXPECT_EQ(opset_of(one("ReduceMean", {{"noop_with_empty_axes", int64_t{1}}})), 18);
}

TEST_F(Export, SplitAndPadAndShape) {
  EXPECT_EQ(opset_of(one("Shape")), 13);
  EXPECT_EQ(opset_of(one("Shape", {{"start", int64_t{1}}})), 15);
  EXPECT_EQ(opset_of(one("Pad", {}, {ints({1, 2}), Tensor::scalar(0.5f), ints({3})})), 13);
  EXPECT_EQ(node().input_size(), 3);
  EXPECT_EQ(opset_of(one("Pad", {{"mode", text("wrap")}}, {ints({0, 0, 1, 1, 0, 0, 1, 1})})), 19);
  for (const int64_t length : {6, 7}) {
    ModelBuilder model(18);
    model.input("x", {length}).node("Split", {"x"}, {"a", "b", "c"}, {{"num_outputs", int64_t{3}}});
    model.output("a").output("b").output("c");
    EXPECT_EQ(opset_of(model), 13);
    EXPECT_EQ(node().input_size(), length == 6 ? 1 : 2);
  }
}

TEST_F(Export, AttributesWithOneMeaningGo) {
  EXPECT_EQ(opset_of(one("Reshape", {{"allowzero", int64_t{0}}}, {ints({0, -1})})), 13);
  EXPECT_EQ(attribute("allowzero"), nullptr);
  EXPECT_EQ(opset_of(one("Reshape", {{"allowzero", int64_t{1}}}, {ints({6, 20})})), 13);
  EXPECT_EQ(opset_of(one("Reshape", {{"allowzero", int64_t{1}}}, {ints({0, 3})}, {0, 3})), 14);
  const std::vector<Tensor> parameters(4, Tensor::full({3}, 1));
  EXPECT_EQ(opset_of(one("BatchNormalization", {{"training_mode", int64_t{0}}}, parameters)), 13);
  EXPECT_EQ(attribute("training_mode"), nullptr);
  const Ints two = {2, 2};
  EXPECT_EQ(opset_of(one("AveragePool", {{"kernel_shape", two}, {"dilations", Ints{1, 1}}})), 13);
  EXPECT_EQ(opset_of(one("AveragePool", {{"kernel_shape", two}, {"dilations", two}})), 19);
  EXPECT_EQ(opset_of(one("LpPool", {{"kernel_shape", two}, {"ceil_mode", int64_t{1}}})), 18);
}

TEST_F(Export, OperatorsAndTypesThatCameLater) {
  EXPECT_EQ(opset_of(one("HardSwish")), 14);
  EXPECT_EQ(opset_of(one("Mish")), 18);
  EXPECT_EQ(opset_of(one("Gelu")), 20);
  EXPECT_EQ(opset_of(one("LayerNormalization", {}, {wave({5})})), 17);
  EXPECT_EQ(opset_of(one("Add", {}, {codes(DType::Int8, {5})}, {2, 5}, DType::Int8)), 14);
  EXPECT_EQ(opset_of(one("Add", {}, {codes(DType::Int32, {5})}, {2, 5}, DType::Int32)), 13);
  EXPECT_EQ(opset_of(one("Relu", {}, {}, {2, 5}, DType::Int8)), 14);
  const Tensor where = Tensor::of<int64_t>({1, 2}, {1, 0});
  const Tensor what = Tensor::of<float>({1, 2}, {8, 9});
  EXPECT_EQ(opset_of(one("ScatterElements", {}, {where, what}, {2, 2})), 13);
  EXPECT_EQ(opset_of(one("ScatterElements", {{"reduction", text("add")}}, {where, what}, {2, 2})), 16);
  EXPECT_EQ(opset_of(one("ScatterElements", {{"reduction", text("max")}}, {where, what}, {2, 2})), 18);
}

TEST_F(Export, QuantizationRaisesTheOpsetWhereItMust) {
  EXPECT_EQ(opset_of(one("QuantizeLinear", {}, {Tensor::scalar(0.1f), Tensor::scalar<int8_t>(3)})), 13);
  EXPECT_EQ(opset_of(one("QuantizeLinear", {}, {Tensor::scalar(0.1f), Tensor::scalar<int16_t>(3)})), 21);
  const Tensor half_scale = Tensor::scalar(0.5f).cast(DType::Float16);
  EXPECT_EQ(opset_of(one("DequantizeLinear", {}, {half_scale}, {2, 5}, DType::Int8)), 19);
  EXPECT_EQ(opset_of(one("DequantizeLinear", {}, {Tensor::scalar(0.5f)}, {2, 5}, DType::Int8)), 13);
  EXPECT_EQ(opset_of(one("DequantizeLinear", {}, {Tensor::scalar(0.5f)}, {2, 5}, DType::UInt16)), 21);
}

TEST_F(Export, OneNodeRaisesTheWholeFile) {
  ModelBuilder model(21);
  model.input("x", {2, 3}).constant("axes", ints({1})).node("ReduceMean", {"x", "axes"}, {"m"});
  model.node("Gelu", {"m"}, {"y"}).output("y");
  EXPECT_EQ(opset_of(model), 20);
  EXPECT_EQ(node().input_size(), 2);  // axes are an input in opset 20
}

}  // namespace
}  // namespace kvant::formats
