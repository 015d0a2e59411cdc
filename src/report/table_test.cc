// SPDX-License-Identifier: Apache-2.0
#include "report/table.h"

#include <gtest/gtest.h>

namespace kvant::report {
namespace {

TEST(Table, AlignsColumns) {
  Table table({"name", "ms"}, {Align::Left, Align::Right});
  table.add({"conv1", "1.25"});
  table.add({"a", "10.00"});
  EXPECT_EQ(table.text(), "name      ms\n-----  -----\nconv1   1.25\na      10.00\n");
  EXPECT_EQ(table.markdown(), "| name | ms |\n|---|--:|\n| conv1 | 1.25 |\n| a | 10.00 |\n");
}

TEST(Table, WideTextGoesOnInFurtherLines) {
  Table table({"name", "reason", "ms"}, {Align::Left, Align::Left, Align::Right});
  table.add({"conv1", "residual branch of conv2: float input", "1.25"});
  table.add({"b", "short", "2.00"});
  EXPECT_EQ(table.text(33),
            "name   reason                  ms\n"
            "-----  --------------------  ----\n"
            "conv1  residual branch of    1.25\n"
            "       conv2: float input\n"
            "b      short                 2.00\n");
}

TEST(Table, WordsThatAreTooLongAreBrokenBetweenCharacters) {
  Table table({"name"});
  table.add({"äöüäöüäöüäöü"});
  EXPECT_EQ(table.text(8), "name\n--------\näöüäöüäö\nüäöü\n");
}

TEST(Table, TheWidestColumnsGiveWayTogether) {
  Table table({"a", "b", "c"});
  table.add({std::string(60, 'x'), std::string(50, 'y'), "zz"});
  const std::string text = table.text(40);
  EXPECT_NE(text.find("\n" + std::string(17, '-') + "  " + std::string(17, '-') + "  --\n"),
            std::string::npos)
      << text;
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1)
    EXPECT_LE(text.find('\n', begin) - begin, 40u);
}

}  // namespace
}  // namespace kvant::report
