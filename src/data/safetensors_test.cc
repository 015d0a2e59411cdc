// SPDX-License-Identifier: Apache-2.0
#include "data/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::message_of;
using test::TemporaryFolder;
using testing::HasSubstr;

std::string with_length(const std::string& header, const std::string& data) {
  std::string file;
  for (size_t i = 0; i < 8; ++i) file.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  return file + header + data;
}

TEST(Safetensors, RoundTrip) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/w.safetensors";
  const NamedTensors written{{"b.weight", Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, -6})},
                             {"count", Tensor::scalar<int64_t>(7)},
                             {"a", Tensor::of<double>({1}, {0.25})},
                             {"half", Tensor::of<float>({3}, {1, 0.5f, -2}).cast(DType::Float16)},
                             {"brain", Tensor::of<float>({2}, {3, -0.5f}).cast(DType::BFloat16)},
                             {"empty", Tensor(DType::Float32, {0, 4})}};
  write_safetensors(path, written);
  EXPECT_EQ(read_safetensors(path), written);
}

// The bytes of a file as another program writes it: metadata, spaces after the header, any alignment.
TEST(Safetensors, ReadsAFileMadeByHand) {
  const TemporaryFolder folder;
  const std::string header =
      R"({"__metadata__":{"format":"[[[[[\"{"},"x":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},)"
      R"("u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}  )";
  const std::string path =
      folder.write("x.safetensors", with_length(header, std::string("\x2a\0\0\x80\x3f\0\0\0\xc0", 9)));
  const NamedTensors tensors = read_safetensors(path);
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].first, "x");
  EXPECT_EQ(tensors[0].second, Tensor::of<float>({2}, {1.0f, -2.0f}));
  EXPECT_EQ(tensors[1].second, Tensor::of<uint8_t>({1}, {42}));
}

struct Damage {
  const char* header;
  const char* message;
};

TEST(Safetensors, RefusesDamagedHeaders) {
  const TemporaryFolder folder;
  const Damage damages[] = {
      {"[1]", "the header is not the JSON object of a safetensors file"},
      {"{\"x\":", "the header is not the JSON object of a safetensors file"},
      {R"({"x":{"y":{"z":[[]]}}})", "the header is not the JSON object of a safetensors file"},
      {R"({"x":5})", "tensor 'x' has no element type"},
      {R"({"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "'x' is of type 'F8_E4M3'"},
      {R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "tensor 'x' has no valid shape"},
      {R"({"x":{"dtype":"F32","shape":4,"data_offsets":[0,4]}})", "tensor 'x' has no valid shape"},
      {R"({"x":{"dtype":"F32","shape":[1]}})", "tensor 'x' has no valid data_offsets"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,"4"]}})", "tensor 'x' has no valid data_offsets"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[6,10]}})",
       "tensor 'x' lies at bytes 6 to 10, but the file has 8 bytes of data"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "tensor 'x' lies at bytes 4 to 0"},
      {R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
       "tensor 'x' of shape 3 takes 8 bytes of its file, not 12"},
      {R"({"x":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,8]}})", ""},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.header);
    const std::string path = folder.write("x.safetensors", with_length(damage.header, "12345678"));
    const std::string message = message_of([&] { read_safetensors(path); });
    EXPECT_NE(message, "no error");
    EXPECT_THAT(message, HasSubstr(damage.message));
  }
}

TEST(Safetensors, RefusesCutFiles) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of([&] { read_safetensors(folder.write("a.safetensors", "1234")); }),
              HasSubstr("too short to be a safetensors file"));
  EXPECT_THAT(message_of([&] {
                read_safetensors(folder.write("b.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f"));
              }),
              HasSubstr("the file announces a header of 9223372036854775807 bytes, but has 8 bytes in all"));
  const std::string large((size_t{1} << 24) + 1, ' ');
  EXPECT_THAT(message_of([&] { read_safetensors(folder.write("d.safetensors", with_length(large, ""))); }),
              HasSubstr("the header has 16777217 bytes, more than the 16777216 that are read"));
  const std::string path = folder.path() + "/c.safetensors";
  EXPECT_THAT(message_of([&] {
                write_safetensors(path, {{"x", Tensor::scalar(1.0f)}, {"x", Tensor::scalar(2.0f)}});
              }),
              HasSubstr("two tensors are named 'x'"));
}

}  // namespace
}  // namespace kvant::data
