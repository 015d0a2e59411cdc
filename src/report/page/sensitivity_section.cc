// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "report/page/chart.h"
#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {

std::string sensitivity_section(const CommandResult& result) {
  const Json& layers = list_in(result.json, "layers");
  if (layers.empty()) return "";
  std::string html = heading(2, "What each layer's quantization costs: " + text_in(result.json, "model"));
  double worst = 0;
  for (const Json& layer : layers) worst = std::max(worst, number_in(layer, "relative_error").value_or(0));
  constexpr Align kRight = Align::Right;
  HtmlTable table({"layer", "operator", "error of the output", "SQNR dB", "top-1 lost", "agrees", "float ms",
                   "INT8 ms", "computed with"},
                  {Align::Left, Align::Left, kRight, kRight, kRight, kRight, kRight, kRight, Align::Left});
  Chart chart{.x = {"ms that INT8 saves"}, .y = {"relative error of the output", true}};
  for (const Json& layer : layers) {
    const auto error = number_in(layer, "relative_error"), slow = number_in(layer, "float_ms"),
               fast = number_in(layer, "int8_ms");
    table.add({text_in(layer, "name"), text_in(layer, "op"),
               Cell(error ? fmt::format("{:.3g}", *error) : "", worst > 0 ? error.value_or(0) / worst : 0),
               shown(number_in(layer, "sqnr_db"), 1), per_cent(number_in(layer, "top1_drop")),
               per_cent(number_in(layer, "agreement")), shown(slow, 4), shown(fast, 4),
               text_in(layer, "fused_into")});
    if (error && slow && fast && text_in(layer, "fused_into").empty())
      chart.points.push_back(
          {*slow - *fast, *error,
           fmt::format("{}: error {:.3g}, saves {:.4f} ms", text_in(layer, "name"), *error, *slow - *fast)});
  }
  return html +
         paragraph(
             "Each layer quantized alone, the others float. Above and left: layers that cost accuracy and "
             "save little time.") +
         svg(chart) + table.html();
}

}  // namespace kvant::report
