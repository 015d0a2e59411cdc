// SPDX-License-Identifier: Apache-2.0
// Both tactics of squeeze-excite in the emulator against the reference of the four operators, under random
// schedules. More shapes and forms: backends/cuda/operators_test.cc.
#include "backends/cuda/kernels/excite/excite.h"

#include <gtest/gtest.h>

#include "backends/cuda/kernels/emulated_run.h"
#include "ops/run_op.h"

namespace kvant::backends::cuda {
namespace {

using Ints = std::vector<int64_t>;

struct Product {
  ConvDesc desc;
  Tensor w, multiplier, bias;
  std::vector<std::byte> packed;

  Product(int64_t c, int64_t k, Random& random)
      : w(random_codes(DType::Int8, {k, 1, 1, c}, random)),
        multiplier(random_reals({k}, random, 1e-4f, 1e-3f)),
        bias(random_reals({k}, random, -20, 20)) {
    desc.shape.c = c, desc.shape.k = k;
    desc.x_zero_point = 4;
    desc.epilogue.out = {4, 0, 255};
    packed.resize(excite_packed_bytes(desc));
    pack_excite(desc, {w.data<int8_t>().data(), multiplier.data<float>().data(), bias.data<float>().data()},
                packed.data());
  }
  Tensor reference(const Tensor& x) const {
    return ops::run_op("QConv", {x, w, multiplier, bias},
                       {{"strides", Ints{1, 1}},
                        {"pads", Ints{0, 0, 0, 0}},
                        {"dilations", Ints{1, 1}},
                        {"group", int64_t{1}},
                        {"x_zero_point", int64_t{4}},
                        {"output", std::string("u8")},
                        {"activation", std::string()},
                        {"y_zero_point", int64_t{4}},
                        {"low", int64_t{0}},
                        {"high", int64_t{255}}});
  }
};

TEST(CudaExcite, BothTacticsUnderAnySchedule) {
  Random random(11);
  for (const auto& [shape, hidden] : {std::pair<Shape, int64_t>{{2, 5, 3, 48}, 4}, {{1, 4, 6, 272}, 10}}) {
    const Tensor x = random_codes(DType::UInt8, shape, random);
    const Product reduce(shape[3], hidden, random), expand(hidden, shape[3], random);
    ExciteDesc desc;
    PoolShape& s = desc.pool.shape;
    s.n = shape[0], s.h = s.kh = shape[1], s.w = s.kw = shape[2], s.c = shape[3];
    desc.pool.average = true;
    desc.pool.multiplier = 1.1f, desc.pool.x_zero_point = 4, desc.pool.out = {4, 0, 255};
    desc.reduce = reduce.desc, desc.expand = expand.desc;
    desc.scale.a_multiplier = 0.004f;
    desc.scale.a_zero_point = desc.scale.b_zero_point = 4;
    desc.scale.out = {4, 0, 255};
    const ir::Attributes codes{{"output", std::string("u8")}, {"y_zero_point", int64_t{4}}};
    ir::Attributes pool = codes, scale = codes;
    pool.set("multiplier", 1.1f), pool.set("x_zero_point", int64_t{4});
    scale.set("multiplier", 0.004f);
    scale.set("a_zero_point", int64_t{4}), scale.set("b_zero_point", int64_t{4});
    const Tensor gate = expand.reference(reduce.reference(ops::run_op("QGlobalAveragePool", {x}, pool)));
    const Tensor wanted = ops::run_op("QMul", {x, gate}, scale);
    std::string why;
    EXPECT_EQ(excite_tactics(desc, 80, why), std::vector<std::string>{"two"});
    for (const std::string& tactic : excite_tactics(desc, 90, why)) {
      for (const uint64_t seed : {0, 1, 2}) {
        Tensor y(DType::UInt8, shape), pooled(DType::UInt8, {shape[0] * shape[3]});
        const ExcitePointers pointers{reduce.packed.data(), expand.packed.data(), x.raw(),
                                      pooled.mutable_raw(), y.mutable_raw()};
        for (const Launch& launch : excite_launches(desc, tactic, pointers))
          emulate(launch, {emulator::Copies::Lazy, seed > 0, seed});
        EXPECT_EQ(y, wanted) << tactic << " " << seed;
      }
    }
  }
}

// Large images are for a whole card, small ones for a cluster.
TEST(CudaExcite, TheCostModelKnowsTheImagesSize) {
  ExciteDesc desc;
  desc.pool.shape.c = desc.reduce.shape.c = desc.expand.shape.k = 96;
  desc.reduce.shape.k = desc.expand.shape.c = 4;
  std::string why;
  desc.pool.shape.h = desc.pool.shape.w = 56;
  EXPECT_EQ(excite_tactics(desc, 90, why).at(0), "two") << why;
  desc.pool.shape.h = desc.pool.shape.w = 14;
  EXPECT_EQ(excite_tactics(desc, 90, why).at(0), "cluster8");
  desc.expand.shape.c = 5;
  EXPECT_TRUE(excite_tactics(desc, 90, why).empty());
  EXPECT_EQ(why, "the products do not fit the channels");
}

}  // namespace
}  // namespace kvant::backends::cuda
