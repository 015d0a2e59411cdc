// SPDX-License-Identifier: Apache-2.0
// Every operator of the plug-in against the reference interpreter, on small graphs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "ir/interpreter.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "train/torch_runner.h"

namespace kvant::train {
namespace {

struct Case {
  const char* name;
  const char* inputs;  // declarations
  const char* body;    // makes %y
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

constexpr const char* kImage = "input %x: f32[2,4,9,7]";
constexpr const char* kMatrix = "input %x: f32[3,8]";

const Case kCases[] = {
    {"conv", kImage,
     "const %w: f32[6,4,3,3] = rand(1) const %b: f32[6] = rand(2) %y = Conv (%x, %w, %b) {pads = [1,1,1,1]}"},
    {"conv_uneven_pads", kImage,
     "const %w: f32[6,4,3,3] = rand(1) %y = Conv (%x, %w) {pads = [0,1,2,1], strides = [2,2]}"},
    {"conv_same_upper", kImage,
     "const %w: f32[6,4,3,2] = rand(1) %y = Conv (%x, %w) {auto_pad = \"SAME_UPPER\", strides = [2,2]}"},
    {"conv_same_lower", kImage,
     "const %w: f32[6,4,2,2] = rand(1) %y = Conv (%x, %w) {auto_pad = \"SAME_LOWER\"}"},
    {"conv_depthwise_dilated", kImage,
     "const %w: f32[8,1,3,3] = rand(1) %y = Conv (%x, %w) {group = 4, dilations = [2,2], pads = [2,2,2,2]}"},
    {"conv_line", "input %x: f32[2,4,9]", "const %w: f32[6,4,3] = rand(1) %y = Conv (%x, %w) {pads = [1,0]}"},
    {"conv_transpose", kImage,
     "const %w: f32[4,3,3,3] = rand(1) const %b: f32[3] = rand(2) %y = ConvTranspose (%x, %w, %b) {strides = "
     "[2,2], "
     "pads = [1,0,0,1], output_padding = [1,1]}"},
    {"batch_norm", kImage,
     "const %s: f32[4] = rand(1) const %b: f32[4] = rand(2) const %m: f32[4] = rand(3) const %v: f32[4] = "
     "{1, 2, 0.5, 3} "
     "%y = BatchNormalization (%x, %s, %b, %m, %v) {epsilon = 0.001}"},
    {"instance_norm", kImage,
     "const %s: f32[4] = rand(1) const %b: f32[4] = rand(2) "
     "%y = InstanceNormalization (%x, %s, %b) {epsilon = 0.01}"},
    {"conv_bn_relu", kImage,
     "const %w: f32[4,4,1,1] = rand(1) const %s: f32[4] = rand(2) const %v: f32[4] = {1, 2, 0.5, 3} %c = "
     "Conv (%x, %w) "
     "%n = BatchNormalization (%c, %s, %s, %s, %v) %r = Relu (%n) %a = Add (%r, %x) %r2 = Relu (%a) %y = Add "
     "(%r2, %r)"},
    {"max_pool", kImage, "%y = MaxPool (%x) {kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]}"},
    {"max_pool_uneven", kImage,
     "%y = MaxPool (%x) {kernel_shape = [3,2], strides = [2,2], pads = [0,1,2,0]}"},
    {"max_pool_ceil", kImage, "%y = MaxPool (%x) {kernel_shape = [2,2], strides = [2,2], ceil_mode = 1}"},
    {"global_max_pool", kImage, "%y = GlobalMaxPool (%x)"},
    {"average_pool", kImage,
     "%y = AveragePool (%x) {kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]}"},
    {"average_pool_counting_pads", kImage,
     "%y = AveragePool (%x) {kernel_shape = [3,3], pads = [1,1,1,1], count_include_pad = 1}"},
    {"average_pool_uneven", kImage,
     "%y = AveragePool (%x) {kernel_shape = [3,3], strides = [2,2], pads = [0,1,1,2]}"},
    {"global_average_pool", kImage, "%y = GlobalAveragePool (%x)"},
    {"resize_nearest", kImage,
     "const %s: f32[4] = {1, 1, 2, 2} %y = Resize (%x, _, %s) {mode = \"nearest\", "
     "coordinate_transformation_mode = "
     "\"asymmetric\", nearest_mode = \"floor\"}"},
    {"resize_linear", kImage, "const %s: f32[4] = {1, 1, 2, 3} %y = Resize (%x, _, %s) {mode = \"linear\"}"},
    {"resize_corners", kImage,
     "const %s: i64[4] = {2, 4, 12, 5} %y = Resize (%x, _, _, %s) {mode = \"linear\", "
     "coordinate_transformation_mode = "
     "\"align_corners\"}"},
    {"gemm", kMatrix,
     "const %w: f32[5,8] = rand(1) const %b: f32[5] = rand(2) %y = Gemm (%x, %w, %b) {transB = 1}"},
    {"gemm_scaled", kMatrix,
     "const %w: f32[8,5] = rand(1) const %b: f32[5] = rand(2) %y = Gemm (%x, %w, %b) {alpha = 0.5, beta = "
     "2.0}"},
    {"matmul", "input %x: f32[2,3,8]", "const %w: f32[8,5] = rand(1) %y = MatMul (%x, %w)"},
    {"matmul_batched", "input %x: f32[2,3,4,5]",
     "%t = Transpose (%x) {perm = [0,1,3,2]} %y = MatMul (%x, %t)"},
    {"einsum", "input %x: f32[2,3,4,5]", "%y = Einsum (%x, %x) {equation = \"bhid,bhjd->bhij\"}"},
    {"softmax", kMatrix, "%y = Softmax (%x) {axis = 1}"},
    {"log_softmax", kMatrix, "%y = LogSoftmax (%x) {axis = -1}"},
    {"layer_norm", "input %x: f32[2,3,8]",
     "const %s: f32[8] = rand(1) const %b: f32[8] = rand(2) %y = LayerNormalization (%x, %s, %b)"},
    {"group_norm", kImage,
     "const %s: f32[4] = rand(1) const %b: f32[4] = rand(2) "
     "%y = GroupNormalization (%x, %s, %b) {num_groups = 2, epsilon = 0.01}"},
    {"rms_norm", "input %x: f32[2,3,8]",
     "const %s: f32[8] = rand(1) %y = RMSNormalization (%x, %s) {epsilon = 0.01}"},
    {"lp_norm", kMatrix, "%a = LpNormalization (%x) {p = 1} %y = LpNormalization (%a) {axis = 0}"},
    {"lrn", "input %x: f32[2,7,3,2]", "%y = LRN (%x) {size = 4, alpha = 0.5, beta = 0.6, bias = 1.5}"},
    {"reduce_mean", kImage, "const %a: i64[2] = {2, 3} %y = ReduceMean (%x, %a) {keepdims = 0}"},
    {"reduce_sum", kImage, "const %a: i64[1] = {-1} %y = ReduceSum (%x, %a)"},
    {"reduce_max", kImage, "const %a: i64[1] = {1} %y = ReduceMax (%x, %a)"},
    {"reduce_min", kImage, "const %a: i64[2] = {1, 3} %y = ReduceMin (%x, %a) {keepdims = 0}"},
    {"reduce_l2", kImage, "const %a: i64[1] = {1} %y = ReduceL2 (%x, %a)"},
    {"reduce_l1", kImage, "const %a: i64[1] = {2} %y = ReduceL1 (%x, %a)"},
    {"reduce_sum_square", kImage, "const %a: i64[2] = {2,3} %y = ReduceSumSquare (%x, %a)"},
    {"reduce_log_sum_exp", kMatrix, "const %a: i64[1] = {1} %y = ReduceLogSumExp (%x, %a)"},
    {"cum_sum", kMatrix, "const %a: i64[] = {1} %y = CumSum (%x, %a) {exclusive = 1, reverse = 1}"},
    {"arg_min", kMatrix, "%i = ArgMin (%x) {axis = 0} %y = Cast (%i) {to = 1}"},
    {"reduce_all", kImage, "%y = ReduceMin (%x)"},
    {"arg_max", kMatrix, "%i = ArgMax (%x) {axis = 1, keepdims = 0} %y = Cast (%i) {to = 1}"},
    {"clip", kMatrix, "const %l: f32[] = {-0.2} const %h: f32[] = {0.3} %y = Clip (%x, %l, %h)"},
    {"leaky_relu", kMatrix, "%y = LeakyRelu (%x) {alpha = 0.1}"},
    {"elu", kMatrix, "%y = Elu (%x) {alpha = 0.7}"},
    {"selu", kMatrix, "%y = Selu (%x)"},
    {"celu", kMatrix, "%y = Celu (%x) {alpha = 0.7}"},
    {"thresholded_relu", kMatrix, "%y = ThresholdedRelu (%x) {alpha = 0.4}"},
    {"sign_sin_cos", kMatrix, "%a = Sign (%x) %b = Sin (%x) %c = Cos (%x) %y = Sum (%a, %b, %c)"},
    {"logic", kMatrix,
     "const %l: f32[] = {-0.2} const %h: f32[] = {0.3} %a = LessOrEqual (%x, %h) "
     "%b = GreaterOrEqual (%x, %l) %c = And (%a, %b) %d = Not (%a) %e = Or (%c, %d) %y = Cast (%e) {to = 1}"},
    {"softsign", kMatrix, "%y = Softsign (%x)"},
    {"floor_ceil", kMatrix, "%f = Floor (%x) %c = Ceil (%x) %y = Sub (%c, %f)"},
    {"round_to_even", "input %x: f32[1,1]",
     "const %h: f32[6] = {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5} const %z: f32[] = {0} %n = Mul (%x, %z) "
     "%s = Add (%h, %n) %y = Round (%s)"},
    {"cast_to_integers", kMatrix,
     "const %k: f32[] = {3} %s = Mul (%x, %k) %i = Cast (%s) {to = 7} %y = Cast (%i) {to = 1}"},
    {"less_where", kMatrix,
     "const %z: f32[] = {0.1} %c = Less (%x, %z) %n = Neg (%x) %y = Where (%c, %n, %z)"},
    {"greater_cast", kMatrix,
     "const %k: f32[8] = {0,0.1,-0.1,0.2,0,0.3,1,-1} %c = Greater (%x, %k) %y = Cast (%c) {to = 1}"},
    {"equal_where", kMatrix, "%r = Relu (%x) %c = Equal (%r, %x) %e = Exp (%x) %y = Where (%c, %r, %e)"},
    {"prelu", kImage, "const %s: f32[4,1,1] = rand(1) %y = PRelu (%x, %s)"},
    {"sigmoid", kMatrix, "%y = Sigmoid (%x)"},
    {"hard_sigmoid", kMatrix, "%y = HardSigmoid (%x) {alpha = 0.1666667, beta = 0.5}"},
    {"hard_swish", kMatrix, "%y = HardSwish (%x)"},
    {"tanh", kMatrix, "%y = Tanh (%x)"},
    {"gelu", kMatrix, "%y = Gelu (%x)"},
    {"gelu_tanh", kMatrix, "%y = Gelu (%x) {approximate = \"tanh\"}"},
    {"erf", kMatrix, "%y = Erf (%x)"},
    {"softplus", kMatrix, "%y = Softplus (%x)"},
    {"mish", kMatrix, "%y = Mish (%x)"},
    {"exp_log_sqrt", kMatrix, "%e = Exp (%x) %l = Log (%e) %s = Sqrt (%e) %y = Sub (%s, %l)"},
    {"abs_neg_reciprocal", kMatrix,
     "const %k: f32[] = {0.5} %a = Abs (%x) %b = Add (%a, %k) %r = Reciprocal (%b) %y = Neg (%r)"},
    {"div_pow_mul", kMatrix,
     "const %k: f32[8] = {1,2,3,4,5,6,7,8} const %e: f32[] = {2} %d = Div (%x, %k) "
     "%p = Pow (%d, %e) %y = Mul (%p, %x)"},
    {"max_min_sum_mean", kMatrix,
     "%n = Neg (%x) %a = Max (%x, %n) %b = Min (%x, %n) %s = Sum (%a, %b, %x) %y = Mean (%s, %a)"},
    {"concat_split", kImage,
     "const %p: i64[2] = {1, 3} %a, %b = Split (%x, %p) {axis = 1} %y = Concat (%b, %a, %x) {axis = 1}"},
    {"slice", kImage,
     "const %s: i64[2] = {1, -1} const %e: i64[2] = {8, -100} const %a: i64[2] = {2, 3} const %t: i64[2] = "
     "{2, -2} "
     "%y = Slice (%x, %s, %e, %a, %t)"},
    {"pad", kImage, "const %p: i64[8] = {0,0,1,2,0,1,0,1} const %v: f32[] = {0.25} %y = Pad (%x, %p, %v)"},
    {"reshape_flatten", kImage,
     "const %s: i64[3] = {0, 4, -1} %r = Reshape (%x, %s) %y = Flatten (%r) {axis = 2}"},
    {"squeeze_unsqueeze", kMatrix,
     "const %a: i64[2] = {0, 3} const %b: i64[1] = {3} %u = Unsqueeze (%x, %a) %y = Squeeze (%u, %b)"},
    {"transpose", kImage, "%y = Transpose (%x) {perm = [0,2,3,1]}"},
    {"gather", kImage, "const %i: i64[2,2] = {0, -1, 2, 1} %y = Gather (%x, %i) {axis = 1}"},
    {"gather_elements", kMatrix,
     "const %i: i64[3,2] = {0, -1, 2, 1, 7, -8} %y = GatherElements (%x, %i) {axis = 1}"},
    {"size_range", kMatrix,
     "const %z: i64[] = {0} const %d: i64[] = {3} %n = Size (%x) %r = Range (%z, %n, %d) "
     "%f = Cast (%r) {to = 1} %y = Add (%x, %f)"},
    {"constant_of_shape", "input %x: f32[2,3]",
     "%s = Shape (%x) %c = ConstantOfShape (%s) {value = f32[1] {2.5}} %y = Add (%x, %c)"},
    {"trilu", "input %x: f32[2,4,5]",
     "const %k: i64[] = {1} %a = Trilu (%x, %k) {upper = 1} %b = Trilu (%x) {upper = 0} %y = Sub (%a, %b)"},
    {"expand", "input %x: f32[3,1]", "const %s: i64[3] = {2, 1, 4} %y = Expand (%x, %s)"},
    {"tile", "input %x: f32[2,3]", "const %r: i64[2] = {3, 2} %y = Tile (%x, %r)"},
    {"dropout", kMatrix, "%y = Dropout (%x)"},
    {"identity", kMatrix, "%y = Identity (%x)"},
    {"depth_to_space", kImage, "%y = DepthToSpace (%x) {blocksize = 2, mode = \"CRD\"}"},
    {"space_to_depth", "input %x: f32[2,4,6,8]", "%y = SpaceToDepth (%x) {blocksize = 2}"},
    // What exporters write for GELU, SiLU, a hard swish, layer normalization and a class token.
    {"gelu_by_erf", kMatrix,
     "const %r: f32[] = {1.4142135} const %o: f32[] = {1} const %h: f32[] = {0.5} %d = Div (%x, %r) "
     "%e = Erf (%d) %a = Add (%e, %o) %m = Mul (%x, %a) %y = Mul (%m, %h)"},
    {"silu", kImage, "%s = Sigmoid (%x) %y = Mul (%x, %s)"},
    {"hard_swish_by_clip", kImage,
     "const %t: f32[] = {3} const %z: f32[] = {0} const %s: f32[] = {6} %a = Add (%x, %t) "
     "%c = Clip (%a, %z, %s) %m = Mul (%x, %c) %y = Div (%m, %s)"},
    {"squeeze_excite", kImage,
     "const %w: f32[2,4,1,1] = rand(1) const %v: f32[4,2,1,1] = rand(2) %g = GlobalAveragePool (%x) "
     "%a = Conv (%g, %w) %r = HardSwish (%a) %b = Conv (%r, %v) %s = Sigmoid (%b) %y = Mul (%x, %s)"},
    {"layer_norm_by_parts", "input %x: f32[2,3,8]",
     "const %a: i64[1] = {-1} const %two: f32[] = {2} const %e: f32[] = {0.00001} const %g: f32[8] = rand(1) "
     "%m = ReduceMean (%x, %a) %d = Sub (%x, %m) %p = Pow (%d, %two) %v = ReduceMean (%p, %a) "
     "%q = Add (%v, %e) %s = Sqrt (%q) %n = Div (%d, %s) %y = Mul (%n, %g)"},
    {"class_token", "input %x: f32[2,5,8]",
     "const %t: f32[1,1,8] = rand(1) const %s: i64[3] = {2, 1, 8} const %p: f32[1,6,8] = rand(2) "
     "const %i: i64[] = {0} %c = Expand (%t, %s) %a = Concat (%c, %x) {axis = 1} %b = Add (%a, %p) "
     "%y = Gather (%b, %i) {axis = 1}"},
    {"attention", "input %x: f32[2,5,8]",
     "const %w: f32[8,24] = rand(1) const %b: f32[24] = rand(2) const %s: i64[5] = {0, 0, 3, 2, 4} "
     "const %k: f32[] = {0.5} const %ax: i64[1] = {0} const %o: i64[3] = {0, 0, 8} "
     "%m = MatMul (%x, %w) %l = Add (%m, %b) %r = Reshape (%l, %s) %t = Transpose (%r) {perm = [2,0,3,1,4]} "
     "%q1, %k1, %v1 = Split (%t) {axis = 0, num_outputs = 3} %q = Squeeze (%q1, %ax) %kk = Squeeze (%k1, "
     "%ax) "
     "%v = Squeeze (%v1, %ax) %kt = Transpose (%kk) {perm = [0,1,3,2]} %a = MatMul (%q, %kt) %c = Mul (%a, "
     "%k) "
     "%f = Softmax (%c) {axis = -1} %h = MatMul (%f, %v) %u = Transpose (%h) {perm = [0,2,1,3]} "
     "%y = Reshape (%u, %o)"},
    {"shape_arithmetic", kImage,
     "const %i: i64[1] = {0} const %m: i64[1] = {-1} %s = Shape (%x) %n = Gather (%s, %i) {axis = 0} "
     "%t = Concat (%n, %m) {axis = 0} %y = Reshape (%x, %t)"},
    {"qdq_conv", kImage,
     "const %w: f32[6,4,3,3] = rand(1) const %xs: f32[] = {0.0078125} const %xz: u8[] = {120} "
     "const %ws: f32[6] = {0.01,0.02,0.015,0.008,0.03,0.01} const %wz: i8[6] = {0,0,0,0,0,0} "
     "%xq = QuantizeLinear (%x, %xs, %xz) %xd = DequantizeLinear (%xq, %xs, %xz) "
     "%wq = QuantizeLinear (%w, %ws, %wz) {axis = 0} %wd = DequantizeLinear (%wq, %ws, %wz) {axis = 0} "
     "%y = Conv (%xd, %wd)"},
    {"qdq_last_axis", kMatrix,
     "const %w: i8[8,2] = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,-128} const %s: f32[2] = {0.1, 0.2} const %z: "
     "i8[2] = {0, 0} "
     "%wd = DequantizeLinear (%w, %s, %z) {axis = 1} %y = MatMul (%x, %wd)"},
    {"qdq_four_bits", kMatrix,
     "const %l: f32[] = {-0.875} const %h: f32[] = {0.875} const %s: f32[] = {0.125} const %z: i8[] = {0} "
     "%c = Clip (%x, %l, %h) %q = QuantizeLinear (%c, %s, %z) %y = DequantizeLinear (%q, %s, %z)"},
};

class OperatorTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (const auto missing = plugin_missing()) GTEST_SKIP() << *missing;
  }
};

std::vector<Tensor> random_inputs(const ir::Graph& graph, uint64_t seed) {
  Random random(seed);
  std::vector<Tensor> inputs;
  for (const ir::ValueId id : graph.inputs()) {
    Tensor tensor(DType::Float32, *graph.value(id).type.shape);
    for (float& v : tensor.mutable_data<float>()) v = random.uniform(-1.5f, 1.5f);
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

TEST_P(OperatorTest, EqualsTheInterpreter) {
  const Case& c = GetParam();
  const ir::Graph graph =
      ir::parse(fmt::format("graph \"{}\" {{ {} {} output %y }}", c.name, c.inputs, c.body));
  const std::vector<Tensor> inputs = random_inputs(graph, 7);
  const std::vector<Tensor> expected = ir::evaluate(graph, ops::standard(), inputs);
  TorchRunner runner(graph, 2);
  const std::vector<Tensor> got = runner.run(inputs);
  ASSERT_EQ(got.size(), 1u);
  ASSERT_EQ(got[0].shape(), expected[0].shape());
  EXPECT_LE(max_abs_difference(got[0], expected[0]), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, OperatorTest, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// What the plug-in claims is tested: each line of operators.inc stands in a case above.
TEST(Operators, EachHasACase) {
  std::set<std::string> tested{"FakeQuantize"};  // what the qdq cases become
  for (const Case& c : kCases) {
    const ir::Graph graph =
        ir::parse(fmt::format("graph \"{}\" {{ {} {} output %y }}", c.name, c.inputs, c.body));
    for (const ir::NodeId id : graph.topological_order()) tested.insert(graph.node(id).op);
  }
#define KVANT_ENTRY(op, function) EXPECT_TRUE(tested.count(#op)) << "no case for " #op;
#include "train/torch/operators.inc"
#undef KVANT_ENTRY
}

class RunnerTest : public OperatorTest {};

TEST_F(RunnerTest, ErrorsNameTheNode) {
  const ir::Graph graph = ir::parse(R"(graph "g" { input %x: f32[2,3]
    const %s: i64[1] = {5}  %y = Reshape "to5" (%x, %s)  output %y })");
  TorchRunner runner(graph, 1);
  try {
    runner.run(random_inputs(graph, 1));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("node 'to5' (Reshape): shape '[5]' is invalid for input of size 6"));
  }
}

TEST_F(RunnerTest, WatchedTensorsAreShown) {
  const ir::Graph graph = ir::parse(R"(graph "g" { input %x: f32[2,3]
    %a = Relu "relu" (%x)  %y = Neg "neg" (%a)  output %y })");
  TorchRunner runner(graph, 1);
  runner.watch({"a", "x"});
  const std::vector<Tensor> inputs = random_inputs(graph, 1);
  std::map<std::string, Tensor> seen;
  const auto outputs =
      runner.run(inputs, [&](const std::string& name, const Tensor& t) { seen.emplace(name, t); });
  EXPECT_EQ(outputs.size(), 1u);
  EXPECT_EQ(seen.at("x"), inputs[0]);
  EXPECT_GE(seen.at("a").data<float>()[0], 0.0f);
  EXPECT_THROW(runner.watch({"nobody"}), Error);
}

TEST_F(RunnerTest, BenchGivesATimeForEachIteration) {
  const ir::Graph graph = ir::parse(R"(graph "g" { input %x: f32[2,3] %y = Relu (%x) output %y })");
  TorchRunner runner(graph, 1);
  const std::vector<double> times = runner.bench(random_inputs(graph, 1), 5, 2);
  ASSERT_EQ(times.size(), 5u);
  for (const double ms : times) EXPECT_GT(ms, 0);
}

}  // namespace
}  // namespace kvant::train
