// SPDX-License-Identifier: Apache-2.0
#include "report/page/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>

namespace kvant::report {
namespace {

std::vector<std::pair<double, double>> dots(const std::string& svg) {
  std::vector<std::pair<double, double>> result;
  const std::regex dot("cx=\"([0-9.]+)\" cy=\"([0-9.]+)\" r=\"[0-9.]+\" class=\"[a-z]+\"><title>");
  for (std::sregex_iterator it(svg.begin(), svg.end(), dot), end; it != end; ++it)
    result.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  return result;
}

TEST(Chart, PointsStandWhereTheAxesSay) {
  Chart chart{.x = {"x", true}, .y = {"y"}};
  chart.points = {{1, 0, "a"}, {10, 5, "b"}, {100, 10, "<c>"}};
  const std::string text = svg(chart);
  const auto at = dots(text);
  ASSERT_EQ(at.size(), 3u) << text;
  EXPECT_NEAR(at[1].first - at[0].first, at[2].first - at[1].first, 0.2) << "a decade is as wide as the next";
  EXPECT_NEAR(at[0].second - at[1].second, at[1].second - at[2].second, 0.2);
  EXPECT_GT(at[0].second, at[2].second) << "larger values stand higher";
  EXPECT_NE(text.find("&lt;c&gt;"), std::string::npos);
}

TEST(Chart, LeavesOutWhatNoAxisHolds) {
  Chart chart{.x = {"x", true}, .y = {"y", true}};
  chart.points = {{0, 1, "zero"},
                  {-1, 1, "below"},
                  {std::nan(""), 1, "nan"},
                  {2, std::numeric_limits<double>::infinity(), "inf"}};
  EXPECT_EQ(svg(chart), "");
  chart.points.push_back({3, 4, "one"});
  EXPECT_EQ(dots(svg(chart)).size(), 1u);
}

TEST(Chart, LinesThatBoundCarryTheirNames) {
  Chart chart{.x = {"x"}, .y = {"y"}};
  chart.lines = {{.name = "roof", .points = {{0, 2}, {4, 2}}},
                 {.name = "loss", .points = {{0, 1}, {4, 3}}, .group = 0}};
  const std::string text = svg(chart);
  EXPECT_NE(text.find("class=\"roof\""), std::string::npos);
  EXPECT_NE(text.find(">roof</text>"), std::string::npos);
  EXPECT_NE(text.find("class=\"line one\""), std::string::npos);
}

}  // namespace
}  // namespace kvant::report
