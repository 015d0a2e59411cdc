// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {
namespace {

struct Row {
  std::string kind;
  std::optional<double> bytes, top1, top5, samples, latency, int8_layers, layers, agreement, sqnr;
  std::string conditions;  // of the latency
};

void add_inspect(const Json& json, Row& row) {
  row.bytes = number_in(json, "bytes");
  if (text_in(json, "format") == "plan") {
    row.kind = "plan";
  } else {
    row.kind = number_in(object_in(json, "qdq"), "activation_pairs").value_or(0) > 0 ? "QDQ" : "float";
  }
}

void add_bench(const Json& json, Row& row) {
  row.latency = number_in(object_in(json, "latency_ms"), "median");
  row.conditions =
      fmt::format("{} batch {}, {} threads", text_in(json, "runner") == "torch" ? "LibTorch," : "engine,",
                  shown(number_in(json, "batch"), 0), shown(number_in(json, "threads"), 0));
}

void add_explain(const Json& json, Row& row) {
  double integer = 0, all = 0;
  for (const Json& layer : list_in(json, "layers")) {
    if (text_in(layer, "kernel") == "view") continue;
    all += 1;
    integer += text_in(layer, "precision").starts_with("int8") ? 1 : 0;
  }
  row.int8_layers = integer;
  row.layers = all;
}

void add_compare(const Json& json, Row& row) {
  row.agreement = number_in(json, "top1_agreement");
  for (const Json& output : list_in(json, "outputs")) {
    const auto sqnr = number_in(output, "sqnr_db");
    if (sqnr && (!row.sqnr || *sqnr < *row.sqnr)) row.sqnr = sqnr;
  }
}

}  // namespace

std::string overview(std::span<const CommandResult> results) {
  std::map<std::string, Row> rows;
  std::vector<std::string> order;
  const auto row_of = [&](const std::string& model) -> Row& {
    if (!rows.contains(model)) order.push_back(model);
    return rows[model];
  };
  for (const CommandResult& result : results) {  // rows in the order of the files
    if (text_in(result.json, "command") == "inspect" && !text_in(result.json, "model").empty())
      add_inspect(result.json, row_of(text_in(result.json, "model")));
  }
  for (const CommandResult& result : results) {
    const std::string command = text_in(result.json, "command"), model = text_in(result.json, "model");
    if (command == "compare" && !text_in(result.json, "b").empty()) {
      add_compare(result.json, row_of(text_in(result.json, "b")));
    }
    if (model.empty()) continue;
    if (command == "bench" && number_in(object_in(result.json, "latency_ms"), "median"))
      add_bench(result.json, row_of(model));
    if (command == "explain") add_explain(result.json, row_of(model));
    if (command == "eval") {
      Row& row = row_of(model);
      row.top1 = number_in(result.json, "top1");
      row.top5 = number_in(result.json, "top5");
      row.samples = number_in(result.json, "samples");
    }
  }
  if (order.empty()) return "";
  double slowest = 0;
  std::set<std::string> conditions;
  for (const auto& [name, row] : rows) {
    slowest = std::max(slowest, row.latency.value_or(0));
    if (row.latency) conditions.insert(row.conditions);
  }
  const bool same = conditions.size() == 1;
  constexpr Align kRight = Align::Right;
  HtmlTable table(
      {"file", "kind", "size", "INT8 layers", "top-1", "top-5", "samples", "agrees", "SQNR dB", "latency ms",
       "times the slowest", "measured"},
      {Align::Left, Align::Left, kRight, kRight, kRight, kRight, kRight, kRight, kRight, kRight, kRight});
  for (const std::string& name : order) {
    const Row& row = rows[name];
    const double ratio = row.latency.value_or(0) > 0 ? slowest / *row.latency : 0;
    table.add({name, row.kind, bytes_shown(row.bytes),
               row.layers ? fmt::format("{:.0f} of {:.0f}", *row.int8_layers, *row.layers) : "",
               per_cent(row.top1), per_cent(row.top5), shown(row.samples, 0), per_cent(row.agreement),
               shown(row.sqnr, 1),
               Cell(shown(row.latency), slowest > 0 ? row.latency.value_or(0) / slowest : 0),
               ratio > 0 ? fmt::format("{:.2f}x", ratio) : "", same ? "" : row.conditions});
  }
  return heading(2, "All models") + (same ? paragraph("Latency: " + *conditions.begin() + ".") : "") +
         table.html();
}

}  // namespace kvant::report
