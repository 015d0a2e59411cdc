// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {
namespace {

std::string differences(const Json& tensors, bool codes) {
  HtmlTable table(
      {"tensor", "largest error", "mean error", "SQNR dB", "cosine", codes ? "codes that differ" : ""},
      {Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right});
  for (const Json& tensor : tensors) {
    const auto sqnr = number_in(tensor, "sqnr_db"), differing = number_in(tensor, "differing");
    const auto small = [&](const char* key) {
      const auto value = number_in(tensor, key);
      return value ? fmt::format("{:.3g}", *value) : std::string();
    };
    table.add({text_in(tensor, "name"), small("max_abs"), small("mean_abs"),
               Cell(shown(sqnr, 1), std::clamp(sqnr.value_or(0) / 100, 0.0, 1.0)),
               shown(number_in(tensor, "cosine"), 6),
               codes && differing ? fmt::format("{:.2g}", *differing) : ""});
  }
  return table.html();
}

}  // namespace

std::string compare_section(const CommandResult& result) {
  const Json &outputs = list_in(result.json, "outputs"), &tensors = list_in(result.json, "tensors");
  if (outputs.empty() && tensors.empty()) return "";
  std::string html =
      heading(2, fmt::format("Compared: {} with {}", text_in(result.json, "b"), text_in(result.json, "a")));
  if (const auto agreement = number_in(result.json, "top1_agreement"))
    html += paragraph(fmt::format("The same top-1 on {} of the samples.", per_cent(agreement)));
  html += differences(outputs, false);
  if (!tensors.empty())
    html += folded(fmt::format("All {} tensors", tensors.size()), differences(tensors, true));
  return html;
}

}  // namespace kvant::report
