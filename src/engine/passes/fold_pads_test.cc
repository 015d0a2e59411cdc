// SPDX-License-Identifier: Apache-2.0
// Pads that a reader's own padding cannot stand for stay, and results stay with them.
#include <gtest/gtest.h>

#include "engine/build/build.h"
#include "engine/passes/graph_text_test.h"

namespace kvant::engine {
namespace {

struct Kept {
  std::string what, text;
  size_t pads;  // that are left
};

void PrintTo(const Kept& kept, std::ostream* out) { *out << kept.what; }

std::string padded(const std::string& type, const std::string& amounts, const std::string& value,
                   const std::string& reader) {
  const std::string element = type.substr(0, type.find('['));
  return fmt::format(
      "graph \"g\" {{\ninput %x: {}\nconst %p: i64[8] = {{{}}} const %v: {}[] = {{{}}}\n"
      "%e = Pad \"pad\" (%x, %p, %v)\n{}output %y\n}}\n",
      type, amounts, element, value, reader);
}

class FoldPads : public testing::TestWithParam<Kept> {};

TEST_P(FoldPads, OnlyWhereTheResultIsTheSame) {
  const ir::Graph before = typed(GetParam().text);
  const ir::Graph after = lower(before, ops::standard());
  EXPECT_EQ(count(after, "Pad"), GetParam().pads);
  const std::vector<Tensor> inputs = random_inputs(before);
  EXPECT_LE(differing(ir::evaluate(before, ops::standard(), inputs)[0],
                      ir::evaluate(after, ops::standard(), inputs)[0], 1e-5),
            0);
}

std::vector<Kept> kept() {
  const std::string f = "f32[1,2,6,6]", u = "u8[1,2,6,6]", around = "0, 0, 1, 1, 0, 0, 1, 1";
  const std::string max = "%y = MaxPool \"max\" (%e) {kernel_shape = [3,3], strides = [2,2]}\n";
  const auto mean = [](const std::string& more) {
    return "%y = AveragePool \"mean\" (%e) {kernel_shape = [3,3]" + more + "}\n";
  };
  const std::string conv =
      "const %w: f32[3,2,3,3] = rand(3)\n%y = Conv \"conv\" (%e, %w) {pads = [1,0,1,0]}\n";
  return {
      {"zeros_before_a_convolution", padded(f, around, "0", conv), 0},
      {"a_number_before_a_convolution", padded(f, around, "0.5", conv), 1},
      {"channels", padded("f32[1,1,6,6]", "0, 1, 1, 1, 0, 0, 1, 1", "0", conv), 1},
      {"cut_off", padded(f, "0, 0, -1, 1, 0, 0, 1, 1", "0", conv), 1},
      {"zeros_that_may_win", padded(f, around, "0", max), 1},
      {"the_least_code", padded(u, around, "0", max), 0},
      {"a_larger_code", padded(u, around, "3", max), 1},
      {"windows_of_padding_only", padded(u, "0, 0, 3, 1, 0, 0, 1, 1", "0", max), 1},
      {"zeros_that_count", padded(f, around, "0", mean("")), 0},
      {"zeros_that_count_beside_some_that_do_not", padded(f, around, "0", mean(", pads = [1,1,1,1]")), 1},
      {"zeros_beside_others_that_count",
       padded(f, around, "0", mean(", pads = [1,1,1,1], count_include_pad = 1")), 0},
      {"a_number_before_a_mean", padded(f, around, "1", mean("")), 1},
  };
}

INSTANTIATE_TEST_SUITE_P(Kinds, FoldPads, testing::ValuesIn(kept()),
                         [](const testing::TestParamInfo<Kept>& info) { return info.param.what; });

}  // namespace
}  // namespace kvant::engine
