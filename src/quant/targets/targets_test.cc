// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/random.h"
#include "ir/infer.h"
#include "ir/interpreter.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/ops.h"
#include "quant/quantize.h"
#include "quant/targets/target.h"
#include "zoo/zoo.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ir::Graph graph_of(const std::string& body) {
  ir::Graph graph = ir::parse("graph \"g\" {\n" + body + "}\n");
  ir::infer_types(graph, ops::standard());
  return graph;
}

Tensor noise(const Shape& shape, uint64_t seed) {
  Tensor x(DType::Float32, shape);
  Random random(seed);
  for (float& value : x.mutable_data<float>()) value = random.normal();
  return x;
}

Tensor evaluate(const ir::Graph& graph, uint64_t seed = 7) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < graph.inputs().size(); ++i)
    inputs.push_back(noise(ir::batched_shape(graph, i, 2), seed + i));
  return ir::evaluate(graph, ops::standard(), inputs).at(0);
}

// `names` and operators in order, the Q/DQ parameters shortened to their scale, zero point and type.
std::string outline(const ir::Graph& graph) {
  std::string text;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    text += graph.value(node.outputs[0]).name + " = " + node.op + "(" + graph.value(node.inputs[0]).name;
    const bool pair = ir::is_quantize(node) || ir::is_dequantize(node);
    for (size_t i = 1; !pair && i < node.inputs.size(); ++i)
      text += node.inputs[i] == ir::kNone ? ", _" : ", " + graph.value(node.inputs[i]).name;
    text += ")";
    if (const auto params = ir::params_of(graph, id)) {
      text += fmt::format(" {} {}", params->scale[0], name(params->dtype));
      if (!params->zero_point.empty()) text += fmt::format(" zp {}", params->zero_point[0]);
      if (!params->per_tensor()) text += fmt::format(" x{}", params->scale.size());
    }
    text += "\n";
  }
  return text;
}

std::string scales_of(const ir::Graph& graph) {
  std::string text;
  for (const ir::NodeId id : graph.topological_order()) {
    const auto params = ir::params_of(graph, id);
    if (!params || params->dtype == DType::Int32) continue;
    text += graph.node(id).name + ":";
    for (const float scale : params->scale) text += fmt::format(" {:a}", scale);
    text += "\n";
  }
  return text;
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TargetReport to(ir::Graph& graph, const char* target, const TargetOptions& options = {}) {
  return convert(graph, ops::standard(), target_named(target), options);
}

std::string refused(const std::string& body, const char* target = "tensorrt",
                    const TargetOptions& options = {}) {
  ir::Graph graph = graph_of(body);
  return refusal([&] { to(graph, target, options); });
}

const TargetOptions kInt8{.activations = DType::Int8};

const char* const kConvRelu = R"(
input %x: f32[N,2,6,6]
const %w: f32[3,2,3,3] = rand(1)
const %ws: f32[3] = {0.01, 0.0075, 0.02} const %wz: i8[3] = {0, 0, 0}
const %b: f32[3] = {0.5, -0.25, 0.125}
const %xs: f32[] = {0.03} const %ys: f32[] = {0.017} const %z: i8[] = {0}
%xq = QuantizeLinear "xq" (%x, %xs, %z)
%xd = DequantizeLinear "xd" (%xq, %xs, %z)
%wq = QuantizeLinear "wq" (%w, %ws, %wz) {axis = 0}
%wd = DequantizeLinear "wd" (%wq, %ws, %wz) {axis = 0}
%c = Conv "conv" (%xd, %wd, %b)
%r = Relu "relu" (%c)
%rq = QuantizeLinear "rq" (%r, %ys, %z)
%y = DequantizeLinear "yd" (%rq, %ys, %z)
output %y
)";

TEST(Targets, ActivationCodesOfANewModel) {
  EXPECT_EQ(activation_codes("kvant", 8), Codes::Affine);
  EXPECT_EQ(activation_codes("kvant", 4), Codes::Symmetric);
  EXPECT_EQ(activation_codes("tensorrt", 8), Codes::Symmetric);
  EXPECT_EQ(activation_codes("onnxruntime", 8), Codes::Symmetric);
}

TEST(Targets, OnnxruntimeGetsAPairBeforeTheReluAndAnIntegerBias) {
  const ir::Graph before = graph_of(kConvRelu);
  ir::Graph after = before;
  const TargetReport report = to(after, "onnxruntime", kInt8);
  EXPECT_EQ(outline(after),
            "xq = QuantizeLinear(x) 0.03 i8\n"
            "xd = DequantizeLinear(xq) 0.03 i8\n"
            "wq = QuantizeLinear(w) 0.01 i8 x3\n"
            "wd = DequantizeLinear(wq) 0.01 i8 x3\n"
            "b = DequantizeLinear(b_quantized) 0.00029999999 i32 x3\n"
            "c = Conv(xd, wd, b)\n"
            "c_quantized = QuantizeLinear(c) 0.017 i8\n"
            "c_dequantized = DequantizeLinear(c_quantized) 0.017 i8\n"
            "r = Relu(c_dequantized)\n"
            "rq = QuantizeLinear(r) 0.017 i8\n"
            "y = DequantizeLinear(rq) 0.017 i8\n");
  EXPECT_EQ(report.biases, 1);
  EXPECT_EQ(report.output_pairs_added, 1);
  EXPECT_TRUE(report.left_float.empty());
  const auto bias = ir::params_of(after, after.find_node("b_DequantizeLinear"));
  EXPECT_THAT(bias->scale, ElementsAre(0.03f * 0.01f, 0.03f * 0.0075f, 0.03f * 0.02f));
  // Only the bias moved, by less than half a step of the accumulator: at most one code of the result.
  EXPECT_LE(max_abs_difference(evaluate(before), evaluate(after)), 0.017 * 1.001);

  ir::Graph back = after;
  const TargetReport returned = to(back, "tensorrt");
  EXPECT_EQ(returned.output_pairs_dropped, 1);
  EXPECT_TRUE(returned.exact);
  EXPECT_EQ(outline(back), outline(before));
  EXPECT_EQ(scales_of(back), scales_of(before));
  EXPECT_EQ(evaluate(back), evaluate(after));
  ir::Graph again = back;
  to(again, "onnxruntime", kInt8);
  EXPECT_EQ(ir::print(again), ir::print(after));
}

TEST(Targets, UnsignedActivationsAreTheSameCodesPlus128) {
  const ir::Graph before = graph_of(kConvRelu);
  ir::Graph after = before;
  const TargetReport report = to(after, "onnxruntime", {.activations = DType::UInt8});
  EXPECT_EQ(report.shifted_tensors, 2);
  EXPECT_THAT(outline(after), HasSubstr("xq = QuantizeLinear(x) 0.03 u8 zp 128\n"));
  EXPECT_THAT(outline(after), HasSubstr("wq = QuantizeLinear(w) 0.01 i8 x3\n"));
  EXPECT_THAT(outline(after), HasSubstr("c_quantized = QuantizeLinear(c) 0.017 u8 zp 128\n"));
  ir::Graph int8 = before;
  to(int8, "onnxruntime", kInt8);
  EXPECT_EQ(evaluate(after), evaluate(int8));
  ir::Graph back = after;
  EXPECT_EQ(to(back, "tensorrt").shifted_tensors, 3);
  EXPECT_EQ(outline(back), outline(before));
  EXPECT_EQ(scales_of(back), scales_of(before));
}

TEST(Targets, CodesShiftThroughDataMovement) {
  const ir::Graph before = graph_of(R"(
input %x: f32[N,4,2,2]
const %s: f32[] = {0.03} const %z: u8[] = {128} const %shape: i64[2] = {-1, 4}
const %w: u8[4,3] = rand(3) const %ws: f32[3] = {0.01, 0.02, 0.03} const %wz: u8[3] = {128, 128, 128}
%q = QuantizeLinear "q" (%x, %s, %z)
%m = MaxPool "pool" (%q) {kernel_shape = [2,2]}
%r = Reshape "flat" (%m, %shape)
%d = DequantizeLinear "d" (%r, %s, %z)
%wd = DequantizeLinear "wd" (%w, %ws, %wz) {axis = 1}
%y = MatMul "mm" (%d, %wd)
output %y
)");
  ir::Graph after = before;
  const TargetReport report = to(after, "tensorrt");
  EXPECT_EQ(report.shifted_tensors, 2);
  EXPECT_TRUE(report.exact);
  EXPECT_EQ(outline(after),
            "q = QuantizeLinear(x) 0.03 i8\n"
            "m = MaxPool(q)\n"
            "r = Reshape(m, shape)\n"
            "d = DequantizeLinear(r) 0.03 i8\n"
            "wd = DequantizeLinear(w) 0.01 i8 x3\n"
            "y = MatMul(d, wd)\n");
  EXPECT_EQ(evaluate(after), evaluate(before));
}

const char* const kResidual = R"(
input %x: f32[N,2,4,4]
const %w: f32[2,2,1,1] = rand(1) const %ws: f32[] = {0.01}
const %xs: f32[] = {0.03} const %ys: f32[] = {0.05} const %z: i8[] = {0}
%xq = QuantizeLinear "xq" (%x, %xs, %z)
%xd = DequantizeLinear "xd" (%xq, %xs, %z)
%wq = QuantizeLinear "wq" (%w, %ws, %z)
%wd = DequantizeLinear "wd" (%wq, %ws, %z)
%c = Conv "conv" (%xd, %wd)
%a = Add "add" (%c, %xd)
%yq = QuantizeLinear "yq" (%a, %ys, %z)
%y = DequantizeLinear "yd" (%yq, %ys, %z)
output %y
)";

TEST(Targets, AResultThatIsAddedNeedsARange) {
  const ir::Graph before = graph_of(kResidual);
  EXPECT_THAT(outputs_to_calibrate(before, target_named("onnxruntime")), ElementsAre("c"));
  EXPECT_THAT(outputs_to_calibrate(before, target_named("tensorrt")), ElementsAre());
  ir::Graph without = before;
  const TargetReport left = to(without, "onnxruntime");
  ASSERT_EQ(left.left_float.size(), 1u);
  EXPECT_EQ(left.left_float[0].node, "conv");
  EXPECT_THAT(left.left_float[0].reason, HasSubstr("range of its result 'c' is not known"));

  TargetOptions options;
  options.activations = DType::Int8;
  options.ranges.ranges["c"] = {-2.54f, 1.0f};
  ir::Graph after = before;
  const TargetReport report = to(after, "onnxruntime", options);
  EXPECT_FALSE(report.exact);
  EXPECT_THAT(outline(after), HasSubstr("c_dequantized = DequantizeLinear(c_quantized) 0.02 i8\n"
                                        "a = Add(c_dequantized, xd)\n"));
  EXPECT_LE(max_abs_difference(evaluate(before), evaluate(after)), 0.05 + 0.01);

  // The scale goes with the tensorrt form and comes back with the same bits, without any range.
  ir::Graph back = after;
  to(back, "tensorrt");
  EXPECT_EQ(outline(back), outline(before));
  EXPECT_EQ(evaluate(back), evaluate(before));
  EXPECT_TRUE(outputs_to_calibrate(back, target_named("onnxruntime")).empty());
  to(back, "onnxruntime", kInt8);
  EXPECT_EQ(scales_of(back), scales_of(after));
}

TEST(Targets, AnAdditionGetsAPairBeforeItsRelu) {
  const ir::Graph before = graph_of(R"(
input %x: f32[N,2,4,4]
const %s: f32[] = {0.03} const %t: f32[] = {0.05} const %z: i8[] = {0}
%xq = QuantizeLinear "xq" (%x, %s, %z)
%xd = DequantizeLinear "xd" (%xq, %s, %z)
%a = Add "add" (%xd, %xd)
%r = Relu "relu" (%a)
%f = Flatten "flat" (%r)
%yq = QuantizeLinear "yq" (%f, %t, %z)
%y = DequantizeLinear "yd" (%yq, %t, %z)
output %y
)");
  ir::Graph after = before;
  const TargetReport report = to(after, "onnxruntime");
  EXPECT_TRUE(report.exact);
  EXPECT_EQ(outline(after),
            "xq = QuantizeLinear(x) 0.03 u8 zp 128\n"
            "xd = DequantizeLinear(xq) 0.03 u8 zp 128\n"
            "a = Add(xd, xd)\n"
            "a_quantized = QuantizeLinear(a) 0.05 u8 zp 128\n"
            "a_dequantized = DequantizeLinear(a_quantized) 0.05 u8 zp 128\n"
            "r = Relu(a_dequantized)\n"
            "f = Flatten(r)\n"
            "yq = QuantizeLinear(f) 0.05 u8 zp 128\n"
            "y = DequantizeLinear(yq) 0.05 u8 zp 128\n");
  EXPECT_EQ(evaluate(after), evaluate(before));
  ir::Graph back = after;
  EXPECT_TRUE(to(back, "tensorrt").exact);
  EXPECT_EQ(outline(back), outline(before));
  EXPECT_EQ(evaluate(back), evaluate(before));
}

TEST(Targets, AnOutputOfTheNetworkKeepsItsName) {
  const ir::Graph before = graph_of(R"(
input %x: f32[N,2,4,4]
const %w: f32[2,2,1,1] = rand(1) const %s: f32[] = {0.03} const %z: i8[] = {0}
%xq = QuantizeLinear "xq" (%x, %s, %z)
%xd = DequantizeLinear "xd" (%xq, %s, %z)
%wq = QuantizeLinear "wq" (%w, %s, %z)
%wd = DequantizeLinear "wd" (%wq, %s, %z)
%y = Conv "conv" (%xd, %wd)
output %y
)");
  TargetOptions options;
  options.ranges.ranges["y"] = {-1.27f, 1.27f};
  ir::Graph after = before;
  to(after, "onnxruntime", options);
  EXPECT_EQ(after.value(after.outputs()[0]).name, "y");
  EXPECT_EQ(after.producer(after.outputs()[0])->op, "DequantizeLinear");
  EXPECT_LE(max_abs_difference(evaluate(before), evaluate(after)), 4.0);
  ir::Graph back = after;
  to(back, "tensorrt");
  EXPECT_EQ(outline(back), outline(before));
}

// A file as onnxruntime's own tool writes it: pairs behind both convolutions of an addition, unlisted.
TEST(Targets, PairsOfForeignFilesThatSplitAFusionAreDropped) {
  const ir::Graph before = graph_of(R"(
input %x: f32[N,2,4,4]
const %w: f32[2,2,1,1] = rand(1) const %s: f32[] = {0.03} const %z: i8[] = {0}
const %b: i32[2] = {100, -3000} const %bs: f32[] = {0.0009}
%xq = QuantizeLinear "xq" (%x, %s, %z)
%xd = DequantizeLinear "xd" (%xq, %s, %z)
%wq = QuantizeLinear "wq" (%w, %s, %z)
%wd = DequantizeLinear "wd" (%wq, %s, %z)
%bd = DequantizeLinear "bd" (%b, %bs)
%short = Conv "short" (%xd, %wd, %bd)
%sq = QuantizeLinear "sq" (%short, %s, %z)
%sd = DequantizeLinear "sd" (%sq, %s, %z)
%c1 = Conv "c1" (%xd, %wd, %bd)
%q1 = QuantizeLinear "q1" (%c1, %s, %z)
%d1 = DequantizeLinear "d1" (%q1, %s, %z)
%c2 = Conv "c2" (%d1, %wd)
%q2 = QuantizeLinear "q2" (%c2, %s, %z)
%d2 = DequantizeLinear "d2" (%q2, %s, %z)
%a = Add "add" (%sd, %d2)
%aq = QuantizeLinear "aq" (%a, %s, %z)
%y = DequantizeLinear "yd" (%aq, %s, %z)
output %y
)");
  ir::Graph after = before;
  const TargetReport report = to(after, "kvant");
  EXPECT_EQ(report.output_pairs_dropped, 1);
  EXPECT_EQ(report.biases, 1);
  EXPECT_THAT(outline(after), HasSubstr("a = Add(sd, c2)\n"));
  EXPECT_THAT(outline(after), HasSubstr("c2 = Conv(d1, wd)\n"));
  EXPECT_THAT(outline(after), HasSubstr("short = Conv(xd, wd, bd)\n"));
  EXPECT_LE(max_abs_difference(evaluate(before), evaluate(after)), 0.03 * 1.001);
}

TEST(Targets, AResidualNetworkGoesRoundWithAllItsScales) {
  const ir::Graph model = zoo::create("resnet8", {.input = {1, 8, 8}});
  QuantizeOptions options;
  const auto batches = [] { return batches_of(std::vector<std::vector<Tensor>>{{noise({4, 1, 8, 8}, 1)}}); };
  const auto interpret = [](const ir::Graph& graph) {
    return std::make_unique<ir::Interpreter>(graph, ops::standard());
  };
  const QuantizeResult trt = quantize(model, ops::standard(), batches(), interpret, options);
  options.target = "onnxruntime";
  const QuantizeResult ort = quantize(model, ops::standard(), batches(), interpret, options);
  EXPECT_TRUE(ort.target.left_float.empty());
  // 7 of 9 convolutions (2 projections have theirs), 3 additions before their Relu, the pool before Flatten.
  EXPECT_EQ(ort.target.output_pairs_added, 11);
  EXPECT_TRUE(outputs_to_calibrate(ort.graph, target_named("onnxruntime")).empty());
  ir::Graph back = ort.graph;
  to(back, "tensorrt");
  EXPECT_EQ(scales_of(back), scales_of(trt.graph));
  EXPECT_EQ(outline(back), outline(trt.graph));
  ir::Graph again = back;
  to(again, "onnxruntime");
  EXPECT_EQ(scales_of(again), scales_of(ort.graph));
  const Tensor a = evaluate(trt.graph), b = evaluate(ort.graph);
  EXPECT_GT(max_abs_difference(a, b), 0);
  float amax = 0;
  for (const float value : a.data<float>()) amax = std::max(amax, std::fabs(value));
  EXPECT_LT(max_abs_difference(a, b), 0.2 * static_cast<double>(amax));
}

TEST(Targets, TensorrtRefusesWhatItsImporterDoes) {
  const std::string head = "input %x: f32[N,2,4,4]\nconst %s: f32[] = {0.03}\n";
  const auto pair = [](const std::string& zero) {
    return "const %z: " + zero +
           "\n%q = QuantizeLinear \"q\" (%x, %s, %z)\n%y = DequantizeLinear \"d\" (%q, %s, %z)\noutput %y\n";
  };
  EXPECT_THAT(refused(head + pair("i8[] = {3}")), HasSubstr("QuantizeLinear 'q' has the zero point 3"));
  EXPECT_THAT(refused(head + pair("u8[] = {0}")),
              HasSubstr("QuantizeLinear 'q' holds u8 codes with the zero point 0"));
  EXPECT_THAT(refused(head + pair("i16[] = {0}")), HasSubstr("holds i16 codes"));
  EXPECT_EQ(refused(head + pair("u8[] = {128}")), "");
  EXPECT_THAT(refused("input %x: f32[N,2,4,4]\nconst %s: f32[2] = {0.03, 0.02}\nconst %z: i8[2] = {0, 0}\n"
                      "%q = QuantizeLinear \"q\" (%x, %s, %z) {axis = 1}\n"
                      "%y = DequantizeLinear \"d\" (%q, %s, %z) {axis = 1}\noutput %y\n"),
              HasSubstr("'q' has 2 scales for an activation"));
  EXPECT_THAT(refused("input %x: f32[4,4]\nconst %s: f32[4,2] = fill(0.1)\nconst %z: i8[4,2] = fill(0)\n"
                      "%q = QuantizeLinear \"q\" (%x, %s, %z) {axis = 1, block_size = 2}\n"
                      "%y = DequantizeLinear \"d\" (%q, %s, %z) {axis = 1, block_size = 2}\noutput %y\n"),
              HasSubstr("'q' has a scale for each block"));
  EXPECT_THAT(refused("input %x: f32[N,2,4,4]\nconst %s: f32[] = {-0.03}\n" + pair("i8[] = {0}")),
              HasSubstr("scales must be positive"));
  EXPECT_THAT(refused("input %x: f32[N,C,4,4]\nconst %s: f32[] = {0.03}\nconst %z: i8[] = {0}\n"
                      "const %w: f32[2,2,1,1] = rand(1)\n%q = QuantizeLinear \"q\" (%x, %s, %z)\n"
                      "%d = DequantizeLinear \"d\" (%q, %s, %z)\n%y = Conv \"conv\" (%d, %w)\noutput %y\n"),
              HasSubstr("Conv 'conv' reads int8 with a number of channels that is not fixed"));
  EXPECT_THAT(refused("input %x: f32[4]\n%q, %s, %z = DynamicQuantizeLinear \"dyn\" (%x)\noutput %q\n"),
              HasSubstr("'dyn': TensorRT has no dynamic quantization"));
}

TEST(Targets, OpenvinoTakesAnyZeroPointOfActivationsAndNoneOfWeights) {
  const std::string body = R"(
input %x: f32[N,4]
const %s: f32[] = {0.03} const %z: u8[] = {17} const %w: i8[4,3] = rand(3) const %wz: i8[] = {ZERO}
%q = QuantizeLinear "q" (%x, %s, %z)
%d = DequantizeLinear "d" (%q, %s, %z)
%wd = DequantizeLinear "wd" (%w, %s, %wz)
%y = MatMul "mm" (%d, %wd)
output %y
)";
  const auto with = [&](const std::string& zero) {
    std::string text = body;
    return text.replace(text.find("ZERO"), 4, zero);
  };
  EXPECT_EQ(refused(with("0"), "openvino"), "");
  EXPECT_THAT(refused(with("5"), "openvino"), HasSubstr("MatMul 'mm': its weight is i8 with a zero point"));
}

TEST(Targets, ABiasBeyondInt32StaysFloatAndIsReported) {
  ir::Graph graph = graph_of(R"(
input %x: f32[N,1,2,2]
const %s: f32[] = {0.00001} const %z: i8[] = {0} const %w: f32[1,1,1,1] = {0.0001} const %b: f32[1] = {9}
%xq = QuantizeLinear "xq" (%x, %s, %z)
%xd = DequantizeLinear "xd" (%xq, %s, %z)
%wq = QuantizeLinear "wq" (%w, %s, %z)
%wd = DequantizeLinear "wd" (%wq, %s, %z)
%y = Conv "conv" (%xd, %wd, %b)
output %y
)");
  TargetOptions options;
  options.ranges.ranges["y"] = {-9, 9};
  const TargetReport report = to(graph, "onnxruntime", options);
  EXPECT_EQ(report.biases, 0);
  ASSERT_EQ(report.left_float.size(), 1u);
  EXPECT_THAT(report.left_float[0].reason, HasSubstr("its bias 9 does not fit int32"));
}

TEST(Targets, HalfPartsKeepTheCodesOfWeights) {
  const ir::Graph before = graph_of(kConvRelu);
  ir::Graph after = before;
  const TargetReport report = to(after, "tensorrt", {.fp16 = true});
  EXPECT_EQ(outline(after),
            "wd = DequantizeLinear(wq) 0.010002136 i8 x3\n"
            "x_half = Cast(x)\n"
            "xq = QuantizeLinear(x_half) 0.02999878 i8\n"
            "xd = DequantizeLinear(xq) 0.02999878 i8\n"
            "c = Conv(xd, wd, b_half)\n"
            "r = Relu(c)\n"
            "rq = QuantizeLinear(r) 0.016998291 i8\n"
            "y_half = DequantizeLinear(rq) 0.016998291 i8\n"
            "y = Cast(y_half)\n");
  EXPECT_GT(report.half_tensors, 3);
  EXPECT_FALSE(report.exact);
  EXPECT_EQ(after.value(after.find_value("c")).type.dtype, DType::Float16);
  const ir::Graph& source = before;
  const auto params = ir::params_of(source, source.find_node("wq"));
  EXPECT_EQ(*after.constant(after.find_value("wq")),
            quantize(*source.constant(source.find_value("w")), *params));
  EXPECT_LE(max_abs_difference(evaluate(before), evaluate(after)), 2 * 0.017);
}

TEST(Targets, HalfPartsLeaveOutWhatFloat16CannotHold) {
  const ir::Graph before = graph_of(R"(
input %x: f32[N,4]
const %s: f32[] = {0.00001} const %z: i8[] = {0}
%xq = QuantizeLinear "xq" (%x, %s, %z)
%xd = DequantizeLinear "xd" (%xq, %s, %z)
%n = Softmax "soft" (%xd)
%y = Relu "relu" (%n)
output %y
)");
  ir::Graph after = before;
  const TargetOptions half{.fp16 = true};
  const TargetReport report = to(after, "tensorrt", half);
  EXPECT_EQ(outline(after),
            "xq = QuantizeLinear(x) 1e-05 i8\n"
            "xd = DequantizeLinear(xq) 1e-05 i8\n"
            "n = Softmax(xd)\n"
            "n_half = Cast(n)\n"
            "y_half = Relu(n_half)\n"
            "y = Cast(y_half)\n");
  ASSERT_EQ(report.left_float.size(), 1u);
  EXPECT_THAT(report.left_float[0].reason, HasSubstr("outside of float16's normal numbers"));
  EXPECT_LE(max_abs_difference(evaluate(before), evaluate(after)), 1.0 / 2048);
  EXPECT_THAT(refused("input %x: f32[4]\nconst %c: f32[] = {70000}\n%y = Add \"a\" (%x, %c)\noutput %y\n",
                      "tensorrt", half),
              HasSubstr("the constant 'c' holds 70000, beyond float16's"));
  EXPECT_THAT(refused("meta \"kvant.bits\" = \"4\"\ninput %x: f32[4]\n%y = Neg \"a\" (%x)\noutput %y\n",
                      "tensorrt", half),
              HasSubstr("a model of 4 bits is simulated in int8"));
}

TEST(Targets, OptionsThatDoNotFitAreRefused) {
  EXPECT_THAT(refusal([] { target_named("tensort"); }),
              HasSubstr("there is no target 'tensort' (nearest: tensorrt"));
  const std::string body = "input %x: f32[4]\n%y = Neg \"a\" (%x)\noutput %y\n";
  const TargetOptions half{.fp16 = true};
  for (const char* target : {"onnxruntime", "openvino", "kvant"})
    EXPECT_THAT(refused(body, target, half), HasSubstr("FP16 parts are for the target tensorrt"));
  EXPECT_THAT(refused("meta \"kvant.bits:w\" = \"3\"\n" + body, "onnxruntime", {.activations = DType::UInt8}),
              HasSubstr("a model of 3 bits keeps int8 codes"));
  EXPECT_THAT(refused("meta \"kvant.bits\" = \"4\"\n" + body, "onnxruntime", {.activations = DType::UInt8}),
              HasSubstr("a model of 4 bits keeps int8 codes"));
}

}  // namespace
}  // namespace kvant::quant
