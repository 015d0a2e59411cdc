// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/adjust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "quant/adjust/adjust_testing.h"
#include "quant/adjust/output_error.h"
#include "zoo/zoo.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <class Fn>
std::string message_of(Fn fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ParseAdjusts, NamesNoneAndAuto) {
  EXPECT_THAT(parse_adjusts("none"), IsEmpty());
  EXPECT_THAT(parse_adjusts("auto"), ElementsAre("auto"));
  EXPECT_THAT(parse_adjusts("fold-batch-norm"), ElementsAre("fold-batch-norm"));
  EXPECT_EQ(adjusts()[0].name, "fold-batch-norm");
}

TEST(ParseAdjusts, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(message_of([] { parse_adjusts("fold-batchnorm"); }),
              HasSubstr("there is no repair step 'fold-batchnorm' (nearest: fold-batch-norm"));
  EXPECT_THAT(message_of([] { parse_adjusts(""); }), HasSubstr("there is no repair step ''"));
  EXPECT_THAT(message_of([] { parse_adjusts("fold-batch-norm,fold-batch-norm"); }),
              HasSubstr("'fold-batch-norm' is given twice"));
  EXPECT_THAT(message_of([] { parse_adjusts("auto,fold-batch-norm"); }), HasSubstr("'auto' stands alone"));
  EXPECT_THAT(message_of([] { parse_adjusts("fold-batch-norm,none"); }), HasSubstr("'none' stands alone"));
}

TEST(OutputError, SquaresOrDivergence) {
  const std::vector<Tensor> values{Tensor::of<float>({2, 2}, {1, -1, 2, -2})};
  const std::vector<Tensor> off{Tensor::of<float>({2, 2}, {1, -1, 2, -1})};
  OutputError squares;
  squares.add(values, off);
  EXPECT_DOUBLE_EQ(squares.value(), 1.0 / 10.0);
  squares.add(values, values);
  EXPECT_DOUBLE_EQ(squares.value(), 1.0 / 20.0);
  const std::vector<Tensor> p{Tensor::of<float>({1, 2}, {0.5f, 0.5f})};
  const std::vector<Tensor> q{Tensor::of<float>({1, 2}, {0.25f, 0.75f})};
  OutputError divergence;
  divergence.add(p, q);
  EXPECT_NEAR(divergence.value(), 0.5 * std::log(2.0) + 0.5 * std::log(0.5 / 0.75), 1e-7);
  OutputError same;
  same.add(p, p);
  EXPECT_EQ(same.value(), 0);
  OutputError broken;
  broken.add(values, std::vector<Tensor>{Tensor::of<float>({2, 2}, {1, -1, 2, NAN})});
  EXPECT_TRUE(std::isinf(broken.value()));
}

TEST(Adjust, RecordsTheStepsThatWereAskedFor) {
  const ir::Graph model = zoo::create("resnet8", {.input = {1, 8, 8}});
  const QuantizeResult result = quantize(model, ops::standard(), noise_set({1, 8, 8}, 1), interpret);
  ASSERT_EQ(result.adjust.size(), 1u);
  EXPECT_EQ(result.adjust[0].name, "fold-batch-norm");
  EXPECT_TRUE(result.adjust[0].kept);
  EXPECT_EQ(result.adjust[0].remark, "7 batch norms");
  EXPECT_FALSE(result.adjust[0].error_before.has_value());
  QuantizeOptions none;
  none.adjust = {};
  EXPECT_THAT(quantize(model, ops::standard(), noise_set({1, 8, 8}, 1), interpret, none).adjust, IsEmpty());
}

TEST(Adjust, AutoKeepsWhatLowersTheErrorOnHeldOutSamples) {
  const ir::Graph model = zoo::create("resnet8", {.input = {1, 8, 8}});
  QuantizeOptions options;
  options.adjust = {"auto"};
  const QuantizeResult result = quantize(model, ops::standard(), noise_set({1, 8, 8}, 3), interpret, options);
  ASSERT_EQ(result.adjust.size(), adjusts().size());
  EXPECT_EQ(result.adjust[0].name, "fold-batch-norm");
  EXPECT_TRUE(result.adjust[0].kept);
  EXPECT_FALSE(result.adjust[0].error_after.has_value());
  double error = *result.adjust[1].error_before;
  for (size_t i = 1; i < result.adjust.size(); ++i) {
    const AdjustRecord& record = result.adjust[i];
    EXPECT_EQ(*record.error_before, error);
    EXPECT_EQ(record.kept, *record.error_after < *record.error_before) << record.name;
    if (record.kept) error = *record.error_after;
  }
  EXPECT_EQ(result.table.samples, 12);  // ranges come from all of them
}

TEST(Adjust, AutoNeedsSamplesToHoldOut) {
  const ir::Graph model = zoo::create("resnet8", {.input = {1, 8, 8}});
  QuantizeOptions options;
  options.adjust = {"auto"};
  EXPECT_THAT(message_of([&] {
                quantize(model, ops::standard(), noise_set({1, 8, 8}, 1), interpret, options);
              }),
              HasSubstr("choosing repair steps needs at least 5 calibration samples"));
  EXPECT_THAT(message_of([&] { quantize(model, ops::standard(), {}, interpret, options); }),
              HasSubstr("choosing repair steps needs calibration data"));
}

}  // namespace
}  // namespace kvant::quant
