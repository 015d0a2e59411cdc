// SPDX-License-Identifier: Apache-2.0
// Weights outside of the model: read in place, and nothing else than files of the model's own folder.
#include <fstream>

#include "base/file.h"
#include "formats/onnx/model_testing.h"

namespace kvant::formats {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class ExternalWeights : public InFolder {
 protected:
  using Entries = std::vector<std::pair<std::string, std::string>>;

  // y = x + w with w, two floats by default, where `entries` say.
  ModelBuilder model(const Entries& entries, const Shape& shape = {2}, DType dtype = DType::Float32) const {
    ModelBuilder model;
    model.input("x", shape, dtype).node("Add", {"x", "w"}, {"y"}).output("y");
    auto& tensor = *model.graph().add_initializer();
    tensor.set_name("w");
    tensor.set_data_type(onnx_number(dtype));
    for (const int64_t dim : shape) tensor.add_dims(dim);
    tensor.set_data_location(1);
    for (const auto& [key, value] : entries) {
      auto& entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
    return model;
  }

  std::string bytes_of(const Tensor& tensor) const {
    return std::string(reinterpret_cast<const char*>(tensor.raw()), tensor.byte_size());
  }
};

TEST_F(ExternalWeights, AreReadAtTheirOffset) {
  const Tensor w = Tensor::vector<float>({1.5f, -2});
  for (const int offset : {0, 64, 3}) {  // 3: not aligned for floats, so it is copied
    save(std::string(static_cast<size_t>(offset), 'z') + bytes_of(w), "w.bin");
    const ir::Graph graph =
        load(model({{"location", "w.bin"}, {"offset", std::to_string(offset)}, {"length", "8"}}));
    EXPECT_TRUE(*graph.constant(graph.find_value("w")) == w) << offset;
  }
  save(bytes_of(w), "w.bin");
  const ir::Graph graph = load(model({{"location", "w.bin"}}));
  EXPECT_TRUE(run(graph, {Tensor(DType::Float32, {2})})[0] == w);
}

TEST_F(ExternalWeights, SurviveTheModelFileAndTheGraphsCopies) {
  const Tensor w = Tensor::vector<float>({1.5f, -2});
  save(bytes_of(w), "w.bin");
  ir::Graph copy = load(model({{"location", "w.bin"}}));
  std::filesystem::remove(at("model.onnx"));
  EXPECT_TRUE(*copy.constant(copy.find_value("w")) == w);
}

TEST_F(ExternalWeights, LieInFoldersBelowToo) {
  std::filesystem::create_directory(at("weights"));
  save(bytes_of(Tensor::vector<float>({3, 4})), "weights/w.bin");
  const ir::Graph graph = load(model({{"location", "weights/w.bin"}}));
  EXPECT_EQ(graph.constant(graph.find_value("w"))->to_floats(), (std::vector<float>{3, 4}));
}

TEST_F(ExternalWeights, NeverLeaveTheModelsFolder) {
  const std::filesystem::path outside = folder_.parent_path() / (folder_.filename().string() + ".secret");
  write_text(outside, "12345678");
  const std::string hint = "; only files in the model's own folder are read";
  EXPECT_EQ(refusal(model({{"location", "/etc/passwd"}})),
            "initializer 'w' has its data in '/etc/passwd'" + hint);
  EXPECT_EQ(refusal(model({{"location", "../" + outside.filename().string()}})),
            "initializer 'w' has its data in '../" + outside.filename().string() + "'" + hint);
  EXPECT_THAT(refusal(model({{"location", "a/../../b"}})), HasSubstr(hint));
  EXPECT_THAT(refusal(model({{"location", ".."}})), HasSubstr(hint));
  EXPECT_EQ(refusal(model({})), "initializer 'w' has its data in ''" + hint);
  EXPECT_THAT(refusal(model({{"location", std::string("w\0.bin", 6)}})), HasSubstr(hint));
  std::filesystem::create_symlink(outside, at("link.bin"));
  EXPECT_EQ(refusal(model({{"location", "link.bin"}})),
            "initializer 'w' has its data in " + at("link.bin").string() +
                ", a link out of the model's folder; copy the file there");
  std::filesystem::create_directory_symlink(folder_.parent_path(), at("up"));
  EXPECT_THAT(refusal(model({{"location", "up/" + outside.filename().string()}})),
              HasSubstr("a link out of the model's folder"));
  std::filesystem::remove(outside);
}

TEST_F(ExternalWeights, MissingFilesAndFolders) {
  EXPECT_EQ(refusal(model({{"location", "none.bin"}})),
            "initializer 'w' has its data in " + at("none.bin").string() +
                ", which does not exist; put it beside the model");
  std::filesystem::create_directory(at("weights"));
  EXPECT_THAT(refusal(model({{"location", "weights"}})), HasSubstr("is not a regular file"));
  EXPECT_THAT(refusal(model({{"location", "."}})), HasSubstr("is not a regular file"));
}

TEST_F(ExternalWeights, OffsetsAndLengthsAreChecked) {
  save(std::string(10, '\0'), "w.bin");
  const auto of = [&](const std::string& key, const std::string& value) {
    return refusal(model({{"location", "w.bin"}, {key, value}}));
  };
  EXPECT_EQ(of("offset", "2"), "");
  EXPECT_EQ(of("offset", "3"), "initializer 'w' ends at byte 11 of " + at("w.bin").string() +
                                   ", which has only 10; the file is truncated");
  EXPECT_THAT(of("offset", "999999999999999999"), HasSubstr("the file is truncated"));
  for (const char* text : {"-1", "", "0x10", "1e3", "99999999999999999999999", " 2"}) {
    EXPECT_EQ(of("offset", text),
              fmt::format("initializer 'w' has the external data offset '{}', which is no byte count", text));
  }
  EXPECT_EQ(of("length", "10"), "initializer 'w' of shape 2 takes 8 bytes, but its external data has 10");
  EXPECT_EQ(of("length", "x"), "initializer 'w' has the external data length 'x', which is no byte count");
  EXPECT_THAT(refusal(model({{"location", "w.bin"}}, {int64_t{1} << 39}, DType::Float64)),
              MatchesRegex(".*ends at byte [0-9]+ of .*has only 10; the file is truncated"));
  EXPECT_THAT(refusal(model({{"location", "w.bin"}}, {int64_t{1} << 40, int64_t{1} << 30})),
              HasSubstr("too large"));
}

TEST_F(ExternalWeights, BoolsBecomeZeroOrOne) {
  save(std::string("\x02\x00", 2), "w.bin");
  ModelBuilder made = model({{"location", "w.bin"}}, {2}, DType::Bool);
  made.graph().mutable_node(0)->set_op_type("And");
  const ir::Graph graph = load(made);
  EXPECT_EQ(graph.constant(graph.find_value("w"))->to_ints(), (std::vector<int64_t>{1, 0}));
}

TEST_F(ExternalWeights, EmptyTensorsNeedNoBytes) {
  save("", "w.bin");
  const ir::Graph graph = load(model({{"location", "w.bin"}}, {0}));
  EXPECT_EQ(graph.constant(graph.find_value("w"))->size(), 0);
}

TEST_F(ExternalWeights, AreWrittenBesideTheModelAlignedAndReadBack) {
  ModelBuilder made;
  made.input("x", {1, 300}).constant("large", wave({1, 300})).constant("larger", wave({1, 1000}, 1));
  made.constant("small", Tensor::full({1}, 2)).constant("k", Tensor::vector<int64_t>({1, 300}));
  made.node("Add", {"x", "large"}, {"a"}).node("Mul", {"a", "small"}, {"b"}).output("b");
  made.node("ReduceMean", {"larger"}, {"c"}).output("c");
  const ir::Graph graph = load(made);
  write(graph, at("out.onnx"), {.external = true});
  EXPECT_EQ(std::filesystem::file_size(at("out.onnx.data")), 1216u + 4000u);  // 300 floats, up to 64 bytes
  const ir::Graph again = read(at("out.onnx"));
  expect_equal(run(again, {wave({1, 300}, 2)}), run(graph, {wave({1, 300}, 2)}));
  const std::string model_bytes = read_text(at("out.onnx"));
  EXPECT_LT(model_bytes.size(), 1200u);
  // Small tensors stay in the model: the data file is not needed for them.
  std::filesystem::remove(at("out.onnx.data"));
  EXPECT_THAT(refusal(at("out.onnx")), HasSubstr("initializer 'large' has its data in"));
}

TEST_F(ExternalWeights, TheLimitDecidesWhenNobodyAsks) {
  ModelBuilder made;
  made.input("x", {1, 300}).constant("w", wave({1, 300})).node("Add", {"x", "w"}, {"y"}).output("y");
  const ir::Graph graph = load(made);
  write(graph, at("in.onnx"), {.inline_limit = 1200});
  EXPECT_FALSE(std::filesystem::exists(at("in.onnx.data")));
  write(graph, at("out.onnx"), {.inline_limit = 1199});
  EXPECT_TRUE(std::filesystem::exists(at("out.onnx.data")));
}

// A file of more than 2 GiB, of holes but for its last bytes: mapped, so neither memory nor disk is filled.
TEST_F(ExternalWeights, LieBeyondTwoGibibytes) {
  constexpr int64_t kOffset = (int64_t{5} << 29) + 64;  // 2.5 GiB
  const Tensor w = Tensor::vector<float>({1.5f, -2});
  std::filesystem::resize_file(save("", "w.bin"), kOffset);
  std::ofstream(at("w.bin"), std::ios::binary | std::ios::app) << bytes_of(w);
  ModelBuilder with_large =
      model({{"location", "w.bin"}, {"offset", std::to_string(kOffset)}, {"length", "8"}});
  auto& large = *with_large.graph().add_initializer();  // the holes, as a weight larger than 2 GiB
  large.set_name("large");
  large.set_data_type(onnx_number(DType::Float32));
  large.add_dims(kOffset / 4);
  large.set_data_location(1);
  auto& entry = *large.add_external_data();
  entry.set_key("location");
  entry.set_value("w.bin");
  with_large.node("ReduceMax", {"large"}, {"m"}).output("m");
  const ir::Graph graph = load(with_large);
  EXPECT_TRUE(*graph.constant(graph.find_value("w")) == w);
  EXPECT_EQ(graph.constant(graph.find_value("large"))->byte_size(), static_cast<size_t>(kOffset));
}

}  // namespace
}  // namespace kvant::formats
