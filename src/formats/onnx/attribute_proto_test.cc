// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/attribute_proto.h"

#include "formats/onnx/model_testing.h"

namespace kvant::formats {
namespace {

using testing::HasSubstr;

ir::Attributes convert(const kvant_onnx::NodeProto& node) {
  ExternalData external(".");
  return to_attributes(node, external, "Op 'n'");
}

ir::Attributes round_trip(const ir::Attributes& attributes) {
  kvant_onnx::NodeProto node;
  for (const auto& [name, value] : attributes) from_attribute(name, value, *node.add_attribute());
  kvant_onnx::NodeProto again;
  EXPECT_TRUE(again.ParseFromString(node.SerializeAsString()));
  return convert(again);
}

std::string refusal_of(const kvant_onnx::NodeProto& node) {
  try {
    convert(node);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(AttributeProto, EveryKindSurvives) {
  const ir::Attributes attributes{{"i", int64_t{-5000000000}},
                                  {"f", 0.1f},
                                  {"s", std::string("a\0b", 3)},
                                  {"is", std::vector<int64_t>{3, -1, int64_t{1} << 60}},
                                  {"fs", std::vector<float>{1.5f, -0.0f}},
                                  {"ss", std::vector<std::string>{"", "linear"}},
                                  {"t", Tensor::of<int8_t>({2, 1}, {-128, 127})}};
  EXPECT_EQ(round_trip(attributes), attributes);
}

TEST(AttributeProto, EmptyListsSurviveAsLists) {
  const ir::Attributes attributes{
      {"fs", std::vector<float>{}}, {"is", std::vector<int64_t>{}}, {"s", std::string()}};
  EXPECT_EQ(round_trip(attributes), attributes);
}

// Files of IR version 1 do not tell the kind.
TEST(AttributeProto, KindIsGuessedWhereItIsNotTold) {
  kvant_onnx::NodeProto node;
  for (const auto& [name, value] : ir::Attributes{{"i", int64_t{2}},
                                                  {"f", 2.0f},
                                                  {"s", std::string("x")},
                                                  {"fs", std::vector<float>{1}},
                                                  {"is", std::vector<int64_t>{1, 2}},
                                                  {"ss", std::vector<std::string>{"x"}},
                                                  {"t", Tensor::scalar(1.0f)}}) {
    from_attribute(name, value, *node.add_attribute());
    node.mutable_attribute(node.attribute_size() - 1)->clear_type();
  }
  const ir::Attributes attributes = convert(node);
  EXPECT_EQ(attributes.integer("i", 0), 2);
  EXPECT_EQ(attributes.real("f", 0), 2.0f);
  EXPECT_EQ(attributes.text("s", ""), "x");
  EXPECT_EQ(attributes.reals("fs"), std::vector<float>{1});
  EXPECT_EQ(attributes.integers("is"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(attributes.texts("ss"), std::vector<std::string>{"x"});
  EXPECT_NE(attributes.tensor("t"), nullptr);
}

TEST(AttributeProto, RefusesWhatItCannotHold) {
  const auto with = [](auto change) {
    kvant_onnx::NodeProto node;
    node.add_attribute()->set_name("a");
    change(*node.mutable_attribute(0));
    return refusal_of(node);
  };
  using Proto = kvant_onnx::AttributeProto;
  EXPECT_EQ(
      with([](Proto& a) { a.set_type(5), a.mutable_g(); }),
      "Op 'n' holds a subgraph ('a'), which kvant does not support; export the model without control flow");
  EXPECT_THAT(with([](Proto& a) { a.add_graphs(); }), HasSubstr("holds a subgraph ('a')"));
  EXPECT_EQ(with([](Proto& a) { a.set_type(11); }),
            "Op 'n': attribute 'a' is a sparse tensor, which kvant does not support");
  EXPECT_EQ(with([](Proto& a) { a.set_type(13); }),
            "Op 'n': attribute 'a' is of kind 13, which kvant does not support");
  EXPECT_EQ(with([](Proto& a) { a.set_type(-7); }),
            "Op 'n': attribute 'a' is of kind -7, which kvant does not support");
  EXPECT_EQ(with([](Proto& a) { a.set_ref_attr_name("alpha"); }),
            "Op 'n': attribute 'a' refers to a function's attribute; inline the model's functions first");
  EXPECT_THAT(with([](Proto& a) { a.set_type(4), a.mutable_t()->set_data_type(8); }),
              HasSubstr("Op 'n': attribute 'a' has the element type string"));
  kvant_onnx::NodeProto twice;
  for (int i = 0; i < 2; ++i) from_attribute("a", int64_t{1}, *twice.add_attribute());
  EXPECT_EQ(refusal_of(twice), "Op 'n' has the attribute 'a' twice");
}

}  // namespace
}  // namespace kvant::formats
