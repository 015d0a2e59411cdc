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

TEST(Table, CutsTheWidestColumnToFit) {
  Table table({"name", "reason"});
  table.add({"conv1", std::string(300, 'x')});
  const std::string text = table.text(40);
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    EXPECT_LE(text.find('\n', begin) - begin, 40u);
  }
  EXPECT_NE(text.find("xxx..."), std::string::npos);
}

}  // namespace
}  // namespace kvant::report
