// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {
namespace {

std::string repair_table(const Json& steps) {
  HtmlTable table({"repair step", "kept", "error before", "error after", "seconds", "remark"},
                  {Align::Left, Align::Left, Align::Right, Align::Right, Align::Right, Align::Left});
  for (const Json& step : steps) {
    const auto before = number_in(step, "error_before"), after = number_in(step, "error_after");
    const bool kept =
        step.is_object() && step.contains("kept") && step["kept"].is_boolean() && step["kept"].get<bool>();
    table.add({text_in(step, "name"), kept ? "yes" : "no", before ? fmt::format("{:.3g}", *before) : "",
               after ? fmt::format("{:.3g}", *after) : "", shown(number_in(step, "seconds"), 1),
               text_in(step, "remark")});
  }
  return table.empty() ? "" : table.html();
}

std::string ranges_table(const Json& ranges) {
  HtmlTable table({"tensor", "low", "high", "calibrator"},
                  {Align::Left, Align::Right, Align::Right, Align::Left});
  for (const auto& [name, range] : ranges.items()) {
    const auto low = number_in(range, "low"), high = number_in(range, "high");
    table.add({name, low ? fmt::format("{:.5g}", *low) : "", high ? fmt::format("{:.5g}", *high) : "",
               text_in(range, "calibrator")});
  }
  return table.html();
}

std::string reasons_table(const Json& layers) {
  HtmlTable table({"layer", "operator", "quantized", "why"});
  for (const Json& layer : layers) {
    const bool quantized = layer.is_object() && layer.contains("quantized") &&
                           layer["quantized"].is_boolean() && layer["quantized"].get<bool>();
    table.add(
        {text_in(layer, "name"), text_in(layer, "op"), quantized ? "yes" : "no", text_in(layer, "reason")});
  }
  return table.html();
}

std::string pairs_table(const Json& pairs) {
  HtmlTable table({"quantizer", "tensor", "bits", "readers", "why"},
                  {Align::Left, Align::Left, Align::Right, Align::Right, Align::Left});
  for (const Json& pair : pairs)
    table.add({text_in(pair, "node"), text_in(pair, "tensor"), shown(number_in(pair, "bits"), 0),
               shown(number_in(pair, "readers"), 0), text_in(pair, "reason")});
  return table.html();
}

}  // namespace

std::string quantize_section(const CommandResult& result) {
  const Json& json = result.json;
  if (text_in(json, "output").empty()) return "";
  std::string html = heading(2, "Quantization: " + text_in(json, "output"));
  std::map<std::string, int> chosen;
  for (const auto& [name, range] : object_in(json, "ranges").items()) ++chosen[text_in(range, "calibrator")];
  std::string calibrators;
  for (const auto& [name, count] : chosen)
    calibrators += fmt::format("{}{} ({} tensors)", calibrators.empty() ? "" : ", ",
                               name.empty() ? "given" : name, count);
  html +=
      paragraph(fmt::format("From {}: {} Q/DQ pairs on activations, {} on weights, for {}. Ranges from {} "
                            "samples by {}; {} s, {} MiB of memory.",
                            text_in(json, "model"), shown(number_in(json, "activation_pairs"), 0),
                            shown(number_in(json, "weight_pairs"), 0), text_in(json, "target"),
                            shown(number_in(json, "samples"), 0), calibrators,
                            shown(number_in(json, "seconds"), 1), shown(number_in(json, "peak_rss_mb"), 0)));
  html += repair_table(list_in(json, "adjust"));
  const Json &layers = list_in(json, "layers"), &pairs = list_in(json, "qdq"),
             &ranges = object_in(json, "ranges");
  html += folded(fmt::format("Why each of {} layers is quantized or float", layers.size()),
                 reasons_table(layers));
  html += folded(fmt::format("Why each of {} quantizers is there", pairs.size()), pairs_table(pairs));
  html += folded(fmt::format("Ranges of {} tensors", ranges.size()), ranges_table(ranges));
  return html;
}

}  // namespace kvant::report
