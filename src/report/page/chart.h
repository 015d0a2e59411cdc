// SPDX-License-Identifier: Apache-2.0
// Charts as inline SVG. Values that are not finite, or not above 0 on a logarithmic axis, are left out.
#pragma once

#include <string>
#include <vector>

namespace kvant::report {

struct Axis {
  std::string title;
  bool logarithmic = false;
};

struct Point {
  double x = 0, y = 0;
  std::string label;  // shown under the pointer
  double weight = 0;  // 0 to 1: the larger, the larger the dot
  int group = 0;      // its colour: 0, 1 or 2
};

struct Line {
  std::string name;
  std::vector<std::pair<double, double>> points;
  int group = -1;  // its colour; -1: a dashed line that bounds
};

struct Chart {
  Axis x, y;
  std::vector<Point> points;
  std::vector<Line> lines;
  std::vector<std::string> groups;  // names for the legend
};

// "" when nothing can be drawn.
std::string svg(const Chart& chart);

}  // namespace kvant::report
