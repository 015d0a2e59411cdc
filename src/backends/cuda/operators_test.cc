// SPDX-License-Identifier: Apache-2.0
// Operators that must run on the card, in the emulator against their reference evaluation, and why the card
// refuses what it leaves to the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "backends/backends.h"
#include "backends/one_node.h"
#include "base/random.h"

namespace kvant::backends {
namespace {

using testing::HasSubstr;
using Ints = std::vector<int64_t>;

const engine::Backend& card() {
  static const DeviceBackends device("emulated-cuda");
  return *device.list()[0];
}

Tensor noisy(Shape shape, uint64_t seed, float low = -2.0f, float high = 2.0f) {
  Tensor t(DType::Float32, std::move(shape));
  Random random(seed);
  for (float& v : t.mutable_data<float>()) v = random.uniform(low, high);
  return t;
}

// Bit for bit: sums in double are the definition's float.
void expect_on_card(const OneNode& one) {
  SCOPED_TRACE(one.node.op);
  const std::shared_ptr<engine::Session> session = card().open();
  std::string why;
  const std::vector<std::string> tactics = card().tactics(one.view(false, 1), why);
  ASSERT_FALSE(tactics.empty()) << why;
  for (const std::string& tactic : tactics) {
    const std::vector<Tensor> packed = card().pack(one.view(false, 1), tactic);
    EXPECT_EQ(one.run(*card().load(one.view(true, 1), tactic, packed), 1, session.get()), one.expected())
        << tactic;
  }
}

std::string refusal(const OneNode& one) {
  std::string why;
  EXPECT_TRUE(card().tactics(one.view(false, 1), why).empty()) << one.node.op;
  return why;
}

TEST(CudaOperators, ReductionsOverAnyAxes) {
  for (const char* op : {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"}) {
    for (const int64_t keep : {0, 1}) {
      const auto reduce = [&](Shape shape, Ints axes) {
        expect_on_card(OneNode(op, {{"keepdims", keep}}, {noisy(std::move(shape), 7), Tensor::vector(axes)}));
      };
      reduce({2, 6, 5, 7}, {2, 3});
      reduce({2, 65, 33}, {1});
      reduce({2, 6, 133}, {-1});
      reduce({4, 9}, {0, 1});
      reduce({3, 4, 5, 6, 2}, {0, 2, 4});
      reduce({3, 1, 5}, {1});
      reduce({1, 64, 192}, {1});
    }
    expect_on_card(OneNode(op, {}, {noisy({3, 40}, 8)}));
    expect_on_card(OneNode(op, {{"noop_with_empty_axes", int64_t{1}}}, {noisy({3, 40}, 8)}));
  }
}

TEST(CudaOperators, ANotANumberIsTheExtreme) {
  Tensor x = noisy({2, 70}, 3);
  x.mutable_data<float>()[40] = NAN;
  for (const char* op : {"ReduceMax", "ReduceMin"}) {
    const OneNode one(op, {}, {x, Tensor::vector<int64_t>({1})});
    std::string why;
    const std::string tactic = card().tactics(one.view(false, 1), why).at(0);
    const auto session = card().open();
    const std::vector<float> y =
        one.run(*card().load(one.view(true, 1), tactic, card().pack(one.view(false, 1), tactic)), 1,
                session.get())
            .to_floats();
    EXPECT_TRUE(std::isnan(y[0])) << op;
    EXPECT_EQ(y[1], one.expected().to_floats()[1]) << op;
  }
}

TEST(CudaOperators, SoftmaxOverAnyAxis) {
  for (const int64_t axis : {0, 1, 2, -1}) {
    expect_on_card(OneNode("Softmax", {{"axis", axis}}, {noisy({3, 16, 45}, 3, -20, 20)}));
    ir::Attributes codes{
        {"axis", axis},         {"output", std::string("i8")}, {"y_zero_point", int64_t{-128}},
        {"low", int64_t{-128}}, {"high", int64_t{127}},        {"y_scale", 1.0f / 255}};
    expect_on_card(OneNode("QSoftmax", codes, {noisy({2, 16, 130}, 3, -6, 6)}));
  }
}

Tensor no_roi() { return Tensor(DType::Float32, {0}); }

TEST(CudaOperators, ResizeByWeightedSums) {
  const Tensor x = noisy({2, 3, 5, 7}, 1);
  for (const char* mode : {"linear", "cubic"}) {
    for (const char* coordinates :
         {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"}) {
      const ir::Attributes attributes{{"mode", std::string(mode)},
                                      {"coordinate_transformation_mode", std::string(coordinates)}};
      for (const Shape& sizes : {Shape{2, 3, 10, 14}, {2, 3, 3, 20}, {2, 3, 5, 4}, {2, 8, 5, 7}})
        expect_on_card(
            OneNode("Resize", attributes, {x, no_roi(), Tensor(DType::Float32, {0}), Tensor::vector(sizes)}));
      expect_on_card(
          OneNode("Resize", attributes, {x, no_roi(), Tensor::vector(std::vector<float>{1, 2, 1, 1.7f})}));
    }
    expect_on_card(OneNode("Resize", {{"mode", std::string(mode)}, {"antialias", int64_t{1}}},
                           {x, no_roi(), Tensor::vector(std::vector<float>{1, 1, 0.6f, 0.4f})}));
  }
  expect_on_card(OneNode("Resize", {{"mode", std::string("nearest")}},
                         {x, no_roi(), Tensor::vector(std::vector<float>{1, 1, 2, 2})}));
}

TEST(CudaOperators, ResizeRefusesWhatIsLeftToTheHost) {
  const Tensor x = noisy({2, 3, 5, 7}, 1);
  const ir::Attributes linear{{"mode", std::string("linear")}};
  EXPECT_THAT(
      refusal(OneNode("Resize", linear, {x, no_roi(), Tensor::vector(std::vector<float>{1, 2, 2, 2})})),
      HasSubstr("not one or two axes are resized"));
  OneNode late("Resize", linear, {x, no_roi(), Tensor::vector(std::vector<float>{1, 1, 2, 2})});
  late.is_constant[2] = false;
  EXPECT_THAT(refusal(late), HasSubstr("the list of scales is not constant"));
  EXPECT_THAT(
      refusal(OneNode("ReduceMean", {},
                      {noisy({2, 2, 2, 2, 2, 2, 2, 2, 2, 2}, 1), Tensor::vector<int64_t>({0, 2, 4, 6, 8})})),
      HasSubstr("axes that stay and go take turns too often"));
}

TEST(CudaOperators, ConcatOfManyInputs) {
  std::vector<Tensor> inputs;
  for (int64_t i = 0; i < 11; ++i) inputs.push_back(noisy({2, 3 + i % 4, 8}, static_cast<uint64_t>(i)));
  std::vector<int> runtime(inputs.size());
  for (size_t i = 0; i < runtime.size(); ++i) runtime[i] = static_cast<int>(i);
  expect_on_card(OneNode("Concat", {{"axis", int64_t{1}}}, inputs, {}, runtime));
  for (const int64_t width : {1, 3, 4, 16, 48}) {
    Tensor a(DType::Int8, {2, 5, width}), b(DType::Int8, {2, 5, 2 * width}), c(DType::Int8, {2, 5, 16});
    Random random(9);
    for (Tensor* t : {&a, &b, &c}) {
      for (int8_t& code : t->mutable_data<int8_t>()) code = static_cast<int8_t>(random.next());
    }
    expect_on_card(OneNode("QConcat", {{"axis", int64_t{-1}}}, {a, b, c}, {}, {0, 1, 2}));
    expect_on_card(OneNode("QConcat", {{"axis", int64_t{-1}}}, {a, b, c}, {}, {0, 2}));
  }
}

Tensor any_codes(DType dtype, Shape shape, uint64_t seed) {
  Tensor t(dtype, std::move(shape));
  Random random(seed);
  for (size_t i = 0; i < t.byte_size(); ++i) t.mutable_raw()[i] = static_cast<std::byte>(random.next());
  return t;
}

void add_range(ir::Attributes& a, const std::string& prefix, bool is_signed, int64_t zero_point) {
  a.set(prefix + "output", std::string(is_signed ? "i8" : "u8"));
  a.set(prefix + "y_zero_point", zero_point);
  a.set(prefix + "low", int64_t{is_signed ? -128 : 0});
  a.set(prefix + "high", int64_t{is_signed ? 127 : 250});
}

// Tables: behind the reducing product and, or, the expanding one.
OneNode squeeze_excite(const Shape& x, int64_t hidden, bool is_signed, bool first_table, bool second_table) {
  const int64_t c = x[3], zero = is_signed ? -7 : 12;
  const DType codes = is_signed ? DType::Int8 : DType::UInt8;
  ir::Attributes a{{"pool_multiplier", 1.3f}, {"pool_x_zero_point", zero}, {"scale_multiplier", 0.004f}};
  a.set("reduce_x_zero_point", zero);
  a.set("expand_x_zero_point", zero);
  a.set("scale_a_zero_point", zero);
  a.set("scale_b_zero_point", zero);
  for (const char* prefix : {"pool_", "reduce_", "expand_", "scale_"}) add_range(a, prefix, is_signed, zero);
  for (const std::string prefix : {"reduce_", "expand_"}) {
    a.set(prefix + "strides", Ints{1, 1});
    a.set(prefix + "pads", Ints{0, 0, 0, 0});
    a.set(prefix + "dilations", Ints{1, 1});
    a.set(prefix + "group", int64_t{1});
    a.set(prefix + "activation", std::string());
  }
  if (!first_table) {
    a.set("reduce_activation", std::string("Silu"));
    a.set("reduce_inverse_scale", 30.0f);
  }
  std::vector<Tensor> inputs = {
      any_codes(codes, x, 1), any_codes(DType::Int8, {hidden, 1, 1, c}, 2), noisy({hidden}, 3, 1e-4f, 4e-4f),
      noisy({hidden}, 4),     any_codes(DType::Int8, {c, 1, 1, hidden}, 6), noisy({c}, 7, 1e-3f, 4e-3f),
      noisy({c}, 8, -30, 30)};
  if (first_table || second_table)
    inputs.push_back(first_table ? any_codes(codes, {256}, 5) : Tensor(DType::Float32, {0}));
  if (second_table) inputs.push_back(any_codes(codes, {256}, 9));
  const bool absent = second_table && !first_table;
  return OneNode("QSqueezeExcite", a, std::move(inputs), absent ? std::vector<int>{7} : std::vector<int>{});
}

TEST(CudaOperators, SqueezeExcite) {
  for (const bool is_signed : {false, true}) {
    for (const bool table : {false, true}) {
      expect_on_card(squeeze_excite({1, 7, 5, 32}, 8, is_signed, table, !table));
      expect_on_card(squeeze_excite({3, 3, 3, 140}, 6, is_signed, table, table));
    }
  }
  expect_on_card(squeeze_excite({2, 1, 1, 4}, 1, true, false, true));
  expect_on_card(squeeze_excite({1, 2, 2, 1152}, 48, true, true, true));
  expect_on_card(squeeze_excite({1, 40, 20, 96}, 4, false, false, false));
}

TEST(CudaOperators, SqueezeExciteSaysWhyItCannot) {
  EXPECT_THAT(refusal(squeeze_excite({1, 3, 3, 30}, 8, true, false, false)), HasSubstr("no multiple of 4"));
  OneNode late = squeeze_excite({1, 3, 3, 32}, 8, true, false, false);
  late.is_constant[4] = false;
  EXPECT_THAT(refusal(late), HasSubstr("the weight is not constant"));
  const OneNode one = squeeze_excite({1, 3, 3, 32}, 8, true, false, false);
  std::vector<Tensor> packed = card().pack(one.view(false, 1), "two");
  const auto message = [&](std::string_view tactic) -> std::string {
    try {
      card().load(one.view(true, 1), tactic, packed);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message("two"), "");
  EXPECT_THAT(message("magic"), HasSubstr("no tactic 'magic' of squeeze-excite"));
  packed[2] = Tensor(DType::UInt8, {16});
  EXPECT_THAT(message("two"), HasSubstr("16 bytes of packed weights where"));
  packed[1] = Tensor::vector<int64_t>({8, 1, 1, 64});
  EXPECT_NE(message("two"), "");
  packed.resize(2);
  EXPECT_THAT(message("two"), HasSubstr("build the plan anew"));
}

OneNode channel_affine(const Shape& x, bool is_signed, const std::string& activation) {
  ir::Attributes a{{"x_scale", 0.031f},
                   {"x_zero_point", int64_t{is_signed ? -5 : 20}},
                   {"y_scale", 0.017f},
                   {"activation", activation}};
  add_range(a, "", is_signed, is_signed ? -100 : 3);
  return OneNode(
      "QChannelAffine", a,
      {any_codes(is_signed ? DType::Int8 : DType::UInt8, x, 1), noisy({x.back()}, 2), noisy({x.back()}, 3)});
}

OneNode add_real(const Shape& shape, bool is_signed, const Shape& other) {
  ir::Attributes a{{"a_scale", 0.031f}, {"a_zero_point", int64_t{is_signed ? -5 : 20}}, {"y_scale", 0.017f}};
  add_range(a, "", is_signed, is_signed ? -100 : 3);
  return OneNode("QAddReal", a,
                 {any_codes(is_signed ? DType::Int8 : DType::UInt8, shape, 1), noisy(other, 2)}, {}, {0, 1});
}

TEST(CudaOperators, CodesAndReals) {
  for (const bool is_signed : {false, true}) {
    expect_on_card(add_real({2, 3, 5, 16}, is_signed, {2, 3, 5, 16}));
    expect_on_card(add_real({1, 5, 3, 7}, is_signed, {1, 5, 3, 7}));
  }
  OneNode wrong = add_real({2, 8}, true, {2, 8});
  wrong.inputs[1] = noisy({8, 2}, 2);
  EXPECT_THAT(refusal(wrong), HasSubstr("a is [2x8], b [8x2]"));
}

TEST(CudaOperators, ChannelAffine) {
  for (const bool is_signed : {false, true}) {
    for (const char* activation : {"", "Relu"}) {
      expect_on_card(channel_affine({2, 3, 5, 16}, is_signed, activation));
      expect_on_card(channel_affine({1, 5, 3, 7}, is_signed, activation));
      expect_on_card(channel_affine({3, 1}, is_signed, activation));
    }
  }
  EXPECT_THAT(refusal(channel_affine({2, 8}, true, "Silu")), HasSubstr("only Relu is an activation"));
  OneNode late = channel_affine({2, 8}, true, "");
  late.is_constant[1] = false;
  EXPECT_THAT(refusal(late), HasSubstr("the multiplier is not constant"));
}

}  // namespace
}  // namespace kvant::backends
