// SPDX-License-Identifier: Apache-2.0
// Older (and newer) forms of operators: what is read computes what the same thing in today's form computes.
#include "formats/onnx/model_testing.h"
#include "tensor/quantize.h"

namespace kvant::formats {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ints = std::vector<int64_t>;
using Reals = std::vector<float>;

std::string text(const char* value) { return value; }

class Upgrade : public InFolder {
 protected:
  // One node over x [2,3,4,5] and constants.
  struct OneNode {
    int opset;
    std::string op;
    ir::Attributes attributes = {};
    std::vector<Tensor> constants = {};
    Shape shape = {2, 3, 4, 5};
    size_t outputs = 1;
  };

  static ModelBuilder build(const OneNode& one) {
    ModelBuilder model(one.opset);
    model.input("x", one.shape);
    std::vector<std::string> inputs = {"x"};
    for (size_t i = 0; i < one.constants.size(); ++i) {
      inputs.push_back("c" + std::to_string(i));
      model.constant(inputs.back(), one.constants[i]);
    }
    std::vector<std::string> outputs;
    for (size_t i = 0; i < one.outputs; ++i) outputs.push_back("y" + std::to_string(i));
    model.node(one.op, inputs, outputs, one.attributes);
    for (const std::string& name : outputs) model.output(name);
    return model;
  }

  void expect_same(const OneNode& old_form, const OneNode& new_form) const {
    SCOPED_TRACE(old_form.op + " of opset " + std::to_string(old_form.opset));
    const Tensor x = wave(old_form.shape);
    const std::vector<Tensor> want = run(load(build(new_form)), {x});
    expect_equal(run(load(build(old_form)), {x}), want);
    // Nothing of the old form is left, so that it can be written and read again.
    write(load(build(old_form)), at("again.onnx"));
    expect_equal(run(read(at("again.onnx")), {x}), want);
  }

  static Tensor ints(std::initializer_list<int64_t> values) { return Tensor::vector<int64_t>(values); }
};

TEST_F(Upgrade, ReductionsHadTheirAxesAsAttribute) {
  for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
                         "ReduceMin", "ReduceProd", "ReduceSumSquare"}) {
    expect_same({17, op, {{"axes", Ints{1, -1}}, {"keepdims", int64_t{0}}}},
                {21, op, {{"keepdims", int64_t{0}}}, {ints({1, -1})}});
    expect_same({11, op}, {21, op});
  }
  expect_same({12, "ReduceSum", {{"axes", Ints{2}}}}, {21, "ReduceSum", {}, {ints({2})}});
}

TEST_F(Upgrade, SqueezeAndUnsqueezeHadTheirAxesAsAttribute) {
  expect_same({11, "Unsqueeze", {{"axes", Ints{0, 5}}}}, {21, "Unsqueeze", {}, {ints({0, 5})}});
  expect_same({12, "Squeeze", {{"axes", Ints{1}}}, {}, {2, 1, 3}},
              {21, "Squeeze", {}, {ints({1})}, {2, 1, 3}});
  expect_same({12, "Squeeze", {}, {}, {2, 1, 3}}, {21, "Squeeze", {}, {}, {2, 1, 3}});
}

TEST_F(Upgrade, SlicePadClipAndTopK) {
  expect_same({9, "Slice", {{"starts", Ints{1, -3}}, {"ends", Ints{3, 100}}, {"axes", Ints{2, 3}}}},
              {21, "Slice", {}, {ints({1, -3}), ints({3, 100}), ints({2, 3})}});
  expect_same({9, "Slice", {{"starts", Ints{1}}, {"ends", Ints{2}}}},
              {21, "Slice", {}, {ints({1}), ints({2})}});
  const Ints pads = {0, 0, 1, 2, 0, 0, 0, 1};
  expect_same({10, "Pad", {{"pads", pads}, {"value", 0.5f}}},
              {21, "Pad", {}, {Tensor::vector(pads), Tensor::scalar(0.5f)}});
  expect_same({10, "Pad", {{"pads", pads}, {"mode", text("reflect")}, {"value", 3.0f}}},
              {21, "Pad", {{"mode", text("reflect")}}, {Tensor::vector(pads)}});
  expect_same({10, "Clip", {{"min", -0.25f}, {"max", 0.5f}}},
              {21, "Clip", {}, {Tensor::scalar(-0.25f), Tensor::scalar(0.5f)}});
  expect_same({10, "Clip", {{"min", -0.25f}}}, {21, "Clip", {}, {Tensor::scalar(-0.25f)}});
  expect_same({9, "TopK", {{"k", int64_t{2}}, {"axis", int64_t{1}}}, {}, {2, 3, 4, 5}, 2},
              {21, "TopK", {{"axis", int64_t{1}}}, {ints({2})}, {2, 3, 4, 5}, 2});
}

TEST_F(Upgrade, DropoutHadItsRatioAsAttribute) {
  expect_same({10, "Dropout", {{"ratio", 0.9f}}}, {21, "Identity"});
  expect_same({12, "Dropout"}, {21, "Identity"});
}

TEST_F(Upgrade, SplitImpliedItsParts) {
  const Shape shape = {2, 6};
  expect_same({11, "Split", {{"axis", int64_t{1}}, {"split", Ints{1, 2, 3}}}, {}, shape, 3},
              {21, "Split", {{"axis", int64_t{1}}}, {ints({1, 2, 3})}, shape, 3});
  expect_same({11, "Split", {{"axis", int64_t{1}}}, {}, shape, 2},
              {21, "Split", {{"axis", int64_t{1}}, {"num_outputs", int64_t{2}}}, {}, shape, 2});
  expect_same({13, "Split", {{"axis", int64_t{1}}}, {}, shape, 3},
              {21, "Split", {{"axis", int64_t{1}}}, {ints({2, 2, 2})}, shape, 3});
}

// y = reshape(op(flatten(x, axis)), shape(x)).
ModelBuilder flattened(const std::string& op, int64_t axis, const Shape& shape) {
  ModelBuilder model(21);
  model.input("x", shape).node("Flatten", {"x"}, {"f"}, {{"axis", axis}});
  model.node(op, {"f"}, {"s"}, {{"axis", int64_t{1}}})
      .node("Shape", {"x"}, {"d"})
      .node("Reshape", {"s", "d"}, {"y0"});
  model.output("y0");
  return model;
}

TEST_F(Upgrade, SoftmaxWentOverAllAxesFromOneOn) {
  for (const char* op : {"Softmax", "LogSoftmax", "Hardmax"}) {
    for (const int64_t axis : {0, 1, 2, 3, -1, -2}) {
      for (const Shape& shape : {Shape{2, 3, 4, 5}, Shape{2, 3, 1, 1}, Shape{2, 1, 1, 4}}) {
        const OneNode old_form{11, op, {{"axis", axis}}, {}, shape};
        const Tensor x = wave(shape);
        const ir::Graph graph = load(build(old_form));
        expect_equal(run(graph, {x}), run(load(flattened(op, axis, shape)), {x}), 1e-6);
        // Over one real axis it is today's operator, with nothing around it.
        if (shape[2] == 1 && axis > 0) {
          EXPECT_THAT(operators(graph), ElementsAre(op));
        }
      }
    }
    expect_equal(run(load(build({11, op, {}, {}, {2, 3, 4}})), {wave({2, 3, 4})}),
                 run(load(flattened(op, 1, {2, 3, 4})), {wave({2, 3, 4})}), 1e-6);
  }
}

TEST_F(Upgrade, SoftmaxOfUnknownShape) {
  ModelBuilder model = build({11, "Softmax", {{"axis", int64_t{1}}}});
  model.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  const Tensor x = wave({2, 3, 4});
  expect_equal(run(load(model), {x}), run(load(flattened("Softmax", 1, {2, 3, 4})), {x}), 1e-6);
}

TEST_F(Upgrade, UpsampleAndFirstResizeTakeTheSampleBelow) {
  const Tensor scales = Tensor::vector<float>({1, 1, 2, 1.5f});
  for (const char* mode : {"nearest", "linear"}) {
    ir::Attributes today{{"mode", std::string(mode)}, {"coordinate_transformation_mode", text("asymmetric")}};
    if (std::string(mode) == "nearest") today.set("nearest_mode", std::string("floor"));
    ModelBuilder want(21);
    want.input("x", {2, 3, 4, 5})
        .constant("s", scales)
        .node("Resize", {"x", "", "s"}, {"y"}, today)
        .output("y");
    const std::vector<Tensor> wanted = run(load(want), {wave({2, 3, 4, 5})});
    const auto check = [&](const OneNode& one) {
      SCOPED_TRACE(one.op);
      expect_equal(run(load(build(one)), {wave(one.shape)}), wanted);
    };
    check({7, "Upsample", {{"mode", std::string(mode)}, {"scales", scales.to_floats()}}});
    check({9, "Upsample", {{"mode", std::string(mode)}}, {scales}});
    check({10, "Resize", {{"mode", std::string(mode)}}, {scales}});
  }
}

TEST_F(Upgrade, ResizeOfTensorFlowsNearest) {
  const auto resize = [](int64_t to, const char* nearest_mode) {
    ModelBuilder model(11);
    model.input("x", {7}).constant("none", Tensor(DType::Float32, {0})).constant("sizes", ints({to}));
    const ir::Attributes attributes{{"mode", text("nearest")},
                                    {"nearest_mode", text(nearest_mode)},
                                    {"coordinate_transformation_mode", text("tf_half_pixel_for_nn")}};
    return model.node("Resize", {"x", "none", "none", "sizes"}, {"y"}, attributes).output("y");
  };
  const Tensor x = wave({7});
  for (const int64_t to : {2, 3, 7, 10, 21}) {
    std::vector<float> below, nearest;
    for (int64_t i = 0; i < to; ++i) {
      // The position is p / q; below is floor(p / q), nearest is ceil(p / q - 1 / 2), both inside of x.
      const int64_t p = (2 * i + 1) * 7;
      const int64_t q = 2 * to;
      below.push_back(x.to_floats()[static_cast<size_t>(p / q)]);
      nearest.push_back(
          x.to_floats()[static_cast<size_t>(std::min<int64_t>((2 * p - q + 2 * q - 1) / (2 * q), 6))]);
    }
    EXPECT_EQ(run(load(resize(to, "floor")), {x})[0].to_floats(), below) << to;
    EXPECT_EQ(run(load(resize(to, "round_prefer_floor")), {x})[0].to_floats(), nearest) << to;
  }
  EXPECT_EQ(
      refusal(resize(3, "ceil")),
      "Resize 'Resize_y': tf_half_pixel_for_nn with mode nearest and nearest_mode ceil is not supported");
}

TEST_F(Upgrade, ResizeIgnoresEmptyInputs) {
  ModelBuilder model(11);
  model.input("x", {1, 1, 2, 2}).constant("none", Tensor(DType::Float32, {0}));
  model.constant("sizes", ints({1, 1, 4, 4}))
      .node("Resize", {"x", "none", "none", "sizes"}, {"y"})
      .output("y");
  EXPECT_EQ(run(load(model), {wave({1, 1, 2, 2})})[0].shape(), (Shape{1, 1, 4, 4}));
}

TEST_F(Upgrade, BatchNormalizationListedTrainingResults) {
  ModelBuilder model(9);
  model.input("x", {2, 3, 4})
      .node("BatchNormalization", {"x", "s", "b", "m", "v"}, {"y", "rm", "rv", "sm", "sv"});
  for (const char* name : {"s", "b", "m"}) model.constant(name, wave({3}, name[0]));
  model.constant("v", Tensor::full({3}, 2)).output("y");
  const ir::Graph graph = load(model);
  EXPECT_EQ(graph.node(graph.topological_order()[0]).outputs.size(), 1u);
  EXPECT_EQ(run(graph, {wave({2, 3, 4})})[0].shape(), (Shape{2, 3, 4}));
  model.output("rm");
  EXPECT_THAT(refusal(model),
              HasSubstr("is in training form (output 'rm' is used); export the model for inference"));
  ModelBuilder spatial(7);
  spatial.input("x", {2, 3})
      .node("BatchNormalization", {"x", "s", "s", "s", "s"}, {"y"}, {{"spatial", int64_t{0}}});
  spatial.constant("s", Tensor::full({3}, 1)).output("y");
  EXPECT_THAT(refusal(spatial), HasSubstr("(spatial = 0), which kvant does not support"));
}

TEST_F(Upgrade, GroupNormalizationHadScalesForGroups) {
  const ir::Attributes groups{{"num_groups", int64_t{2}}};
  const Tensor scale = Tensor::vector<float>({2, 3});
  const Tensor bias = Tensor::vector<float>({-1, 1});
  const Shape shape = {2, 6, 3};
  const OneNode today{
      21,
      "GroupNormalization",
      groups,
      {Tensor::vector<float>({2, 2, 2, 3, 3, 3}), Tensor::vector<float>({-1, -1, -1, 1, 1, 1})},
      shape};
  expect_same({18, "GroupNormalization", groups, {scale, bias}, shape}, today);
  // The same when neither shape nor scales are known beforehand.
  ModelBuilder model(18);
  model.input("x", {kUnknownDim, kUnknownDim, kUnknownDim}).input("s", {2}).input("b", {2});
  model.node("GroupNormalization", {"x", "s", "b"}, {"y"}, groups).output("y");
  expect_equal(run(load(model), {wave(shape), scale, bias}), run(load(build(today)), {wave(shape)}));
}

TEST_F(Upgrade, ScatterIsScatterElementsNow) {
  const Tensor indices = Tensor::of<int64_t>({1, 2}, {1, 0});
  const Tensor updates = Tensor::of<float>({1, 2}, {8, 9});
  expect_same({9, "Scatter", {}, {indices, updates}, {2, 2}},
              {21, "ScatterElements", {}, {indices, updates}, {2, 2}});
}

TEST_F(Upgrade, QuantizationTypesToldByAttribute) {
  const Tensor scale = Tensor::scalar(0.01f);
  expect_same({23,
               "QuantizeLinear",
               {{"output_dtype", int64_t{3}}, {"saturate", int64_t{1}}, {"precision", int64_t{1}}},
               {scale}},
              {21, "QuantizeLinear", {}, {scale, Tensor::scalar<int8_t>(0)}});
  ModelBuilder model(23);
  model.input("q", {4}, DType::Int8).constant("s", scale);
  model.node("DequantizeLinear", {"q", "s"}, {"y"}, {{"output_dtype", int64_t{10}}}).output("y");
  const std::vector<Tensor> result = run(load(model), {codes(DType::Int8, {4})});
  EXPECT_TRUE(result[0] == dequantize(codes(DType::Int8, {4}), {.scale = {0.01f}}).cast(DType::Float16));
  EXPECT_THAT(refusal(build({23, "QuantizeLinear", {{"output_dtype", int64_t{22}}}, {scale}})),
              HasSubstr("the output of QuantizeLinear 'QuantizeLinear_y0' has the element type int4"));
  EXPECT_THAT(refusal(build({23, "QuantizeLinear", {{"precision", int64_t{10}}}, {scale}})),
              HasSubstr("divides in another precision than FP32"));
}

TEST_F(Upgrade, ConstantNodesOfEveryKind) {
  const auto of = [&](const ir::Attributes& attributes) {
    ModelBuilder model(13);
    model.node("Constant", {}, {"y"}, attributes).output("y");
    const ir::Graph graph = load(model);
    EXPECT_EQ(graph.node_count(), 0u);
    return *graph.constant(graph.outputs()[0]);
  };
  EXPECT_TRUE(of({{"value", wave({2, 2})}}) == wave({2, 2}));
  EXPECT_TRUE(of({{"value_float", 2.5f}}) == Tensor::scalar(2.5f));
  EXPECT_TRUE(of({{"value_floats", Reals{1, 2}}}) == Tensor::vector<float>({1, 2}));
  EXPECT_TRUE(of({{"value_int", int64_t{-3}}}) == Tensor::scalar<int64_t>(-3));
  EXPECT_TRUE(of({{"value_ints", Ints{1, 2}}}) == Tensor::vector<int64_t>({1, 2}));
}

TEST_F(Upgrade, NewestOpsets) {
  expect_same({28, "SpaceToDepth", {{"blocksize", int64_t{2}}, {"mode", text("DCR")}}, {}, {1, 2, 4, 4}},
              {21, "SpaceToDepth", {{"blocksize", int64_t{2}}}, {}, {1, 2, 4, 4}});
  EXPECT_THAT(
      refusal(
          build({28, "SpaceToDepth", {{"blocksize", int64_t{2}}, {"mode", text("CRD")}}, {}, {1, 2, 4, 4}})),
      HasSubstr("has mode 'CRD'; only DCR is supported"));
  expect_same({24, "Cast", {{"to", int64_t{3}}, {"saturate", int64_t{0}}, {"round_mode", text("up")}}},
              {21, "Cast", {{"to", int64_t{3}}}});
}

// Attributes that today are inputs must not appear in graphs of no input (a broken file).
TEST_F(Upgrade, NodesWithoutInputsAreRefusedNotRead) {
  for (const char* op : {"Clip", "Pad", "Softmax", "Slice", "Squeeze", "Split", "Upsample", "TopK", "Dropout",
                         "GroupNormalization", "BatchNormalization", "Resize", "ReduceMean"}) {
    ModelBuilder model(7);
    model.node(op, {}, {"y"}, {{"axes", Ints{0}}}).output("y");
    EXPECT_NE(refusal(model), "") << op;
  }
}

}  // namespace
}  // namespace kvant::formats
