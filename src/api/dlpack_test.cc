// SPDX-License-Identifier: Apache-2.0
// Tensors of other libraries through include/kvant/kvant.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <thread>

#include "kvant/kvant.h"
#if __has_include(<dlpack/dlpack.h>)
#include <dlpack/dlpack.h>
#endif

namespace kvant::api {
namespace {

using testing::HasSubstr;

const std::filesystem::path kFloatModel =
    std::filesystem::path(KVANT_SOURCE_DIR) / "tests/models/fashion_resnet8.onnx";

// Numbers with a DLPack tensor over them.
struct Numbers {
  explicit Numbers(std::vector<int64_t> dims)
      : shape(std::move(dims)), values(static_cast<size_t>(count())) {}
  int64_t count() const {
    int64_t n = 1;
    for (const int64_t dim : shape) n *= dim;
    return n;
  }
  dlpack::Tensor tensor() {
    return {.data = values.data(), .ndim = static_cast<int32_t>(shape.size()), .shape = shape.data()};
  }
  std::vector<int64_t> shape;
  std::vector<float> values;
};

Numbers picture_of(int64_t batch) {
  Numbers image({batch, 1, 28, 28});
  for (size_t i = 0; i < image.values.size(); ++i)
    image.values[i] = 0.5f + 0.5f * std::sin(0.013f * static_cast<float>(i));
  return image;
}

Array array_of(const Numbers& numbers) { return {numbers.shape, numbers.values}; }

std::vector<float> values_of(const dlpack::Tensor& tensor, size_t count) {
  const auto* at = static_cast<const float*>(tensor.data);
  return {at, at + count};
}

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

Model quantized_model() {
  const Model model = Model::read(kFloatModel);
  const Numbers image = picture_of(1);
  return quantize(model, batches({{array_of(image)}}), {}).model;
}

TEST(DlPack, RunsWhereTensorsLie) {
  const Model model = quantized_model();
  Engine engine = Engine::build(model, {.threads = 2});
  for (const int64_t batch : {1, 4}) {  // the second is planned anew
    Numbers image = picture_of(batch);
    const std::vector<Array> expected = engine.run({array_of(image)});
    Numbers result(expected[0].shape);
    engine.run_into({image.tensor()}, {result.tensor()});
    EXPECT_EQ(result.values, expected[0].values);
    const std::vector<dlpack::Owned> owned = engine.run_dlpack({image.tensor()});
    ASSERT_EQ(owned.size(), 1u);
    EXPECT_EQ(values_of(owned[0]->tensor, result.values.size()), expected[0].values);
    EXPECT_EQ(std::vector<int64_t>(owned[0]->tensor.shape, owned[0]->tensor.shape + owned[0]->tensor.ndim),
              expected[0].shape);
    EXPECT_EQ(owned[0]->tensor.device.type, dlpack::kCpu);
  }
}

// What a run leaves on the card, the next one takes from there; on the emulated card nothing else could read
// it.
TEST(DlPack, RunsOnTensorsOfACard) {
  const Model model = quantized_model();
  Numbers image = picture_of(1);
  const std::vector<Array> expected = Engine::build(model, {.threads = 1}).run({array_of(image)});
  Engine engine = Engine::build(model, {.threads = 1, .device = "emulated-cuda"});
  EXPECT_EQ(engine.run({array_of(image)})[0].values, expected[0].values);
  Engine beside = engine.context();
  for (int run = 0; run < 3; ++run) {
    const std::vector<dlpack::Owned> there = beside.run_dlpack({image.tensor()}, true);
    EXPECT_EQ(there[0]->tensor.device.type, dlpack::kCuda);
    Numbers result(expected[0].shape);
    dlpack::Tensor pinned = result.tensor();
    pinned.device.type = dlpack::kCudaHost;
    beside.run_into({image.tensor()}, {pinned});
    EXPECT_EQ(result.values, expected[0].values);
  }
}

TEST(DlPack, RefusesWhatItCannotReadInPlace) {
  Engine engine = Engine::build(quantized_model(), {.threads = 1});
  Numbers image = picture_of(1), result({1, 10});
  const auto refused = [&](const std::function<void(dlpack::Tensor&)>& spoil) {
    dlpack::Tensor input = image.tensor();
    spoil(input);
    return refusal([&] { engine.run_into({input}, {result.tensor()}); });
  };
  EXPECT_EQ(refused([](auto&) {}), "nothing was refused");
  EXPECT_THAT(refused([](auto& t) { t.dtype.bits = 64; }),
              HasSubstr("elements of another type than the model's f32"));
  EXPECT_THAT(refused([](auto& t) { t.dtype.lanes = 2; }), HasSubstr("elements of another type"));
  EXPECT_THAT(refused([](auto& t) { t.data = nullptr; }), HasSubstr("has no data"));
  EXPECT_THAT(refused([](auto& t) { t.byte_offset = 2; }),
              HasSubstr("is not aligned to its elements of 4 bytes"));
  EXPECT_THAT(refused([](auto& t) { t.ndim = 3; }), HasSubstr("takes 4 dimensions"));
  EXPECT_THAT(refused([](auto& t) { t.shape = nullptr; }), HasSubstr("has no shape"));
  EXPECT_THAT(refused([](auto& t) { t.device = {10, 0}; }), HasSubstr("a device of DLPack's type 10"));
  EXPECT_THAT(refused([](auto& t) {
                t.device = {dlpack::kCuda, 1};
              }),
              HasSubstr("lies on cuda:1 and the engine runs on cpu"));
  std::vector<int64_t> strides = {784, 784, 1, 28};
  EXPECT_THAT(refused([&](auto& t) { t.strides = strides.data(); }), HasSubstr("copy it row by row first"));
  strides = {1, 5, 28, 1};  // steps along dimensions of one element do not matter
  EXPECT_EQ(refused([&](auto& t) { t.strides = strides.data(); }), "nothing was refused");
  EXPECT_THAT(refusal([&] { engine.run_into({}, {}); }), HasSubstr("takes 1 inputs, and 0 are given"));
  EXPECT_THAT(refusal([&] { engine.run_into({image.tensor()}, {}); }), HasSubstr("gives 1 outputs"));
  Numbers narrow({1, 9});
  EXPECT_THAT(refusal([&] { engine.run_into({image.tensor()}, {narrow.tensor()}); }),
              HasSubstr("has the shape 1x9 where 1x10 belongs"));
  EXPECT_THAT(refusal([&] { engine.run_dlpack({image.tensor()}, true); }),
              HasSubstr("outputs on a card are wanted, and the engine runs on the host"));
}

TEST(Contexts, OfAnEngineRunBesideIt) {
  Engine engine = Engine::build(quantized_model(), {.threads = 1});
  Numbers image = picture_of(3);
  const std::vector<float> expected = engine.run({array_of(image)})[0].values;
  std::vector<std::thread> users;
  for (int user = 0; user < 3; ++user) {
    users.emplace_back([&, context = engine.context(user)]() mutable {
      for (int run = 0; run < 3; ++run) EXPECT_EQ(context.run({array_of(image)})[0].values, expected);
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_THAT(refusal([&] { engine.context(-1); }), HasSubstr("-1 threads"));
}

#if __has_include(<dlpack/dlpack.h>)
TEST(DlPack, HasTheLayoutOfItsHeader) {
  static_assert(sizeof(DLManagedTensor) == sizeof(dlpack::ManagedTensor));
  static_assert(offsetof(DLManagedTensor, manager_ctx) == offsetof(dlpack::ManagedTensor, manager));
  static_assert(offsetof(DLManagedTensor, deleter) == offsetof(dlpack::ManagedTensor, deleter));
  static_assert(offsetof(DLTensor, ndim) == offsetof(dlpack::Tensor, ndim));
  static_assert(offsetof(DLTensor, strides) == offsetof(dlpack::Tensor, strides));
  static_assert(dlpack::kCuda == static_cast<int>(kDLCUDA) &&
                dlpack::kCudaHost == static_cast<int>(kDLCUDAHost));
  int64_t shape[] = {2, 3};
  float values[6] = {};
  DLTensor theirs{};
  theirs.data = values;
  theirs.device = {kDLCUDA, 3};
  theirs.ndim = 2;
  theirs.dtype = {kDLFloat, 32, 1};
  theirs.shape = shape;
  theirs.byte_offset = 12;
  const dlpack::Tensor ours = dlpack::as_tensor(theirs);
  EXPECT_EQ(ours.data, values);
  EXPECT_EQ(ours.device.type, dlpack::kCuda);
  EXPECT_EQ(ours.device.id, 3);
  EXPECT_EQ(ours.dtype.code, dlpack::kFloat);
  EXPECT_EQ(ours.dtype.bits, 32);
  EXPECT_EQ(ours.shape, shape);
  EXPECT_EQ(ours.strides, nullptr);
  EXPECT_EQ(ours.byte_offset, 12u);
}
#endif

}  // namespace
}  // namespace kvant::api
