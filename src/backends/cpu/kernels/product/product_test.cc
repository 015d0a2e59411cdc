// SPDX-License-Identifier: Apache-2.0
// Every kernel of kernels.inc, bit for bit against the formula; and those of AVX-VNNI in the encoding that
// CPUs with AVX-512 have.
#include "backends/cpu/kernels/product/product.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "backends/cpu/kernels/guarded_bytes.h"
#include "backends/cpu/kernels/product/loops.h"
#include "base/random.h"

namespace kvant::backends::cpu {

extern const ProductKernels product_kernels_evex;

namespace {

std::vector<ProductKernels> tested_products() {
  const std::span<const ProductKernels> all = product_kernels();
  std::vector<ProductKernels> result(all.begin(), all.end());
  result.push_back(product_kernels_evex);
  return result;
}

struct ProductCase {
  ProductDesc desc;
  std::vector<uint8_t> a, b;
  CodeMatrix a_view, b_view;

  ProductCase(int64_t m, int64_t n, int64_t k, uint64_t seed) {
    Random random(seed);
    desc.m = m, desc.n = n, desc.k = k;
    desc.a_signed = seed % 2 == 0;
    desc.b_signed = seed / 2 % 2 == 0;
    desc.a_zero_point = static_cast<int32_t>(random.below(256)) - (desc.a_signed ? 128 : 0);
    desc.b_zero_point = static_cast<int32_t>(random.below(256)) - (desc.b_signed ? 128 : 0);
    desc.multiplier = 0.004f / std::sqrt(static_cast<float>(k));
    if (seed % 3 != 0) {
      desc.output = seed % 3 == 1 ? Code::U8 : Code::I8;
      desc.low = desc.output == Code::I8 ? -128 : 0;
      desc.high = desc.output == Code::I8 ? 120 : 255;
      desc.zero_point = desc.output == Code::I8 ? -7 : 131;
    }
    a.resize(static_cast<size_t>(m * k));
    b.resize(static_cast<size_t>(n * k));
    for (uint8_t& code : a) code = static_cast<uint8_t>(random.next());
    for (uint8_t& code : b) code = static_cast<uint8_t>(random.next());
    a_view = seed % 5 == 0 ? CodeMatrix{a.data(), 1, m} : CodeMatrix{a.data(), k, 1};
    b_view = seed % 5 < 2 ? CodeMatrix{b.data(), 1, k} : CodeMatrix{b.data(), n, 1};
  }

  // Only the ends of the codes' ranges, all of one sign, so that sums are as large as they can be.
  void make_extreme() {
    for (uint8_t& code : a) code = desc.a_signed ? 0x80 : 0xff;
    for (size_t i = 0; i < b.size(); ++i) b[i] = desc.b_signed ? 0x80 : 0xff;
    desc.a_zero_point = desc.a_signed ? 127 : 0;
    desc.b_zero_point = desc.b_signed ? 127 : 0;
  }

  std::vector<uint8_t> blank() const {
    return std::vector<uint8_t>(static_cast<size_t>(desc.m * desc.n * code_bytes(desc.output)), 0xEE);
  }

  std::vector<uint8_t> reference() const {
    std::vector<uint8_t> y = blank();
    for (int64_t i = 0; i < desc.m; ++i) {
      for (int64_t j = 0; j < desc.n; ++j) {
        int32_t acc = 0;
        for (int64_t k = 0; k < desc.k; ++k) {
          acc += centred_code(a_view.data[i * a_view.row_step + k * a_view.column_step], desc.a_signed,
                              desc.a_zero_point) *
                 centred_code(b_view.data[k * b_view.row_step + j * b_view.column_step], desc.b_signed,
                              desc.b_zero_point);
        }
        finish_element(desc, acc, reinterpret_cast<std::byte*>(y.data()), i * desc.n + j);
      }
    }
    return y;
  }

  // On buffers of exactly the right size, closed pages around them, scratch filled with rubbish.
  std::vector<uint8_t> run(const ProductKernels& kernels, int64_t cut) const {
    constexpr size_t kVector = 64;  // what engines align constants and scratch to
    const GuardedBytes left(a.data(), a.size(), 1), right(b.data(), b.size(), 1);
    CodeMatrix left_view = a_view, right_view = b_view;
    left_view.data = reinterpret_cast<const uint8_t*>(left.data());
    right_view.data = reinterpret_cast<const uint8_t*>(right.data());
    const GuardedBytes packed(kernels.packed_bytes(desc), kVector);
    kernels.pack(desc, right_view, packed.data());
    const GuardedBytes scratch(kernels.scratch_bytes(desc), kVector);
    std::memset(scratch.data(), 0xA5, kernels.scratch_bytes(desc));
    const std::vector<uint8_t> before = blank();
    const GuardedBytes y(before.data(), before.size(), 4);
    const ProductResult result{y.data(), desc.n};
    kernels.run(desc, left_view, packed.data(), result, 0, cut, scratch.data());
    kernels.run(desc, left_view, packed.data(), result, cut, desc.m, scratch.data());
    const auto* const results = reinterpret_cast<const uint8_t*>(y.data());
    return {results, results + before.size()};
  }
};

class ProductKernelsTest : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    kernels_ = tested_products()[GetParam()];
    if (!supports(kernels_.isa)) GTEST_SKIP() << "this CPU has no " << name(kernels_.isa);
  }
  ProductKernels kernels_{};
};

TEST_P(ProductKernelsTest, EqualsTheDefinitionOnEveryShape) {
  uint64_t seed = 1;
  for (const int64_t m : {1, 3, 4, 7, 13}) {
    for (const int64_t n : {1, 7, 8, 9, 16, 17, 33, 64, 70}) {
      for (const int64_t k : {1, 3, 4, 18, 64, 131}) {
        const ProductCase c(m, n, k, ++seed);
        ASSERT_EQ(c.run(kernels_, m / 2), c.reference())
            << kernels_.name << " on " << m << "x" << k << "x" << n << ", seed " << seed;
      }
    }
  }
}

TEST_P(ProductKernelsTest, SumsAtTheEndsOfTheirRange) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    ProductCase c(5, 19, 2048, seed);
    c.make_extreme();
    ASSERT_EQ(c.run(kernels_, 2), c.reference()) << kernels_.name << ", seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ProductKernelsTest, testing::Range<size_t>(0, tested_products().size()),
                         [](const auto& info) { return std::string(tested_products()[info.param].name); });

}  // namespace
}  // namespace kvant::backends::cpu
