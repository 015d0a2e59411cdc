// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/tensor_proto.h"

#include "formats/onnx/model_testing.h"
#include "formats/onnx/tensor_file.h"

namespace kvant::formats {
namespace {

using testing::HasSubstr;

constexpr DType kAll[] = {DType::Float32, DType::UInt8,  DType::Int8,    DType::UInt16,  DType::Int16,
                          DType::Int32,   DType::Int64,  DType::Bool,    DType::Float16, DType::Float64,
                          DType::UInt32,  DType::UInt64, DType::BFloat16};

Tensor convert(const kvant_onnx::TensorProto& proto) {
  ExternalData external(".");
  return to_tensor(proto, external, "initializer 'w'");
}

std::string refusal_of(const kvant_onnx::TensorProto& proto) {
  try {
    convert(proto);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

kvant_onnx::TensorProto described(DType dtype, const Shape& shape) {
  kvant_onnx::TensorProto proto;
  proto.set_data_type(onnx_number(dtype));
  for (const int64_t dim : shape) proto.add_dims(dim);
  return proto;
}

TEST(TensorProto, EveryTypeSurvivesAsRawBytes) {
  for (const DType dtype : kAll) {
    const Tensor tensor = Tensor::of<int64_t>({2, 3}, {0, 1, 2, 100, 0, 7}).cast(dtype);
    kvant_onnx::TensorProto proto;
    from_tensor(tensor, "w", proto);
    EXPECT_EQ(proto.raw_data().size(), tensor.byte_size());
    EXPECT_EQ(dtype_of_number(proto.data_type(), "x"), dtype);
    EXPECT_TRUE(convert(proto) == tensor) << name(dtype);
  }
}

TEST(TensorProto, ScalarsAndEmptyTensors) {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{3, 0, 2}}) {
    const Tensor tensor(DType::Float32, shape);
    kvant_onnx::TensorProto proto;
    from_tensor(tensor, "", proto);
    EXPECT_FALSE(proto.has_name());
    EXPECT_TRUE(convert(proto) == tensor) << to_string(shape);
  }
}

TEST(TensorProto, EveryTypeIsReadFromItsTypedField) {
  const std::vector<int64_t> values = {0, 1, 3};
  for (const DType dtype : kAll) {
    kvant_onnx::TensorProto proto = described(dtype, {3});
    const Tensor want = Tensor::vector(values).cast(dtype);
    for (const int64_t v : values) {
      if (dtype == DType::Float32)
        proto.add_float_data(static_cast<float>(v));
      else if (dtype == DType::Float64)
        proto.add_double_data(static_cast<double>(v));
      else if (dtype == DType::Int64)
        proto.add_int64_data(v);
      else if (dtype == DType::UInt32 || dtype == DType::UInt64)
        proto.add_uint64_data(static_cast<uint64_t>(v));
      else if (dtype != DType::Float16 && dtype != DType::BFloat16)
        proto.add_int32_data(static_cast<int32_t>(v));
    }
    // Half precision is held as bit patterns.
    if (dtype == DType::Float16)
      for (const Half h : want.data<Half>()) proto.add_int32_data(h.bits);
    if (dtype == DType::BFloat16)
      for (const BFloat16 h : want.data<BFloat16>()) proto.add_int32_data(h.bits);
    EXPECT_TRUE(convert(proto) == want) << name(dtype);
  }
}

TEST(TensorProto, NegativeCodesInTheInt32Field) {
  kvant_onnx::TensorProto proto = described(DType::Int8, {2});
  proto.add_int32_data(-128);
  proto.add_int32_data(5);
  EXPECT_TRUE(convert(proto) == Tensor::vector<int8_t>({-128, 5}));
}

// Reading a bool of another value than 0 or 1 would be undefined.
TEST(TensorProto, BoolsBecomeZeroOrOne) {
  kvant_onnx::TensorProto proto = described(DType::Bool, {3});
  proto.set_raw_data(std::string("\x00\x02\xff", 3));
  EXPECT_EQ(convert(proto).to_ints(), (std::vector<int64_t>{0, 1, 1}));
}

TEST(TensorProto, RefusesSizesThatDoNotFit) {
  kvant_onnx::TensorProto proto = described(DType::Float32, {2, 3});
  proto.set_raw_data(std::string(20, '\0'));
  EXPECT_EQ(refusal_of(proto),
            "initializer 'w' of shape 2x3 takes 24 bytes but holds 20; the file is damaged");
  proto.clear_raw_data();
  proto.add_float_data(1);
  EXPECT_EQ(refusal_of(proto), "initializer 'w' has shape 2x3 but 1 values; the file is damaged");
  proto.clear_float_data();
  EXPECT_EQ(refusal_of(proto), "initializer 'w' has shape 2x3 but 0 values; the file is damaged");
  EXPECT_EQ(refusal_of(described(DType::Float32, {2, -3})),
            "initializer 'w' has the negative dimension -3; the file is damaged");
}

// Nothing of that size may be allocated, and the product must not wrap around to something small.
TEST(TensorProto, RefusesAbsurdDimensions) {
  for (const Shape& shape : {Shape{int64_t{1} << 62}, Shape{int64_t{1} << 32, int64_t{1} << 32},
                             Shape{int64_t{1} << 21, int64_t{1} << 22, int64_t{1} << 21}}) {
    EXPECT_THAT(refusal_of(described(DType::Float32, shape)), HasSubstr("is too large")) << to_string(shape);
  }
  EXPECT_THAT(refusal_of(described(DType::Float64, {int64_t{1} << 39})), HasSubstr("but 0 values"));
}

TEST(TensorProto, RefusesForeignTypesByName) {
  const auto of = [](int number) {
    kvant_onnx::TensorProto proto;
    proto.set_data_type(number);
    return refusal_of(proto);
  };
  EXPECT_EQ(of(22), "initializer 'w' has the element type int4 (number 22), which kvant does not support");
  EXPECT_THAT(of(0), HasSubstr("undefined"));
  EXPECT_THAT(of(8), HasSubstr("string"));
  EXPECT_THAT(of(14), HasSubstr("complex64"));
  EXPECT_THAT(of(15), HasSubstr("complex128"));
  EXPECT_THAT(of(17), HasSubstr("float8e4m3fn"));
  EXPECT_THAT(of(18), HasSubstr("float8e4m3fnuz"));
  EXPECT_THAT(of(19), HasSubstr("float8e5m2"));
  EXPECT_THAT(of(20), HasSubstr("float8e5m2fnuz"));
  EXPECT_THAT(of(21), HasSubstr("uint4"));
  EXPECT_THAT(of(23), HasSubstr("float4e2m1"));
  EXPECT_THAT(of(24), HasSubstr("float8e8m0"));
  EXPECT_THAT(of(25), HasSubstr("uint2"));
  EXPECT_THAT(of(26), HasSubstr("int2"));
  EXPECT_THAT(of(-1), HasSubstr("unknown (number -1)"));
}

class TensorFile : public InFolder {};

TEST_F(TensorFile, IsReadOrRefusedWithItsPath) {
  const Tensor tensor = wave({3, 2});
  kvant_onnx::TensorProto proto;
  from_tensor(tensor, "x", proto);
  EXPECT_TRUE(read_tensor(save(proto.SerializeAsString(), "x.pb")) == tensor);
  const auto path = save("no tensor at all", "y.pb");
  try {
    read_tensor(path);
    ADD_FAILURE() << "text passed for a tensor";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), path.string() + " is not an ONNX tensor (truncated or damaged)");
  }
}

}  // namespace
}  // namespace kvant::formats
