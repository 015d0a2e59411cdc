// SPDX-License-Identifier: Apache-2.0
// What comes out of a file, and what is refused, in which words.
#include "formats/onnx/model_testing.h"
#include "formats/onnx/onnx.h"

namespace kvant::formats {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Import : public InFolder {
 protected:
  static ModelBuilder relu() {
    ModelBuilder model;
    model.input("x", {1, 2}).node("Relu", {"x"}, {"y"}).output("y");
    return model;
  }
};

TEST_F(Import, KeepsNamesTypesAndMetadata) {
  ModelBuilder model;
  model.input("x", {kUnknownDim, 2}).node("Relu", {"x"}, {"y"}).output("y");
  auto& type = *model.graph().mutable_input(0)->mutable_type()->mutable_tensor_type();
  type.mutable_shape()->mutable_dim(0)->set_dim_param("N");
  model.proto.set_producer_name("pytorch");
  model.proto.set_producer_version("2.1");
  model.proto.set_model_version(7);
  model.proto.set_doc_string("doc");
  model.proto.set_domain("org.example");
  model.graph().set_doc_string("graph doc");
  auto& entry = *model.proto.add_metadata_props();
  entry.set_key("author");
  entry.set_value("somebody");
  const ir::Graph graph = load(model);
  EXPECT_EQ(graph.name, "made");
  EXPECT_EQ(graph.opset, ir::kIrOpset);
  const ir::Value& x = graph.value(graph.inputs()[0]);
  EXPECT_EQ(x.name, "x");
  EXPECT_EQ(x.type, (ir::Type{DType::Float32, Shape{kUnknownDim, 2}}));
  EXPECT_THAT(x.dim_names, ElementsAre("N", ""));
  const ir::Node& node = graph.node(graph.topological_order()[0]);
  EXPECT_EQ(node.name, "Relu_y");
  EXPECT_THAT(node.sources, ElementsAre("Relu_y"));
  const std::map<std::string, std::string> want{{"author", "somebody"},
                                                {std::string(kProducerNameKey), "pytorch"},
                                                {std::string(kProducerVersionKey), "2.1"},
                                                {std::string(kModelVersionKey), "7"},
                                                {std::string(kDomainKey), "org.example"},
                                                {std::string(kDocKey), "doc"},
                                                {std::string(kGraphDocKey), "graph doc"}};
  EXPECT_EQ(graph.metadata, want);
  write(graph, at("again.onnx"));
  EXPECT_EQ(read(at("again.onnx")).metadata, want);
}

TEST_F(Import, DimensionsWithoutValueAreUnknown) {
  ModelBuilder model = relu();
  auto& tensor = *model.graph().mutable_input(0)->mutable_type()->mutable_tensor_type();
  tensor.mutable_shape()->mutable_dim(0)->set_dim_value(-1);  // some exporters write this
  EXPECT_EQ(*load(model).value(0).type.shape, (Shape{kUnknownDim, 2}));
  tensor.clear_shape();
  EXPECT_EQ(load(model).value(0).type.shape, std::nullopt);
}

TEST_F(Import, NodesComeInAnyOrder) {
  ModelBuilder model;
  model.input("x", {2})
      .node("Neg", {"b"}, {"y"})
      .node("Abs", {"a"}, {"b"})
      .node("Exp", {"x"}, {"a"})
      .output("y");
  EXPECT_THAT(operators(load(model)), ElementsAre("Exp", "Abs", "Neg"));
}

TEST_F(Import, InitializersAmongTheInputsAreConstants) {
  ModelBuilder model;
  model.input("x", {2}).input("w", {2}).constant("w", wave({2})).node("Add", {"x", "w"}, {"y"}).output("y");
  const ir::Graph graph = load(model);
  EXPECT_EQ(graph.inputs().size(), 1u);
  EXPECT_TRUE(graph.is_constant(graph.find_value("w")));
}

TEST_F(Import, UnusedNodesAndConstantsGo) {
  ModelBuilder model = relu();
  model.constant("unused", wave({5})).node("Exp", {"x"}, {"nobody"});
  const ir::Graph graph = load(model);
  EXPECT_THAT(operators(graph), ElementsAre("Relu"));
  EXPECT_EQ(graph.find_value("unused"), ir::kNone);
}

TEST_F(Import, AConstantMayBeAnOutput) {
  ModelBuilder model = relu();
  model.constant("w", wave({3})).output("w").output("x");
  const std::vector<Tensor> outputs = run(load(model), {wave({1, 2})});
  ASSERT_EQ(outputs.size(), 3u);
  EXPECT_TRUE(outputs[1] == wave({3}));
  EXPECT_TRUE(outputs[2] == wave({1, 2}));
}

TEST_F(Import, MicrosoftsQuantizationIsTheStandards) {
  ModelBuilder model;
  model.input("x", {2}).constant("s", Tensor::scalar(0.5f)).constant("z", Tensor::scalar<uint8_t>(3));
  model.node("QuantizeLinear", {"x", "s", "z"}, {"y"}).output("y");
  model.graph().mutable_node(0)->set_domain("com.microsoft");
  EXPECT_EQ(run(load(model), {Tensor::vector<float>({1, -4})})[0].to_ints(), (std::vector<int64_t>{5, 0}));
}

TEST_F(Import, UnknownOperators) {
  ModelBuilder model = relu();
  auto& node = *model.graph().mutable_node(0);
  node.set_op_type("Conw");
  EXPECT_THAT(refusal(model), HasSubstr("operator Conw is not supported (nearest: Conv,"));
  node.set_op_type("NonExistingOp");
  EXPECT_THAT(refusal(model), HasSubstr("operator NonExistingOp is not supported (nearest: "));
  node.set_op_type("QConv");  // kvant's own, made by lowering
  EXPECT_NE(refusal(model), "");
  node.set_op_type("");
  EXPECT_NE(refusal(model), "");
}

TEST_F(Import, OtherDomainsAndFunctions) {
  ModelBuilder model = relu();
  auto& node = *model.graph().mutable_node(0);
  node.set_domain("com.microsoft");
  EXPECT_EQ(refusal(model),
            "Relu 'Relu_y' is of the operator set 'com.microsoft'; kvant supports the standard ONNX "
            "operators only");
  node.set_domain("local");
  model.proto.add_functions()->set_name("Relu");
  model.proto.mutable_functions(0)->set_domain("local");
  EXPECT_EQ(refusal(model),
            "Relu 'Relu_y' calls a function of the model; inline the functions first "
            "(onnx.inliner.inline_local_functions)");
  node.set_domain("ai.onnx");
  EXPECT_EQ(refusal(model), "");
}

TEST_F(Import, Opsets) {
  const auto of = [&](int64_t version) {
    ModelBuilder model = relu();
    model.proto.mutable_opset_import(0)->set_version(version);
    return refusal(model);
  };
  EXPECT_EQ(of(0), "the model says opset 0; the file is damaged");
  EXPECT_EQ(of(-3), "the model says opset -3; the file is damaged");
  EXPECT_EQ(of(29),
            "the model is of opset 29, newer than 28, the newest that kvant knows; export it with opset 21 "
            "or older");
  EXPECT_THAT(of(int64_t{1} << 40), HasSubstr("newer than 28"));
  EXPECT_EQ(of(28), "");
  EXPECT_EQ(of(7), "");
  EXPECT_EQ(of(6), "");  // Relu has not changed since
  EXPECT_EQ(of(5),
            "Relu 'Relu_y' is in its form of opset 5; kvant reads opset 7 and newer (onnx.version_converter "
            "raises a "
            "model)");
  ModelBuilder none = relu();
  none.proto.clear_opset_import();
  EXPECT_EQ(refusal(none), "the model does not say its ONNX opset");
}

TEST_F(Import, NamesThatDoNotResolve) {
  ModelBuilder missing;
  missing.input("x", {2})
      .constant("conv1.weight", wave({2}))
      .node("Add", {"x", "conv1.weigth"}, {"y"})
      .output("y");
  EXPECT_EQ(refusal(missing),
            "Add 'Add_y' reads tensor 'conv1.weigth', which is neither an input, nor an initializer, nor "
            "made by a node "
            "(nearest: conv1.weight, x, y)");
  ModelBuilder output = relu();
  output.output("z");
  EXPECT_EQ(refusal(output), "the model's output 'z' is made by no node");
  ModelBuilder none;
  none.input("x", {2}).node("Relu", {"x"}, {"y"});
  EXPECT_EQ(refusal(none), "the model has no outputs");
}

TEST_F(Import, NamesThatAreTakenTwice) {
  ModelBuilder nodes = relu();
  nodes.node("Exp", {"x"}, {"y"});
  EXPECT_EQ(refusal(nodes), "tensor 'y' is made by two nodes, Relu 'Relu_y' and Exp 'Exp_y'");
  ModelBuilder inputs = relu();
  inputs.input("x", {1});
  EXPECT_EQ(refusal(inputs), "the model defines tensor 'x' twice");
  ModelBuilder over = relu();
  over.node("Exp", {"y"}, {"x"});
  EXPECT_EQ(refusal(over), "Exp 'Exp_x' makes tensor 'x', which is an input or initializer of the model too");
  ModelBuilder constants = relu();
  constants.constant("w", wave({1})).constant("w", wave({1}));
  EXPECT_EQ(refusal(constants), "the model defines tensor 'w' twice");
  ModelBuilder unnamed = relu();
  unnamed.constant("", wave({1}));
  EXPECT_EQ(refusal(unnamed), "the model has an initializer without a name");
  ModelBuilder nameless = relu();
  nameless.input("", {1});
  EXPECT_EQ(refusal(nameless), "the model has an input without a name");
}

TEST_F(Import, Cycles) {
  ModelBuilder model;
  model.input("x", {2})
      .node("Add", {"x", "c"}, {"a"})
      .node("Relu", {"a"}, {"b"})
      .node("Exp", {"b"}, {"c"})
      .output("c");
  EXPECT_THAT(refusal(model),
              testing::MatchesRegex("the graph is cyclic: (Add|Relu|Exp) '.*' needs its own result"));
  ModelBuilder self;
  self.input("x", {2}).node("Add", {"x", "y"}, {"y"}).output("y");
  EXPECT_EQ(refusal(self), "the graph is cyclic: Add 'Add_y' needs its own result");
}

TEST_F(Import, TypesThatKvantHasNot) {
  const auto with_type = [&](auto change) {
    ModelBuilder model = relu();
    change(*model.graph().mutable_input(0)->mutable_type());
    return refusal(model);
  };
  using Type = kvant_onnx::TypeProto;
  const std::string other =
      "input 'x' is a sequence, map, optional or sparse tensor; kvant works on dense tensors only";
  EXPECT_EQ(with_type([](Type& t) { t.Clear(), t.mutable_sequence_type(); }), other);
  EXPECT_EQ(with_type([](Type& t) { t.Clear(), t.mutable_optional_type(); }), other);
  EXPECT_EQ(with_type([](Type& t) { t.Clear(), t.mutable_map_type(); }), other);
  EXPECT_EQ(with_type([](Type& t) { t.Clear(), t.mutable_sparse_tensor_type(); }), other);
  EXPECT_EQ(with_type([](Type& t) { t.Clear(); }), "input 'x' has no type");
  EXPECT_EQ(with_type([](Type& t) { t.mutable_tensor_type()->set_elem_type(22); }),
            "input 'x' has the element type int4 (number 22), which kvant does not support");
  EXPECT_THAT(with_type([](Type& t) {
                t.mutable_tensor_type()->mutable_shape()->mutable_dim(0)->set_dim_value(int64_t{1} << 50);
              }),
              HasSubstr("is too large"));
  ModelBuilder sparse = relu();
  sparse.graph().add_sparse_initializer()->mutable_values()->set_name("w");
  EXPECT_EQ(refusal(sparse), "the model has the sparse initializer 'w'; kvant works on dense tensors only");
}

TEST_F(Import, SubgraphsInNodes) {
  ModelBuilder model = relu();
  auto& node = *model.graph().mutable_node(0);
  node.set_op_type("If");
  auto& branch = *node.add_attribute();
  branch.set_name("then_branch");
  branch.set_type(5);
  EXPECT_EQ(
      refusal(model),
      "If 'Relu_y' holds a subgraph ('then_branch'), which kvant does not support; export the model without "
      "control flow");
}

TEST_F(Import, NodesThatDoNotFitTheirOperator) {
  ModelBuilder inputs;
  inputs.input("x", {2}).node("Add", {"x"}, {"y"}).output("y");
  EXPECT_THAT(refusal(inputs), HasSubstr("has 1 inputs, the operator takes 2"));
  ModelBuilder unknown;
  unknown.input("x", {2}).node("LeakyRelu", {"x"}, {"y"}, {{"alhpa", 0.5f}}).output("y");
  EXPECT_THAT(refusal(unknown), HasSubstr("has an unknown attribute 'alhpa' (nearest: alpha)"));
  ModelBuilder kind;
  kind.input("x", {2}).node("LeakyRelu", {"x"}, {"y"}, {{"alpha", int64_t{1}}}).output("y");
  EXPECT_THAT(refusal(kind), HasSubstr("attribute 'alpha' is of the wrong kind"));
  ModelBuilder shapes;
  shapes.input("x", {2}).constant("w", wave({3})).node("Add", {"x", "w"}, {"y"}).output("y");
  EXPECT_THAT(refusal(shapes), HasSubstr("shapes 2 and 3 do not broadcast"));
  ModelBuilder constant;
  constant.node("Constant", {}, {"y"}).output("y");
  EXPECT_EQ(refusal(constant), "Constant 'Constant_y' has no value");
  ModelBuilder strings;
  strings.node("Constant", {}, {"y"}, {{"value_strings", std::vector<std::string>{"a"}}}).output("y");
  EXPECT_EQ(refusal(strings), "Constant 'Constant_y' holds strings, which kvant does not support");
}

}  // namespace
}  // namespace kvant::formats
