// SPDX-License-Identifier: Apache-2.0
#include "data/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::bytes_of;
using test::message_of;
using testing::HasSubstr;

std::string npy(const std::string& dictionary, const std::string& content) {
  std::string header = dictionary;
  header.resize((10 + header.size() + 64) / 64 * 64 - 10, ' ');
  header.back() = '\n';
  std::string result = "\x93NUMPY";
  result += '\x01';
  result += '\0';
  result += static_cast<char>(header.size() & 0xff);
  result += static_cast<char>(header.size() >> 8);
  return result + header + content;
}

Tensor parse(const std::string& file) { return parse_npy(bytes_of(file), nullptr, "x.npy"); }

NamedTensors every_type() {
  NamedTensors tensors;
  for (const DType dtype :
       {DType::Float32, DType::Float64, DType::Float16, DType::Int8, DType::UInt8, DType::Int16,
        DType::UInt16, DType::Int32, DType::UInt32, DType::Int64, DType::UInt64, DType::Bool}) {
    tensors.emplace_back("a_" + std::string(name(dtype)),
                         Tensor::of<float>({2, 1, 3}, {0, 1, 1, 0, 5, 7}).cast(dtype));
  }
  tensors.emplace_back("scalar", Tensor::scalar<float>(2.5f));
  tensors.emplace_back("vector", Tensor::vector<int64_t>({-1, 1}));
  tensors.emplace_back("empty", Tensor(DType::Float32, {0, 4}));
  return tensors;
}

TEST(Npz, RoundTripsEveryType) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path() + "/all.npz";
  write_npz(path, every_type());
  EXPECT_EQ(read_npz(path), every_type());
  const std::string first = read_text(path);
  write_npz(path, every_type());
  EXPECT_EQ(read_text(path), first);
}

TEST(Npy, RoundTripsAndWidensBFloat16) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path() + "/x.npy";
  const Tensor tensor = Tensor::of<float>({2, 2}, {1, -2, 0.5f, 4});
  write_npy(path, tensor.cast(DType::BFloat16));
  EXPECT_EQ(read_npy(path), tensor);
}

TEST(Npy, ReadsFortranOrderBigEndianAndScalars) {
  const Tensor fortran =
      parse(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", "\1\2\3\4\5\6"));
  EXPECT_EQ(fortran, Tensor::of<uint8_t>({2, 3}, {1, 3, 5, 2, 4, 6}));
  const Tensor big =
      parse(npy("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", std::string("\0\1\1\0", 4)));
  EXPECT_EQ(big, Tensor::of<int16_t>({2}, {1, 256}));
  EXPECT_EQ(
      parse(npy("{'descr': '<i2', 'fortran_order': False, 'shape': (), }", "\7" + std::string(1, '\0'))),
      Tensor::scalar<int16_t>(7));
}

TEST(Npy, RefusesWhatItCannotRead) {
  const auto message = [](const std::string& file) { return message_of([&] { parse(file); }); };
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  EXPECT_EQ(message("not an array"), "x.npy is not a .npy file");
  EXPECT_THAT(message(npy(good, "1234")),
              HasSubstr("x.npy is truncated: an array of shape 2 has 8 bytes, the file has 4"));
  EXPECT_THAT(message(npy(good, "12345678").substr(0, 20)), HasSubstr("truncated inside its .npy header"));
  EXPECT_THAT(message(npy("{'descr': '<f4', 'shape': (2,), }", "")), HasSubstr("lacks 'fortran_order'"));
  EXPECT_THAT(message(npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "")),
              HasSubstr("type '|O'"));
  EXPECT_THAT(message(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "")),
              HasSubstr("records or objects"));
  EXPECT_THAT(message(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", "")),
              HasSubstr("bad shape"));
  EXPECT_NE(message(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "")),
            "no error");
}

TEST(Npz, RefusesDamage) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path() + "/x.npz";
  write_npz(path, {{"x", Tensor::of<float>({4}, {1, 2, 3, 4})}});
  const std::string file = read_text(path);
  const auto message = [&](const std::string& content) {
    const std::string bad = folder.write("bad.npz", content);
    return message_of([&] { read_npz(bad); });
  };
  EXPECT_THAT(message("PK"), HasSubstr("bad.npz is not a zip archive, or is damaged: it is too short"));
  EXPECT_THAT(message(file.substr(0, file.size() - 30)),
              HasSubstr("its directory is missing (is it truncated?)"));
  std::string flipped = file;
  flipped[170] = static_cast<char>(flipped[170] ^ 1);
  EXPECT_THAT(message(flipped), HasSubstr("the member x.npy has a wrong checksum"));
  std::string moved = file;
  moved[file.size() - 6] = '\x7f';  // the directory's offset, high bytes
  EXPECT_THAT(message(moved), HasSubstr("is damaged"));
  EXPECT_EQ(message_of([&] {
              write_npz(path, {{"x", Tensor()}, {"x", Tensor()}});
            }),
            "cannot write " + path + ": two arrays are called 'x'");
  EXPECT_EQ(read_text(path), file);
}

TEST(Npz, AgreesWithNumpy) {
  const char* python = std::getenv("KVANT_PYTHON");
  if (python == nullptr ||
      std::system((std::string(python) + " -c 'import numpy' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "NumPy is not installed (KVANT_PYTHON names the Python that has it)";
  }
  const test::TemporaryFolder folder;
  const std::string ours = folder.path() + "/ours.npz";
  write_npz(ours, every_type());
  const std::string script = folder.write("copy.py",
                                          "import sys, numpy\n"
                                          "arrays = dict(numpy.load(sys.argv[1]))\n"
                                          "numpy.savez(sys.argv[2], **arrays)\n"
                                          "numpy.savez_compressed(sys.argv[3], **arrays)\n");
  const std::string stored = folder.path() + "/stored.npz";
  const std::string deflated = folder.path() + "/deflated.npz";
  ASSERT_EQ(
      std::system((std::string(python) + " " + script + " " + ours + " " + stored + " " + deflated).c_str()),
      0);
  EXPECT_EQ(read_npz(stored), every_type());
  EXPECT_EQ(read_npz(deflated), every_type());
}

}  // namespace
}  // namespace kvant::data
