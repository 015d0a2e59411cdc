// SPDX-License-Identifier: Apache-2.0
// Every tactic of every backend against the operators' reference evaluation, through the Backend interface:
// bit for bit where codes come out, within rounding where floats do.
#include "backends/backends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/one_node.h"
#include "base/random.h"

namespace kvant::backends {
namespace {

using testing::HasSubstr;

Tensor codes(DType dtype, Shape shape, uint64_t seed) {
  Tensor t(dtype, std::move(shape));
  Random random(seed);
  std::byte* bytes = t.mutable_raw();
  for (size_t i = 0; i < t.byte_size(); ++i) bytes[i] = static_cast<std::byte>(random.next());
  return t;
}

Tensor reals(Shape shape, uint64_t seed, float low = -2.0f, float high = 2.0f) {
  Tensor t(DType::Float32, std::move(shape));
  Random random(seed);
  for (float& v : t.mutable_data<float>()) v = random.uniform(low, high);
  return t;
}

// Those of the host, and the kernels of a card: in the emulator, or on the card that KVANT_TEST_DEVICE names.
std::span<const engine::Backend* const> every_backend() {
  const char* given = std::getenv("KVANT_TEST_DEVICE");
  static const DeviceBackends device(given != nullptr ? given : "emulated-cuda");
  return device.list();
}

const engine::Backend& cpu() {
  static const auto backends = all();
  return *backends.at(0);
}

// Runs the node on all tactics, on one and two threads. `on_cpu`: the CPU backend must have a kernel for it.
void expect_reference(const OneNode& one, bool on_cpu = true, float tolerance = 1e-4f) {
  const Tensor expected = one.expected();
  for (const engine::Backend* backend : every_backend()) {
    const std::shared_ptr<engine::Session> session = backend->open();
    for (const int threads : {1, 2}) {
      if (session && threads > 1) continue;
      std::string why;
      const std::vector<std::string> tactics = backend->tactics(one.view(false, threads), why);
      if (on_cpu ? backend->name() != "cuda" : backend->name() == "reference") {
        EXPECT_FALSE(tactics.empty()) << backend->name() << ": " << why;
      }
      for (const std::string& tactic : tactics) {
        SCOPED_TRACE(fmt::format("{} on {}/{}", one.node.op, backend->name(), tactic));
        const std::vector<Tensor> packed = backend->pack(one.view(false, threads), tactic);
        const Tensor actual =
            one.run(*backend->load(one.view(true, threads), tactic, packed), threads, session.get());
        if (expected.dtype() == DType::Float32) {
          EXPECT_LE(max_abs_difference(actual, expected), tolerance);
        } else {
          EXPECT_TRUE(actual == expected);
        }
      }
    }
  }
}

ir::Attributes conv_attributes(std::string output) {
  return {{"strides", std::vector<int64_t>{2, 1}},
          {"pads", std::vector<int64_t>{1, 1, 1, 1}},
          {"dilations", std::vector<int64_t>{1, 1}},
          {"group", int64_t{1}},
          {"x_zero_point", int64_t{7}},
          {"output", std::move(output)},
          {"activation", std::string()},
          {"y_zero_point", int64_t{11}},
          {"low", int64_t{0}},
          {"high", int64_t{120}}};
}

OneNode qconv(ir::Attributes attributes, Tensor residual = {}) {
  const bool plain = residual.rank() != 4;
  return OneNode("QConv", std::move(attributes),
                 {codes(DType::UInt8, {2, 9, 8, 12}, 1), codes(DType::Int8, {40, 3, 3, 12}, 2),
                  reals({40}, 3, 1e-4f, 1e-3f), reals({40}, 4, -20, 20), std::move(residual)},
                 plain ? std::vector<int>{4} : std::vector<int>{}, {0, 4});
}

TEST(CpuBackend, QConv) {
  expect_reference(qconv(conv_attributes("u8")));
  expect_reference(qconv(conv_attributes("f32")));
  ir::Attributes sum = conv_attributes("u8");
  sum.set("residual_multiplier", 0.4f);
  sum.set("residual_zero_point", int64_t{-5});
  expect_reference(qconv(sum, codes(DType::Int8, {2, 5, 8, 40}, 5)));
  ir::Attributes silu = conv_attributes("u8");
  silu.set("activation", std::string("Silu"));
  silu.set("inverse_scale", 3.5f);
  expect_reference(qconv(silu));
}

// Signed codes that are never negative, read as u8.
TEST(CpuBackend, QConvOfNonnegativeCodes) {
  for (const int64_t zero_point : {int64_t{0}, int64_t{5}, int64_t{-3}}) {
    Tensor x = codes(DType::Int8, {2, 9, 8, 12}, 1);
    for (int8_t& code : x.mutable_data<int8_t>()) code &= 127;
    ir::Attributes attributes = conv_attributes("i8");
    attributes.set("x_zero_point", zero_point);
    attributes.set("y_zero_point", int64_t{0});
    attributes.set("x_low", int64_t{0});
    expect_reference(OneNode(
        "QConv", std::move(attributes),
        {x, codes(DType::Int8, {40, 3, 3, 12}, 2), reals({40}, 3, 1e-4f, 1e-3f), reals({40}, 4, -20, 20)}, {},
        {0}));
  }
}

TEST(CpuBackend, QGemm) {
  for (const int64_t rows : {1, 5}) {
    const OneNode one(
        "QGemm",
        {{"x_zero_point", int64_t{-3}}, {"output", std::string("f32")}, {"activation", std::string("Relu")}},
        {codes(DType::Int8, {rows, 70}, 1), codes(DType::Int8, {10, 70}, 2), reals({10}, 3, 1e-4f, 1e-3f),
         reals({10}, 4)});
    expect_reference(one);
  }
}

TEST(CpuBackend, QAddAndQMul) {
  const ir::Attributes add{{"a_multiplier", 0.7f},         {"b_multiplier", 0.45f},
                           {"a_zero_point", int64_t{100}}, {"b_zero_point", int64_t{-7}},
                           {"y_zero_point", int64_t{3}},   {"low", int64_t{3}},
                           {"high", int64_t{255}},         {"output", std::string("u8")}};
  const Tensor a = codes(DType::UInt8, {2, 5, 7, 19}, 1), b = codes(DType::Int8, {2, 5, 7, 19}, 2);
  expect_reference(OneNode("QAdd", add, {a, b}, {}, {0, 1}));
  const ir::Attributes mul{{"multiplier", 0.01f},         {"a_zero_point", int64_t{100}},
                           {"b_zero_point", int64_t{-7}}, {"y_zero_point", int64_t{-20}},
                           {"low", int64_t{-128}},        {"high", int64_t{127}},
                           {"output", std::string("i8")}};
  expect_reference(OneNode("QMul", mul, {a, b}, {}, {0, 1}));
  expect_reference(OneNode("QMul", mul, {a, codes(DType::Int8, {2, 1, 1, 19}, 3)}, {}, {0, 1}));
}

TEST(CpuBackend, AffineByChannel) {
  for (const DType dtype : {DType::UInt8, DType::Int8}) {
    for (const int64_t channels : {1, 19, 80}) {
      for (const char* activation : {"", "Relu"}) {
        ir::Attributes a{{"x_scale", 0.031f},          {"x_zero_point", int64_t{-5}},
                         {"y_scale", 0.017f},          {"activation", std::string(activation)},
                         {"y_zero_point", int64_t{3}}, {"low", int64_t{3}},
                         {"high", int64_t{200}},       {"output", std::string("u8")}};
        if (dtype == DType::UInt8) a.set("x_zero_point", int64_t{120});
        expect_reference(
            OneNode("QChannelAffine", a,
                    {codes(dtype, {2, 3, 5, channels}, 1), reals({channels}, 2), reals({channels}, 3)}));
      }
    }
  }
}

TEST(CpuBackend, SumsOfCodesAndReals) {
  const ir::Attributes attributes{{"a_scale", 0.031f},          {"a_zero_point", int64_t{-5}},
                                  {"y_scale", 0.017f},          {"y_zero_point", int64_t{-7}},
                                  {"low", int64_t{-128}},       {"high", int64_t{127}},
                                  {"output", std::string("i8")}};
  Tensor b = reals({3, 5, 19}, 2);
  b.mutable_data<float>()[7] = std::numeric_limits<float>::infinity();
  b.mutable_data<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  expect_reference(OneNode("QAddReal", attributes, {codes(DType::Int8, {3, 5, 19}, 1), b}, {}, {0, 1}));
}

TEST(CpuBackend, PoolsOfCodes) {
  ir::Attributes window{{"kernel_shape", std::vector<int64_t>{3, 2}},
                        {"strides", std::vector<int64_t>{2, 1}},
                        {"pads", std::vector<int64_t>{1, 1, 1, 0}},
                        {"dilations", std::vector<int64_t>{1, 1}}};
  for (const DType dtype : {DType::UInt8, DType::Int8}) {
    const Tensor x = codes(dtype, {2, 9, 8, 37}, 1);
    expect_reference(OneNode("MaxPoolNhwc", window, {x}));
    ir::Attributes average{{"multiplier", 0.8f}, {"x_zero_point", int64_t{5}}, {"y_zero_point", int64_t{9}},
                           {"low", int64_t{0}},  {"high", int64_t{100}},       {"output", std::string("u8")}};
    expect_reference(OneNode("QGlobalAveragePool", average, {x}));
    for (const int64_t include : {0, 1}) {
      ir::Attributes both = window;
      both.erase("dilations");
      for (const auto& [name, value] : average) both.set(name, value);
      both.set("count_include_pad", include);
      expect_reference(OneNode("QAveragePool", both, {x}));
    }
  }
}

TEST(CpuBackend, PoolsOfFloats) {
  const Tensor x = reals({2, 9, 8, 37}, 1);
  ir::Attributes window{{"kernel_shape", std::vector<int64_t>{3, 3}},
                        {"strides", std::vector<int64_t>{2, 2}},
                        {"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  expect_reference(OneNode("MaxPoolNhwc", window, {x}));
  expect_reference(OneNode("AveragePoolNhwc", window, {x}));
  expect_reference(OneNode("GlobalAveragePoolNhwc", {}, {x}));
}

TEST(CpuBackend, QLut) {
  for (const DType result : {DType::UInt8, DType::Int8}) {
    expect_reference(OneNode("QLut", {}, {codes(DType::Int8, {3, 1001}, 1), codes(result, {256}, 2)}));
  }
  expect_reference(OneNode("QLut", {}, {codes(DType::UInt8, {3, 1001}, 1), reals({256}, 2)}));
}

TEST(CpuBackend, QuantizeAndDequantize) {
  Tensor x = reals({3, 41, 7}, 1, -40, 40);
  auto values = x.mutable_data<float>();
  values[0] = std::nanf(""), values[1] = INFINITY, values[2] = -INFINITY, values[3] = 1e30f,
  values[4] = -0.0f;
  for (size_t i = 5; i < 60; ++i) values[i] = (static_cast<float>(i) + 0.5f) * 0.25f;  // ties
  for (const DType dtype : {DType::UInt8, DType::Int8}) {
    const Tensor zero = codes(dtype, {}, 3);
    expect_reference(OneNode("QuantizeLinear", {}, {x, Tensor::scalar(0.25f), zero}));
    expect_reference(OneNode("QuantizeLinear", {}, {x, Tensor::scalar(0.3f), zero}));
    expect_reference(OneNode("DequantizeLinear", {}, {codes(dtype, {3, 333}, 4), Tensor::scalar(0.3f), zero}),
                     true, 0.0f);
  }
}

TEST(CpuBackend, MovesData) {
  for (const DType dtype : {DType::UInt8, DType::Float32, DType::Int64}) {
    const Tensor x = codes(dtype == DType::Float32 ? DType::Int32 : dtype, {2, 3, 35, 33}, 1);
    for (const std::vector<int64_t>& perm : std::vector<std::vector<int64_t>>{
             {0, 2, 3, 1}, {0, 3, 1, 2}, {3, 2, 1, 0}, {1, 0, 2, 3}, {0, 1, 2, 3}, {2, 0, 3, 1}}) {
      expect_reference(OneNode("Transpose", {{"perm", perm}}, {x}));
    }
    const Tensor blocks = codes(x.dtype(), {2, 5, 7, 2, 3, 9}, 3);  // as DepthToSpace cuts them
    for (const std::vector<int64_t>& perm :
         std::vector<std::vector<int64_t>>{{0, 1, 3, 2, 4, 5}, {0, 1, 4, 2, 5, 3}, {5, 4, 3, 2, 1, 0}}) {
      expect_reference(OneNode("Transpose", {{"perm", perm}}, {blocks}));
    }
    expect_reference(OneNode("Reshape", {}, {x, Tensor::vector<int64_t>({2, -1, 5})}));
    expect_reference(OneNode("Flatten", {{"axis", int64_t{1}}}, {x}));
    const Tensor other = codes(x.dtype(), {2, 4, 35, 33}, 2);
    expect_reference(OneNode("Concat", {{"axis", int64_t{1}}}, {x, other, x}, {}, {0, 2}));
  }
  const Tensor a = codes(DType::UInt8, {2, 5, 5, 3}, 1), b = codes(DType::UInt8, {2, 5, 5, 8}, 2);
  expect_reference(OneNode("QConcat", {{"axis", int64_t{-1}}}, {a, b}, {}, {0, 1}));
}

// Every result of a Split.
void expect_parts(ir::Attributes attributes, std::vector<Tensor> operands, size_t parts) {
  OneNode one("Identity", {}, {operands[0]});
  one.inputs = operands;
  one.node.inputs.clear();
  for (size_t i = 0; i < operands.size(); ++i) one.node.inputs.push_back(static_cast<ir::ValueId>(i));
  one.is_constant.resize(operands.size(), true);
  one.node.op = "Split";
  one.node.attributes = std::move(attributes);
  one.node.outputs.clear();
  for (size_t i = 0; i < parts; ++i) one.node.outputs.push_back(static_cast<ir::ValueId>(100 + i));
  one.types = one.definition().infer({one.node, one.input_types(), one.pointers(true)});
  const std::vector<Tensor> expected = one.definition().evaluate({one.node, one.pointers(false)});
  const auto backends = all();
  std::string why;
  const auto tactics = backends[0]->tactics(one.view(false, 2), why);
  ASSERT_EQ(tactics, std::vector<std::string>{"move"}) << why;
  const auto step =
      backends[0]->load(one.view(true, 2), "move", backends[0]->pack(one.view(false, 2), "move"));
  std::vector<Tensor> results;
  std::vector<std::byte*> places;
  for (const ir::Type& type : one.types) results.emplace_back(type.dtype, *type.shape);
  for (Tensor& result : results) places.push_back(result.mutable_raw());
  std::vector<const std::byte*> in(one.inputs.size(), nullptr);
  in[0] = one.inputs[0].raw();
  ThreadTeam team(2);
  step->run({in, places, nullptr, team});
  EXPECT_EQ(results, expected);
}

// An input without elements has no memory, and is no absent one.
TEST(ReferenceBackend, TakesEmptyInputs) {
  expect_reference(OneNode("CastLike", {}, {reals({3}, 1), Tensor(DType::Int32, {0})}, {}, {0, 1}), false);
}

TEST(CpuBackend, MovesElements) {
  for (const DType dtype : {DType::UInt8, DType::Int32, DType::Int64}) {
    const Tensor x = codes(dtype, {2, 12, 9, 10}, 1);
    expect_parts({{"axis", int64_t{1}}}, {x, Tensor::vector<int64_t>({5, 4, 3})}, 3);
    expect_parts({{"axis", int64_t{-1}}, {"num_outputs", int64_t{2}}}, {x}, 2);
    expect_reference(OneNode("Slice", {},
                             {x, Tensor::vector<int64_t>({-1, 1}), Tensor::vector<int64_t>({-9, 8}),
                              Tensor::vector<int64_t>({3, 1}), Tensor::vector<int64_t>({-2, 3})}));
    const Tensor pads = Tensor::vector<int64_t>({0, 1, 2, 0, 0, 0, 1, 3});
    expect_reference(OneNode("Pad", {}, {x, pads, codes(dtype, {}, 2)}));
    expect_reference(OneNode("Pad", {}, {x, pads}));
    for (const char* mode : {"edge", "reflect"})
      expect_reference(OneNode("Pad", {{"mode", std::string(mode)}}, {x, pads}));
    expect_reference(OneNode("Gather", {{"axis", int64_t{1}}}, {x, Tensor::vector<int64_t>({3, -1, 0, 3})}));
    expect_reference(OneNode("Gather", {{"axis", int64_t{2}}}, {x, Tensor::scalar<int64_t>(4)}));
    expect_reference(
        OneNode("Expand", {}, {codes(dtype, {1, 3, 1}, 3), Tensor::vector<int64_t>({2, 1, 3, 5})}));
    expect_reference(OneNode("Tile", {}, {codes(dtype, {2, 3}, 3), Tensor::vector<int64_t>({2, 3})}));
    expect_reference(OneNode("DepthToSpace", {{"blocksize", int64_t{2}}}, {x}));
    expect_reference(OneNode("SpaceToDepth", {{"blocksize", int64_t{2}}}, {codes(dtype, {1, 3, 4, 6}, 3)}));
  }
  Tensor scales(DType::Float32, {4});
  for (size_t i = 0; i < 4; ++i) scales.mutable_data<float>()[i] = i < 2 ? 1.0f : 2.0f;
  const ir::Attributes nearest{{"mode", std::string("nearest")},
                               {"coordinate_transformation_mode", std::string("asymmetric")},
                               {"nearest_mode", std::string("floor")}};
  for (const DType dtype : {DType::UInt8, DType::Int8})
    expect_reference(OneNode("Resize", nearest, {codes(dtype, {1, 3, 5, 4}, 1), reals({0}, 1), scales}, {1}));
  expect_reference(OneNode("Resize", nearest, {reals({1, 3, 5, 4}, 1), reals({0}, 1), scales}, {1}));
}

TEST(CpuBackend, PRelu) {
  expect_reference(OneNode("PRelu", {}, {reals({2, 3, 5, 19}, 1), reals({19}, 2)}));
  expect_reference(OneNode("PRelu", {}, {reals({2, 3, 5, 4}, 1), reals({3, 1, 1}, 2)}));
  expect_reference(OneNode("PRelu", {}, {reals({2, 3, 5, 4}, 1), reals({1}, 2)}));
  expect_reference(OneNode("PRelu", {}, {reals({5, 70}, 1), reals({5, 70}, 2)}, {}, {0, 1}));
}

TEST(CpuBackend, Interpolates) {
  const auto resize = [](const Shape& x, std::string mode, std::string coordinates, std::vector<int64_t> axes,
                         const std::vector<int64_t>& sizes) {
    return OneNode(
        "Resize",
        {{"mode", std::move(mode)},
         {"coordinate_transformation_mode", std::move(coordinates)},
         {"axes", std::move(axes)}},
        {reals(x, 1), Tensor(DType::Float32, {0}), Tensor(DType::Float32, {0}), Tensor::vector(sizes)},
        {1, 2});
  };
  for (const char* mode : {"linear", "cubic"}) {
    for (const char* coordinates : {"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"}) {
      expect_reference(resize({2, 5, 7, 19}, mode, coordinates, {1, 2}, {11, 3}));
      expect_reference(resize({2, 3, 5, 7}, mode, coordinates, {2, 3}, {1, 20}));
      expect_reference(resize({2, 3, 5, 7}, mode, coordinates, {3}, {16}));
      expect_reference(resize({3, 2, 5, 4}, mode, coordinates, {1, 3}, {5, 9}));
      expect_reference(resize({4, 3, 33}, mode, coordinates, {0}, {7}));
    }
  }
  std::string why;
  const OneNode three = resize({3, 2, 5, 4}, "linear", "half_pixel", {0, 1, 2}, {2, 5, 9});
  EXPECT_THAT(cpu().tactics(three.view(false, 1), why).empty() ? why : "accepted",
              HasSubstr("not one or two axes"));
}

TEST(CpuBackend, FloatElementwise) {
  const Tensor x = reals({2, 5, 7, 19}, 1);
  for (const char* op : {"Add", "Mul"}) {
    expect_reference(OneNode(op, {}, {x, reals({2, 5, 7, 19}, 2)}, {}, {0, 1}));
    expect_reference(OneNode(op, {}, {x, reals({19}, 2)}));
    expect_reference(OneNode(op, {}, {reals({}, 2), x}, {}, {1}));
    expect_reference(OneNode(op, {}, {x, reals({1, 5, 1, 1}, 2)}));
    expect_reference(OneNode(op, {}, {reals({2, 1, 1, 19}, 2), x}, {}, {0, 1}));
    expect_reference(OneNode(op, {}, {x, reals({2, 5, 1, 1}, 2)}, {}, {0, 1}));
    expect_reference(OneNode(op, {}, {x, reals({5, 1, 19}, 2)}));
    expect_reference(OneNode(op, {}, {reals({1, 1}, 1), reals({1}, 2)}));
    expect_reference(OneNode(op, {}, {x, reals({1, 1, 1, 1, 1}, 2)}), false);
    expect_reference(OneNode(op, {}, {reals({2, 1, 3}, 1), reals({4, 1}, 2)}), false);
  }
  for (const char* op : {"Min", "Max"}) {
    for (const DType dtype : {DType::Int8, DType::UInt8}) {
      const Tensor y = codes(dtype, {2, 5, 7, 67}, 4);
      expect_reference(OneNode(op, {}, {y, codes(dtype, {67}, 5)}));
      expect_reference(OneNode(op, {}, {codes(dtype, {67}, 5), y}, {}, {1}));
      expect_reference(OneNode(op, {}, {y, codes(dtype, {5, 1, 1}, 5)}));
      expect_reference(OneNode(op, {}, {y, codes(dtype, {2, 5, 7, 67}, 5)}, {}, {0, 1}));
    }
  }
  for (const char* op : {"Sub", "Div", "Min", "Max", "Pow"}) {
    const Tensor positive = reals({2, 5, 7, 19}, 3, 0.5f, 2);
    expect_reference(OneNode(op, {}, {positive, reals({2, 5, 7, 19}, 2, 0.5f, 2)}, {}, {0, 1}));
    expect_reference(OneNode(op, {}, {reals({19}, 2, 0.5f, 2), positive}, {}, {0, 1}));
    expect_reference(OneNode(op, {}, {positive, reals({5, 1, 1}, 2, 0.5f, 2)}));
    expect_reference(OneNode(op, {}, {Tensor::scalar(2.0f), positive}, {}, {1}));
    expect_reference(OneNode(op, {}, {x, Tensor::scalar(2.0f)}));
  }
  for (const char* op : {"Erf", "Sqrt", "Exp", "Log", "Neg", "Abs", "Reciprocal", "Floor", "Ceil", "Round"})
    expect_reference(OneNode(op, {}, {reals({2, 5, 7, 19}, 3, 0.5f, 2)}));
  for (const char* op : {"Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Gelu",
                         "Softplus", "Mish"}) {
    expect_reference(OneNode(op, {}, {x}));
  }
  expect_reference(OneNode("Clip", {}, {x, Tensor::scalar(-0.5f), Tensor::scalar(1.0f)}));
}

TEST(CpuBackend, FloatConvolutions) {
  for (const int64_t group : {1, 2, 12}) {
    for (const char* activation : {"", "Relu", "Silu", "HardSwish", "HardSigmoid", "Clip"}) {
      const ir::Attributes attributes{{"strides", std::vector<int64_t>{2, 1}},
                                      {"pads", std::vector<int64_t>{1, 0, 0, 1}},
                                      {"dilations", std::vector<int64_t>{1, 2}},
                                      {"group", group},
                                      {"activation", std::string(activation)},
                                      {"alpha", 0.2f},
                                      {"beta", 0.5f}};
      const Tensor x = reals({2, 9, 8, 12}, 1), w = reals({24, 12 / group, 3, 3}, 2), bias = reals({24}, 3);
      OneNode plain("ConvNhwc", attributes, {x, w, bias});
      expect_reference(plain);
      expect_reference(
          OneNode("ConvNhwc", attributes, {x, w, bias, reals(*plain.types[0].shape, 4)}, {2}, {0, 3}));
    }
  }
}

TEST(CpuBackend, FloatProducts) {
  const Tensor w = reals({33, 70}, 2);
  expect_reference(
      OneNode("Linear", {{"activation", std::string()}}, {reals({1, 70}, 1), w, reals({33}, 3)}));
  expect_reference(OneNode("Linear", {{"activation", std::string("Gelu")}},
                           {reals({3, 4, 70}, 1), w, reals({33}, 3), reals({3, 4, 33}, 4)}, {}, {0, 3}));
}

// ---- Refusals: plans and models are untrusted.
// ----------------------------------------------------------------------

template <class Fn>
std::string message_of(Fn&& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(CpuBackend, ProductsOfActivations) {
  const auto product = [](Shape a, Shape b) {
    expect_reference(OneNode("MatMul", {}, {reals(std::move(a), 1), reals(std::move(b), 2)}, {}, {0, 1}));
  };
  product({5, 8}, {8, 7});
  product({2, 3, 50, 16}, {2, 3, 16, 33});
  product({4, 5, 8}, {8, 7});           // the second is repeated
  product({2, 1, 5, 8}, {1, 3, 8, 7});  // each is repeated along another dimension
  product({1, 1}, {1, 1});
  expect_reference(OneNode("MatMul", {}, {reals({5, 8}, 1), reals({2, 8, 7}, 2)}));  // constant
}

TEST(CpuBackend, ProductsOfCodes) {
  using Axes = std::vector<int64_t>;
  const auto product = [](Shape a, Shape b, const Axes& pa, const Axes& pb, const Axes& py,
                          const char* output, DType ta, DType tb) {
    ir::Attributes attributes{{"multiplier", 0.0003f},
                              {"a_zero_point", int64_t{ta == DType::UInt8 ? 117 : -9}},
                              {"b_zero_point", int64_t{tb == DType::UInt8 ? 31 : 5}},
                              {"output", std::string(output)}};
    if (!pa.empty()) attributes.set("a_perm", pa);
    if (!pb.empty()) attributes.set("b_perm", pb);
    if (!py.empty()) attributes.set("y_perm", py);
    if (std::string(output) != "f32") {
      attributes.set("y_zero_point", int64_t{7});
      attributes.set("low", int64_t{0});
      attributes.set("high", int64_t{120});
      attributes.set("multiplier", 0.0011f);
    }
    expect_reference(
        OneNode("QMatMul", attributes, {codes(ta, std::move(a), 1), codes(tb, std::move(b), 2)}, {}, {0, 1}),
        true, 0.0f);
  };
  for (const DType a : {DType::UInt8, DType::Int8}) {
    for (const DType b : {DType::UInt8, DType::Int8}) {
      for (const char* output : {"f32", "u8"}) {
        product({5, 8}, {8, 7}, {}, {}, {}, output, a, b);
        product({1, 1}, {1, 1}, {}, {}, {}, output, a, b);
        product({2, 3, 50, 16}, {2, 3, 16, 33}, {}, {}, {}, output, a, b);
        product({3, 29, 67}, {3, 67, 130}, {}, {}, {}, output, a, b);
        product({1, 37, 3, 20}, {1, 37, 3, 20}, {0, 2, 1, 3}, {0, 2, 3, 1}, {}, output, a, b);
        product({2, 3, 19, 37}, {2, 37, 3, 64}, {}, {0, 2, 1, 3}, {0, 2, 1, 3}, output, a, b);
        product({70, 9}, {70, 5}, {1, 0}, {}, {}, output, a, b);
      }
    }
  }
}

TEST(CpuBackend, RowsToCodes) {
  for (const auto& [output, low, high] : {std::tuple{"u8", 0, 255}, {"i8", -128, 100}}) {
    const ir::Attributes result{{"output", std::string(output)},
                                {"y_zero_point", int64_t{low == 0 ? 3 : -90}},
                                {"low", int64_t{low}},
                                {"high", int64_t{high}}};
    ir::Attributes softmax = result, norm = result;
    norm.set("y_scale", 0.031f);
    for (const float scale : {1.0f / 255, 0.0007f}) {
      softmax.set("y_scale", scale);
      expect_reference(OneNode("QSoftmax", softmax, {reals({40, 197}, 3, -6, 6)}));
      expect_reference(OneNode("QSoftmax", softmax, {reals({7, 1, 5}, 3, -60, 80)}));
      expect_reference(OneNode("QSoftmax", softmax, {reals({3, 2, 1}, 3)}));
      for (const int64_t axis : {0, 1}) {  // columns: fewer than are taken together, as many, and some more
        ir::Attributes along = softmax;
        along.set("axis", axis);
        expect_reference(OneNode("QSoftmax", along, {reals({2, 16, 7}, 3, -6, 6)}));
        expect_reference(OneNode("QSoftmax", along, {reals({3, 5, 32}, 3, -6, 6)}));
        expect_reference(OneNode("QSoftmax", along, {reals({1, 16, 83}, 3, -6, 6)}));
      }
    }
    const Tensor gain = reals({70}, 5), bias = reals({70}, 6);
    expect_reference(OneNode("QLayerNormalization", norm, {reals({400, 70}, 4), gain, bias}));
    expect_reference(OneNode("QLayerNormalization", norm, {reals({9, 70}, 4, 1000, 1001), gain}));
    norm.set("axis", int64_t{1});
    expect_reference(OneNode("QLayerNormalization", norm, {reals({4, 7, 10}, 4), gain.reshaped({7, 10})}));
  }
}

TEST(CpuBackend, Softmax) {
  for (const int64_t axis : {-1, 1, 0}) {
    expect_reference(OneNode("Softmax", {{"axis", axis}}, {reals({3, 17, 29}, 3, -20, 20)}));
    expect_reference(OneNode("Softmax", {{"axis", axis}}, {reals({2, 1, 1}, 3)}));
  }
}

TEST(CpuBackend, LayerNormalization) {
  expect_reference(OneNode("LayerNormalization", {}, {reals({2, 7, 24}, 4), reals({24}, 5), reals({24}, 6)}));
  expect_reference(OneNode("LayerNormalization", {{"epsilon", 1e-2f}}, {reals({5, 24}, 4), reals({24}, 5)}));
  expect_reference(OneNode("LayerNormalization", {{"axis", int64_t{1}}},
                           {reals({4, 3, 8}, 4, 5, 9), reals({3, 8}, 5), reals({3, 8}, 6)}, {}, {0, 1, 2}));
  // One value for all elements, as ONNX allows, is the reference's.
  expect_reference(OneNode("LayerNormalization", {}, {reals({5, 24}, 4), reals({1}, 5)}), false);
}

TEST(CpuBackend, MeansOverAxes) {
  const auto mean = [](Shape shape, std::vector<int64_t> axes, int64_t keep) {
    expect_reference(
        OneNode("ReduceMean", {{"keepdims", keep}}, {reals(std::move(shape), 7), Tensor::vector(axes)}));
  };
  for (const int64_t keep : {0, 1}) {
    mean({2, 6, 5, 7}, {2, 3}, keep);
    mean({2, 6, 33}, {-1}, keep);
    mean({2, 6, 33}, {1}, keep);
    mean({4, 9}, {0, 1}, keep);
  }
}

TEST(CpuBackend, RefusesPackedWeightsOfAnotherSize) {
  const OneNode one = qconv(conv_attributes("u8"));
  std::string why;
  const std::string tactic = cpu().tactics(one.view(false, 1), why).at(0);
  std::vector<Tensor> packed = cpu().pack(one.view(false, 1), tactic);
  packed[0] = Tensor(DType::UInt8, {packed[0].size() - 1});
  EXPECT_THAT(message_of([&] { cpu().load(one.view(true, 1), tactic, packed); }),
              HasSubstr("bytes of packed weights"));
  EXPECT_THAT(message_of([&] { cpu().load(one.view(true, 1), tactic, {}); }),
              HasSubstr("build the plan anew"));
  EXPECT_THAT(message_of([&] { cpu().load(one.view(true, 1), "magic", packed); }),
              HasSubstr("unknown tactic 'magic'"));
  packed[1] = Tensor::vector<int64_t>({40, 3, 3, int64_t{1} << 40});
  EXPECT_THAT(message_of([&] { cpu().load(one.view(true, 1), tactic, packed); }), HasSubstr("absurd"));
}

TEST(CpuBackend, SaysWhyItCannot) {
  OneNode one = qconv(conv_attributes("u8"));
  one.node.attributes.set("x_zero_point", int64_t{300});
  std::string why;
  EXPECT_TRUE(cpu().tactics(one.view(false, 1), why).empty());
  EXPECT_THAT(why, HasSubstr("x_zero_point is 300, outside [0, 255]"));
  one = qconv(conv_attributes("u8"));
  one.is_constant[1] = false;
  EXPECT_TRUE(cpu().tactics(one.view(false, 1), why).empty());
  EXPECT_THAT(why, HasSubstr("the weight is not constant"));
  one = OneNode("QChannelAffine",
                {{"x_scale", 0.1f},
                 {"y_scale", 0.1f},
                 {"activation", std::string("Silu")},
                 {"output", std::string("u8")}},
                {codes(DType::UInt8, {2, 8}, 1), reals({8}, 2), reals({8}, 3)});
  EXPECT_TRUE(cpu().tactics(one.view(false, 1), why).empty());
  EXPECT_THAT(why, HasSubstr("only Relu is an activation"));
  one.node.op = "Hardmax";
  EXPECT_TRUE(cpu().tactics(one.view(false, 1), why).empty());
  EXPECT_EQ(why, "no CPU kernel for Hardmax");
}

TEST(ReferenceBackend, RefusesForeignConstants) {
  const auto backends = all();
  const engine::Backend& reference = *backends.at(1);
  const OneNode one("Relu", {}, {reals({3}, 1)});
  EXPECT_THAT(message_of([&] { reference.load(one.view(true, 1), "reference", {}); }),
              HasSubstr("packed constants"));
  EXPECT_THAT(message_of([&] { reference.load(one.view(true, 1), "fast", {}); }),
              HasSubstr("unknown tactic 'fast'"));
  EXPECT_THAT(
      message_of([&] {
        reference.load(one.view(true, 1), "reference", {Tensor::vector<int64_t>({5}), Tensor::scalar(1.0f)});
      }),
      HasSubstr("belongs to input 5"));
}

}  // namespace
}  // namespace kvant::backends
