// SPDX-License-Identifier: Apache-2.0
// Damaged files: cut at every length, bytes flipped, numbers replaced. Reading gives a graph or an Error,
// nothing else; under the sanitizers nothing is read that is not there.
#include "base/random.h"
#include "formats/onnx/model_testing.h"
#include "formats/onnx/tensor_file.h"

namespace kvant::formats {
namespace {

class Damage : public InFolder {
 protected:
  // Small, and with something of everything: quantization, lifts, upgrades, shape arithmetic, typed fields.
  static ModelBuilder model() {
    ModelBuilder model(11);
    model.input("x", {1, 2, 4, 4}).constant("w", wave({2, 2, 3, 3})).constant("b", wave({2}));
    model.node("Conv", {"x", "w", "b"}, {"c"}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
    model.constant("s", Tensor::scalar(0.5f)).constant("z", Tensor::scalar<uint8_t>(3));
    model.node("QuantizeLinear", {"c", "s", "z"}, {"q"}).node("DequantizeLinear", {"q", "s", "z"}, {"d"});
    model.node("Softmax", {"d"}, {"p"}, {{"axis", int64_t{1}}});
    model.node("Split", {"p"}, {"h", "t"}, {{"axis", int64_t{1}}, {"split", std::vector<int64_t>{1, 1}}});
    model.node("Shape", {"h"}, {"n"}).node("Reshape", {"t", "n"}, {"r"});
    model.node("ReduceMean", {"r"}, {"m"}, {{"axes", std::vector<int64_t>{2, 3}}});
    model.constant("wm", codes(DType::Int8, {4, 2}));
    model.node("Cast", {"q"}, {"qc"}, {{"to", int64_t{2}}}).node("MatMulInteger", {"qc", "wm"}, {"i"});
    auto& typed = *model.graph().add_initializer();
    typed.set_name("k");
    typed.set_data_type(1);
    typed.add_dims(1);
    typed.add_float_data(2);
    model.node("Mul", {"m", "k"}, {"y"}).output("y").output("i");
    return model;
  }

  // 1 when the bytes gave a graph; anything but an Error ends the test.
  int survives(const std::string& bytes) const {
    try {
      read(save(bytes));
      return 1;
    } catch (const Error& error) {
      EXPECT_STRNE(error.what(), "");
      return 0;
    }
  }
};

TEST_F(Damage, TheWholeModelIsRead) {
  ModelBuilder whole = model();
  EXPECT_EQ(run(load(whole), {wave({1, 2, 4, 4})})[0].shape(), (Shape{1, 1, 1, 1}));
}

TEST_F(Damage, CutAtEveryLength) {
  const std::string whole = model().bytes();
  int survivors = 0;
  for (size_t length = 0; length < whole.size(); ++length) survivors += survives(whole.substr(0, length));
  // The opset comes last in the file: only the cut before it leaves a model, and that one has no opset.
  EXPECT_EQ(survivors, 0) << "of " << whole.size();
}

TEST_F(Damage, FlippedBytes) {
  const std::string whole = model().bytes();
  Random random(1);
  int survivors = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = whole;
    for (uint64_t flips = 1 + random.below(3); flips > 0; --flips)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    survivors += survives(bytes);
  }
  // Both outcomes must be seen: weights and names survive a flip, structure does not.
  EXPECT_GT(survivors, 100);
  EXPECT_LT(survivors, 1900);
}

// Where the bytes do parse but numbers are wild: dimensions, attributes, types.
TEST_F(Damage, WildNumbers) {
  constexpr int64_t kWild[] = {INT64_MIN, INT64_MAX, -1, 0, int64_t{1} << 31, int64_t{1} << 40, 7, 1000000};
  Random random(2);
  int refused = 0;
  for (int i = 0; i < 600; ++i) {
    ModelBuilder broken = model();
    const int64_t wild = kWild[random.below(std::size(kWild))];
    auto& graph = broken.graph();
    auto& node =
        *graph.mutable_node(static_cast<int>(random.below(static_cast<uint64_t>(graph.node_size()))));
    auto& tensor = *graph.mutable_initializer(
        static_cast<int>(random.below(static_cast<uint64_t>(graph.initializer_size()))));
    switch (random.below(4)) {
      case 0:
        if (tensor.dims_size() > 0)
          tensor.set_dims(static_cast<int>(random.below(static_cast<uint64_t>(tensor.dims_size()))), wild);
        break;
      case 1:
        for (auto& a : *node.mutable_attribute()) {
          if (a.has_i()) a.set_i(wild);
          if (a.ints_size() > 0)
            a.set_ints(static_cast<int>(random.below(static_cast<uint64_t>(a.ints_size()))), wild);
        }
        break;
      case 2: {
        auto& shape = *graph.mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
        shape.mutable_dim(static_cast<int>(random.below(4)))->set_dim_value(wild);
        break;
      }
      default:
        if (node.input_size() > 0) node.set_input(0, graph.initializer(0).name());
    }
    refused += 1 - survives(broken.bytes());
  }
  EXPECT_GT(refused, 200);
}

TEST_F(Damage, TensorFiles) {
  kvant_onnx::TensorProto proto;
  from_tensor(wave({3, 2}), "x", proto);
  const std::string whole = proto.SerializeAsString();
  Random random(3);
  int read_well = 0;
  for (int i = 0; i < 500; ++i) {
    std::string bytes = whole;
    bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    if (i % 2 == 0) bytes.resize(random.below(bytes.size()));
    try {
      read_tensor(save(bytes, "x.pb"));
      ++read_well;
    } catch (const Error& error) {
      EXPECT_STRNE(error.what(), "");
    }
  }
  EXPECT_GT(read_well, 20);
  EXPECT_LT(read_well, 480);
}

}  // namespace
}  // namespace kvant::formats
