// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>

#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {

std::string explain_section(const CommandResult& result) {
  const Json &layers = list_in(result.json, "layers"), &pairs = list_in(result.json, "qdq"),
             &findings = list_in(result.json, "lint");
  if (layers.empty()) return "";
  std::map<std::string, int> fates, precisions;
  HtmlTable table({"layer", "operator", "precision", "kernel", "why"});
  for (const Json& layer : layers) {
    if (text_in(layer, "kernel") != "view") ++precisions[text_in(layer, "precision")];
    table.add({text_in(layer, "name"), text_in(layer, "op"), text_in(layer, "precision"),
               text_in(layer, "kernel"), text_in(layer, "reason")});
  }
  HtmlTable fate_table({"Q or DQ", "what became of it", "in", "why"});
  for (const Json& pair : pairs) {
    ++fates[text_in(pair, "fate")];
    fate_table.add(
        {text_in(pair, "node"), text_in(pair, "fate"), text_in(pair, "into"), text_in(pair, "reason")});
  }
  std::string line = "Layers:";
  for (const auto& [name, count] : precisions) line += fmt::format(" {} {},", count, name);
  line += " Q and DQ:";
  for (const auto& [name, count] : fates) line += fmt::format(" {} {},", count, name);
  line.back() = '.';
  std::string html =
      heading(2, "What became of each layer: " + text_in(result.json, "model")) + paragraph(line);
  if (!findings.empty()) {
    HtmlTable lint({"finding", "node", "what it costs", "what to do"});
    for (const Json& finding : findings)
      lint.add({text_in(finding, "code"), text_in(finding, "node"), text_in(finding, "message"),
                text_in(finding, "fix")});
    html += lint.html();
  }
  html += folded(fmt::format("All {} layers of the plan", layers.size()), table.html());
  return html + folded(fmt::format("All {} Q and DQ", pairs.size()), fate_table.html());
}

}  // namespace kvant::report
