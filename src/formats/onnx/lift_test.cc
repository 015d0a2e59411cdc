// SPDX-License-Identifier: Apache-2.0
// Integer operators in QDQ form against the operators themselves.
#include "formats/onnx/model_testing.h"

namespace kvant::formats {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Lift : public InFolder {
 protected:
  // Both readings of the model agree bit for bit; returns the lifted one.
  ir::Graph expect_same(const ModelBuilder& model, const std::vector<Tensor>& inputs) const {
    const ir::Graph plain = load(model, {.lift = false});
    ir::Graph lifted = load(model);
    EXPECT_NE(operators(plain), operators(lifted));
    const std::vector<Tensor> want = run(plain, inputs);
    expect_equal(run(lifted, inputs), want);
    EXPECT_GT(max_abs_difference(want[0], Tensor(want[0].dtype(), want[0].shape())), 0) << "the test is idle";
    write(lifted, at("lifted.onnx"));
    expect_equal(run(read(at("lifted.onnx")), inputs), want);
    return lifted;
  }

  struct Convolution {
    DType x = DType::UInt8;
    DType w = DType::Int8;
    bool per_channel = true;
    bool bias = true;
    bool one_element_vectors = false;
  };

  // Scales are powers of two: the float form is exact then, and both must round the same.
  static ModelBuilder qlinear_conv(const Convolution& c) {
    ModelBuilder model(13);
    const auto single = [&](const Tensor& scalar) {
      return c.one_element_vectors ? scalar.reshaped({1}) : scalar;
    };
    model.input("x", {2, 3, 5, 5}, c.x).constant("w", codes(c.w, {4, 3, 3, 3}));
    model.constant("xs", single(Tensor::scalar(0.125f))).constant("ys", single(Tensor::scalar(4.0f)));
    const int64_t middle = c.x == DType::UInt8 ? 100 : -5;
    model.constant("xz", single(Tensor::scalar(middle).cast(c.x)));
    model.constant("yz", single(Tensor::scalar(middle + 20).cast(c.x)));
    const int64_t wz = c.w == DType::UInt8 ? 128 : 0;
    if (c.per_channel) {
      model.constant("ws", Tensor::vector<float>({0.25f, 0.5f, 1, 0.125f}));
      model.constant("wz", Tensor::vector<int64_t>({wz, wz, wz, wz}).cast(c.w));
    } else {
      model.constant("ws", single(Tensor::scalar(0.25f)))
          .constant("wz", single(Tensor::scalar(wz).cast(c.w)));
    }
    std::vector<std::string> inputs = {"x", "xs", "xz", "w", "ws", "wz", "ys", "yz"};
    if (c.bias) {
      model.constant("b", Tensor::vector<int32_t>({1000, -2000, 300, 0}));
      inputs.emplace_back("b");
    }
    const ir::Attributes attributes{{"pads", std::vector<int64_t>{1, 0, 1, 2}},
                                    {"strides", std::vector<int64_t>{2, 1}}};
    return model.node("QLinearConv", inputs, {"y"}, attributes).output("y");
  }
};

TEST_F(Lift, QLinearConv) {
  for (const Convolution& c : {Convolution{}, Convolution{.x = DType::Int8}, Convolution{.w = DType::UInt8},
                               Convolution{.per_channel = false, .bias = false},
                               Convolution{.per_channel = false, .one_element_vectors = true}}) {
    const ir::Graph lifted = expect_same(qlinear_conv(c), {codes(c.x, {2, 3, 5, 5}, 11)});
    EXPECT_THAT(operators(lifted),
                ElementsAre("DequantizeLinear", "DequantizeLinear", "Conv", "QuantizeLinear"));
    // The pieces tell where they came from.
    for (const ir::NodeId id : lifted.topological_order())
      EXPECT_THAT(lifted.node(id).sources, ElementsAre("QLinearConv_y"));
  }
}

TEST_F(Lift, QLinearConvWithScalesThatAreInputs) {
  ModelBuilder model = qlinear_conv({});
  auto& constants = *model.graph().mutable_initializer();
  for (int i = 0; i < constants.size(); ++i) {
    if (constants.Get(i).name() != "xs") continue;
    constants.DeleteSubrange(i, 1);
    break;
  }
  model.input("xs", {});
  const ir::Graph lifted =
      expect_same(model, {codes(DType::UInt8, {2, 3, 5, 5}, 11), Tensor::scalar(0.125f)});
  EXPECT_THAT(operators(lifted), Contains("Mul"));
}

TEST_F(Lift, QLinearMatMul) {
  for (const bool per_column : {false, true}) {
    for (const bool per_row : {false, true}) {
      SCOPED_TRACE(per_column);
      ModelBuilder model(21);
      model.input("a", {2, 3, 4}, DType::UInt8).constant("b", codes(DType::Int8, {4, 5}));
      model.constant("as", per_row ? Tensor::vector<float>({0.5f, 1, 2}) : Tensor::scalar(0.5f));
      model.constant("az", per_row ? Tensor::vector<uint8_t>({100, 120, 0}) : Tensor::scalar<uint8_t>(100));
      model.constant("bs", per_column ? Tensor::vector<float>({0.5f, 1, 2, 4, 8}) : Tensor::scalar(0.5f));
      model.constant("bz", per_column ? Tensor::vector<int8_t>({1, 0, 3, -4, 5}) : Tensor::scalar<int8_t>(3));
      model.constant("ys", Tensor::scalar(128.0f)).constant("yz", Tensor::scalar<uint8_t>(110));
      model.node("QLinearMatMul", {"a", "as", "az", "b", "bs", "bz", "ys", "yz"}, {"y"}).output("y");
      const ir::Graph lifted = expect_same(model, {codes(DType::UInt8, {2, 3, 4}, 5)});
      EXPECT_THAT(operators(lifted),
                  ElementsAre("DequantizeLinear", "DequantizeLinear", "MatMul", "QuantizeLinear"));
    }
  }
}

TEST_F(Lift, ConvInteger) {
  for (const bool zero_points : {false, true}) {
    ModelBuilder model(13);
    model.input("x", {1, 2, 5, 5}, DType::UInt8).constant("w", codes(DType::Int8, {3, 2, 3, 3}));
    model.constant("xz", Tensor::scalar<uint8_t>(77)).constant("wz", Tensor::vector<int8_t>({1, -2, 3}));
    std::vector<std::string> inputs = {"x", "w"};
    if (zero_points) inputs.insert(inputs.end(), {"xz", "wz"});
    model.node("ConvInteger", inputs, {"y"}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}).output("y");
    const ir::Graph lifted = expect_same(model, {codes(DType::UInt8, {1, 2, 5, 5})});
    EXPECT_THAT(operators(lifted), ElementsAre("DequantizeLinear", "DequantizeLinear", "Conv", "Cast"));
  }
}

TEST_F(Lift, MatMulInteger) {
  for (const int zero_points : {0, 1, 2}) {
    ModelBuilder model(13);
    model.input("a", {3, 4}, DType::UInt8).constant("b", codes(DType::Int8, {4, 2}));
    model.constant("az", Tensor::scalar<uint8_t>(77)).constant("bz", Tensor::vector<int8_t>({1, -2}));
    model.constant("az_rows", Tensor::vector<uint8_t>({7, 8, 9}));
    std::vector<std::string> inputs = {"a", "b"};
    if (zero_points == 1) inputs.insert(inputs.end(), {"az", "bz"});
    if (zero_points == 2) inputs.emplace_back("az_rows");
    model.node("MatMulInteger", inputs, {"y"}).output("y");
    const ir::Graph lifted = expect_same(model, {codes(DType::UInt8, {3, 4})});
    EXPECT_THAT(operators(lifted), ElementsAre("DequantizeLinear", "DequantizeLinear", "MatMul", "Cast"));
  }
}

TEST_F(Lift, BiasInInt32BecomesFloat) {
  for (const bool per_channel : {false, true}) {
    ModelBuilder model(13);
    model.input("x", {1, 2, 3, 3}).constant("w", wave({3, 2, 1, 1}));
    model.constant("b", Tensor::vector<int32_t>({70000, -3, 0}));
    model.constant("s", per_channel ? Tensor::vector<float>({0.001f, 0.1f, 2}) : Tensor::scalar(0.001f));
    model.constant("z", per_channel ? Tensor::vector<int32_t>({0, 0, 0}) : Tensor::scalar<int32_t>(0));
    model.node("DequantizeLinear", {"b", "s", "z"}, {"bias"}, {{"axis", int64_t{0}}});
    model.node("Conv", {"x", "w", "bias"}, {"y"}).output("y");
    const ir::Graph lifted = expect_same(model, {wave({1, 2, 3, 3})});
    EXPECT_THAT(operators(lifted), ElementsAre("Conv"));
    const Tensor& bias = *lifted.constant(lifted.find_value("bias"));
    EXPECT_EQ(bias.to_floats()[0], 70000 * 0.001f);
  }
}

// Weights in INT8 must keep their pairs: they are what makes the model quantized.
TEST_F(Lift, Int8WeightsKeepTheirDequantizeLinear) {
  ModelBuilder model(13);
  model.input("x", {1, 2}).constant("w", codes(DType::Int8, {2, 2})).constant("s", Tensor::scalar(0.1f));
  model.node("DequantizeLinear", {"w", "s"}, {"f"}).node("MatMul", {"x", "f"}, {"y"}).output("y");
  EXPECT_THAT(operators(load(model)), ElementsAre("DequantizeLinear", "MatMul"));
}

TEST_F(Lift, Refusals) {
  ModelBuilder few(13);
  few.input("x", {1, 2, 5, 5}, DType::UInt8).node("QLinearConv", {"x"}, {"y"}).output("y");
  EXPECT_EQ(refusal(few), "QLinearConv 'QLinearConv_y' lacks its input 1");
  ModelBuilder none(13);
  none.input("x", {2, 2}, DType::UInt8).node("MatMulInteger", {"x", ""}, {"y"}).output("y");
  EXPECT_EQ(refusal(none), "MatMulInteger 'MatMulInteger_y' lacks its input 1");
  ModelBuilder matrix(13);
  matrix.input("a", {2, 2}, DType::UInt8).constant("b", codes(DType::Int8, {2, 2}));
  matrix.constant("z", Tensor(DType::UInt8, {2, 1}))
      .node("MatMulInteger", {"a", "b", "z"}, {"y"})
      .output("y");
  EXPECT_THAT(refusal(matrix),
              HasSubstr("has a scale or zero point of shape 2x1; one number, or one for each channel"));
  ModelBuilder bias = qlinear_conv({});
  bias.graph().mutable_initializer()->rbegin()->Clear();
  from_tensor(Tensor::vector<int32_t>({1, 2, 3}), "b", *bias.graph().mutable_initializer()->rbegin());
  EXPECT_THAT(refusal(bias), HasSubstr("has 4 weight scales and 3 biases"));
}

TEST_F(Lift, BiasOfAnotherType) {
  ModelBuilder model = qlinear_conv({});
  auto& proto = *model.graph().mutable_initializer()->rbegin();
  proto.Clear();
  from_tensor(Tensor::vector<int64_t>({1, 2, 3, 4}), "b", proto);
  EXPECT_EQ(refusal(model), "QLinearConv 'QLinearConv_y' has a bias of type i64, not i32");
}

}  // namespace
}  // namespace kvant::formats
