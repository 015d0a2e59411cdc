// SPDX-License-Identifier: Apache-2.0
#include "report/page/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "report/page/html.h"

namespace kvant::report {
namespace {

constexpr double kWidth = 860, kHeight = 380, kLeft = 64, kRight = 18, kTop = 14, kBottom = 46;
constexpr std::array<const char*, 3> kColours = {"one", "two", "three"};

const char* colour(int group) { return kColours[static_cast<size_t>(std::clamp(group, 0, 2))]; }

// One direction of the plane: values to pixels.
class Scale {
 public:
  Scale(bool logarithmic, double from, double to) : logarithmic_(logarithmic), from_(from), to_(to) {}

  bool fits(double value) const { return std::isfinite(value) && (!logarithmic_ || value > 0); }
  void include(double value) {
    low_ = std::min(low_, place(value));
    high_ = std::max(high_, place(value));
  }
  bool empty() const { return low_ > high_; }
  // Room around the values; a single value gets some too.
  void widen() {
    const double room = high_ > low_   ? 0.05 * (high_ - low_)
                        : logarithmic_ ? 0.5
                                       : std::abs(high_) * 0.1 + 1e-9;
    low_ -= room;
    high_ += room;
  }
  double at(double value) const {
    return from_ + (std::clamp(place(value), low_, high_) - low_) / (high_ - low_) * (to_ - from_);
  }
  // Powers of ten (with 2 and 5 where few fit), or about six round numbers.
  std::vector<double> ticks() const {
    std::vector<double> result;
    if (logarithmic_) {
      const bool dense = high_ - low_ < 2.5;
      for (double e = std::floor(low_); e <= high_; ++e) {
        for (const double digit : {1.0, 2.0, 5.0}) {
          const double value = digit * std::pow(10.0, e);
          if ((dense || digit == 1.0) && place(value) >= low_ && place(value) <= high_)
            result.push_back(value);
        }
      }
      return result;
    }
    const double raw = (high_ - low_) / 6, unit = std::pow(10.0, std::floor(std::log10(raw)));
    const double step = raw / unit < 1.5   ? unit
                        : raw / unit < 3.5 ? 2 * unit
                        : raw / unit < 7.5 ? 5 * unit
                                           : 10 * unit;
    for (double i = std::ceil(low_ / step); i * step <= high_; ++i)
      result.push_back(i * step + 0.0);  // no -0
    return result;
  }

 private:
  double place(double value) const { return logarithmic_ ? std::log10(value) : value; }

  bool logarithmic_;
  double from_, to_;
  double low_ = std::numeric_limits<double>::infinity(), high_ = -std::numeric_limits<double>::infinity();
};

class Plot {
 public:
  explicit Plot(const Chart& chart)
      : chart_(chart),
        x_(chart.x.logarithmic, kLeft, kWidth - kRight),
        y_(chart.y.logarithmic, kHeight - kBottom, kTop) {
    for (const Point& point : chart.points) include(point.x, point.y);
    for (const Line& line : chart.lines) {
      for (const auto& [x, y] : line.points) include(x, y);
    }
  }

  std::string svg() {
    if (x_.empty() || y_.empty()) return "";
    x_.widen();
    y_.widen();
    out_ = fmt::format("<svg viewBox=\"0 0 {} {}\" width=\"{}\" role=\"img\">\n", kWidth, kHeight, kWidth);
    axes();
    for (const Line& line : chart_.lines) draw(line);
    for (const Point& point : chart_.points) {
      if (!x_.fits(point.x) || !y_.fits(point.y)) continue;
      out_ += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"{}\"><title>{}</title></circle>\n",
          x_.at(point.x), y_.at(point.y), 3.5 + 7 * std::sqrt(std::clamp(point.weight, 0.0, 1.0)),
          colour(point.group), escaped(point.label));
    }
    legend();
    return out_ + "</svg>\n";
  }

 private:
  void include(double x, double y) {
    if (!x_.fits(x) || !y_.fits(y)) return;
    x_.include(x);
    y_.include(y);
  }
  void text(double x, double y, const char* anchor, std::string_view words, const char* style = "") {
    out_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y,
                        anchor, style, escaped(words));
  }
  void rule(double x1, double y1, double x2, double y2) {
    out_ += fmt::format("<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                        x1, y1, x2, y2);
  }
  void axes() {
    for (const double tick : x_.ticks()) {
      rule(x_.at(tick), kTop, x_.at(tick), kHeight - kBottom);
      text(x_.at(tick), kHeight - kBottom + 16, "middle", fmt::format("{:.4g}", tick), "soft");
    }
    for (const double tick : y_.ticks()) {
      rule(kLeft, y_.at(tick), kWidth - kRight, y_.at(tick));
      text(kLeft - 8, y_.at(tick) + 4, "end", fmt::format("{:.4g}", tick), "soft");
    }
    text((kLeft + kWidth) / 2, kHeight - 10, "middle", chart_.x.title);
    out_ += fmt::format(
        "<text x=\"14\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 14 "
        "{0:.1f})\">{1}</text>\n",
        (kTop + kHeight - kBottom) / 2, escaped(chart_.y.title));
  }
  void draw(const Line& line) {
    std::string points;
    double x = 0, y = 0;
    for (const auto& [px, py] : line.points) {
      if (!x_.fits(px) || !y_.fits(py)) continue;
      x = x_.at(px);
      y = y_.at(py);
      points += fmt::format("{:.1f},{:.1f} ", x, y);
    }
    if (points.empty()) return;
    const std::string style = line.group < 0 ? "roof" : fmt::format("line {}", colour(line.group));
    out_ += fmt::format("<polyline class=\"{}\" points=\"{}\"/>\n", style, points);
    if (line.group >= 0) return;
    const auto& [first_x, first_y] = line.points.front();
    if (first_y == line.points.back().second) {
      text(x - 4, y - 5, "end", line.name, "soft");
    } else {  // below the beginning of a line that rises
      text(x_.at(first_x) + 14, y_.at(first_y) + 4, "start", line.name, "soft");
    }
  }
  void legend() {
    double y = kHeight - kBottom - 12;
    for (size_t i = chart_.groups.size(); i-- > 0; y -= 16) {
      out_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" class=\"{}\"/>\n",
                          kWidth - kRight - 12, y - 4, colour(static_cast<int>(i)));
      text(kWidth - kRight - 22, y, "end", chart_.groups[i]);
    }
  }

  const Chart& chart_;
  Scale x_, y_;
  std::string out_;
};

}  // namespace

std::string svg(const Chart& chart) { return Plot(chart).svg(); }

}  // namespace kvant::report
