// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/model_file.h"

#include "formats/onnx/model_testing.h"

namespace kvant::formats {
namespace {

using testing::HasSubstr;

class ModelFile : public InFolder {
 protected:
  static ModelBuilder relu() {
    ModelBuilder model;
    model.input("x", {1, 2}).node("Relu", {"x"}, {"y"}).output("y");
    return model;
  }
};

TEST_F(ModelFile, SaysWhatIsWrongWithTheFile) {
  EXPECT_EQ(refusal(save("", "empty.onnx")),
            at("empty.onnx").string() + " is empty: not an ONNX model (truncated or damaged)");
  EXPECT_EQ(refusal(save("name,count\nConv,3\n", "text.onnx")),
            at("text.onnx").string() + " is not an ONNX model (truncated or damaged)");
  const std::string whole = relu().bytes();
  EXPECT_EQ(refusal(save(whole.substr(0, whole.size() - 3), "cut.onnx")),
            at("cut.onnx").string() + " is not an ONNX model (truncated or damaged)");
  EXPECT_EQ(refusal(at("none.onnx")),
            "cannot open " + at("none.onnx").string() + ": No such file or directory");
  std::filesystem::create_directory(at("folder.onnx"));
  EXPECT_EQ(refusal(at("folder.onnx")), at("folder.onnx").string() + " is not a regular file");
}

TEST_F(ModelFile, GoesByContentWhereTheExtensionSaysNothing) {
  EXPECT_EQ(operators(read(save(relu(), "model.bin"))), std::vector<std::string>{"Relu"});
  EXPECT_EQ(refusal(save("hello", "notes.txt")),
            at("notes.txt").string() + " is not a model file that kvant reads: .onnx (ONNX)");
  EXPECT_EQ(refusal(at("none")), "cannot open " + at("none").string() + ": No such file or directory");
}

TEST_F(ModelFile, LooksLikeOnnxOnlyWhenWhole) {
  const std::string whole = relu().bytes();
  EXPECT_TRUE(looks_like_onnx(save(whole)));
  EXPECT_FALSE(looks_like_onnx(save(whole + '\0', "more.onnx")));
  EXPECT_FALSE(looks_like_onnx(save(whole.substr(0, whole.size() / 2), "half.onnx")));
  EXPECT_FALSE(looks_like_onnx(save("", "empty.onnx")));
  EXPECT_FALSE(looks_like_onnx(save(std::string("\x08\x07", 2), "version_only.onnx")));
  EXPECT_FALSE(looks_like_onnx(at("none.onnx")));
  // A varint that never ends.
  EXPECT_FALSE(looks_like_onnx(save(std::string(20, '\xff'), "varint.onnx")));
}

TEST_F(ModelFile, WriteRefusesUnknownExtensions) {
  const ir::Graph graph = load(relu());
  try {
    write(graph, at("model.tflite"));
    ADD_FAILURE() << "wrote a model.tflite";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), "cannot tell from the name " + at("model.tflite").string() +
                                " which model format to write; known: .onnx (ONNX)");
  }
  EXPECT_FALSE(std::filesystem::exists(at("model.tflite")));
}

TEST_F(ModelFile, TheTrailHoldsTheFile) {
  ModelBuilder model = relu();
  model.graph().mutable_node(0)->set_op_type("Relo");
  try {
    load(model);
    ADD_FAILURE() << "Relo passed";
  } catch (const Error& error) {
    ASSERT_EQ(error.trail().size(), 2u);
    EXPECT_EQ(error.trail()[0], "in node Relo 'Relu_y'");
    EXPECT_EQ(error.trail()[1], "while reading " + at("model.onnx").string());
  }
}

}  // namespace
}  // namespace kvant::formats
