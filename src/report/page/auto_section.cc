// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "report/page/chart.h"
#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {

std::string auto_section(const CommandResult& result) {
  const Json& tried = list_in(result.json, "tried");
  if (tried.empty()) return "";
  constexpr Align kRight = Align::Right;
  HtmlTable table({"tried", "top-1", "agrees with float", "points lost", "ms", "speed-up", "verdict"},
                  {Align::Left, kRight, kRight, kRight, kRight, kRight, Align::Left});
  Chart chart{.x = {"times as fast as float"}, .y = {"points lost"}};
  chart.groups = {"chosen", "nothing tried is better in both", "others"};
  for (const Json& trial : tried) {
    const std::string name = text_in(trial, "name"), verdict = text_in(trial, "verdict");
    const auto drop = number_in(trial, "drop"), ms = number_in(trial, "latency_ms"),
               speedup = number_in(trial, "speedup");
    const auto points = drop ? std::optional(100 * *drop) : std::nullopt;
    table.add({name, per_cent(number_in(trial, "top1")), per_cent(number_in(trial, "agreement")),
               shown(points, 2), shown(ms, 3), speedup ? fmt::format("{:.2f}x", *speedup) : "", verdict});
    const bool front = trial.is_object() && trial.contains("front") && trial["front"] == true;
    if (points && speedup)
      chart.points.push_back(
          {*speedup, *points,
           fmt::format("{}: {:.2f} points lost, {:.2f} times as fast", name, *points, *speedup), 0.1,
           verdict == "chosen" ? 0
           : front             ? 1
                               : 2});
  }
  return heading(2, "The search: " + text_in(result.json, "model")) +
         paragraph(text_in(result.json, "sentence")) + svg(chart) + table.html();
}

}  // namespace kvant::report
