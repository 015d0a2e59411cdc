// SPDX-License-Identifier: Apache-2.0
#include "report/explain.h"

#include "base/file.h"
#include "cli/model_file.h"
#include "formats/model.h"
#include "ops/ops.h"
#include "quant/lint/lint.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

constexpr size_t kWidth = 100;

// Words in lines of at most kWidth characters, each begun by `indent` spaces.
std::string wrapped(const std::string& text, size_t indent) {
  std::string result, line(indent, ' ');
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (line.size() > indent && line.size() + 1 + word.size() > kWidth) {
      result += line + "\n";
      line.assign(indent, ' ');
    }
    line += (line.size() > indent ? " " : "") + word;
    begin = end + 1;
  }
  return result + line + "\n";
}

Json lint_json(const std::vector<quant::Finding>& findings) {
  Json list = Json::array();
  for (const quant::Finding& finding : findings) {
    list.push_back(
        {{"code", finding.code}, {"node", finding.node}, {"message", finding.message}, {"fix", finding.fix}});
  }
  return list;
}

std::string lint_text(const std::vector<quant::Finding>& findings) {
  if (findings.empty()) return "lint: nothing found\n";
  std::string text = fmt::format("lint: {} findings\n", findings.size());
  for (const quant::Finding& finding : findings) {
    text += wrapped(finding.code + " " + finding.node, 0) + wrapped(finding.message, 4) +
            wrapped("fix: " + finding.fix, 4);
  }
  return text;
}

void add_layers(const report::Explanation& explanation, Result& result) {
  Json layers = Json::array(), pairs = Json::array();
  report::Table table({"layer", "operator", "precision", "runs on", "why"});
  for (const report::ExplainedLayer& layer : explanation.layers) {
    layers.push_back({{"name", layer.name},
                      {"op", layer.op},
                      {"precision", layer.precision},
                      {"kernel", layer.kernel},
                      {"reason", layer.reason},
                      {"nodes", layer.nodes}});
    table.add({layer.name, layer.op, layer.precision, layer.kernel.substr(0, layer.kernel.find(' ')),
               layer.reason});
  }
  std::map<std::string, int64_t> fates;
  report::Table apart({"Q or DQ left", "where", "why"});
  for (const report::PairFate& pair : explanation.qdq) {
    pairs.push_back({{"node", pair.node}, {"fate", pair.fate}, {"into", pair.into}, {"reason", pair.reason}});
    ++fates[pair.fate];
    if (pair.fate == "separate") apart.add({pair.node, pair.into, pair.reason});
  }
  result.json["layers"] = std::move(layers);
  result.json["qdq"] = std::move(pairs);
  result.text = table.text() + "\nQ and DQ:";
  for (const auto& [fate, count] : fates) result.text += fmt::format(" {} {},", count, fate);
  result.text.back() = '\n';
  if (fates.contains("separate")) result.text += apart.text();
}

Result run(const Flags& flags, Progress& progress) {
  const bool fix = flags.on("fix");
  if (fix != flags.given("output"))
    throw UsageError(fix ? "--fix needs -o FILE for the repaired model" : "-o FILE goes with --fix");
  if (fix) require_writable(flags.path("output"));
  ir::Graph graph = read_graph(flags.path("MODEL"));
  std::map<std::string, int64_t> fixed;
  if (fix) {
    fixed = noting([&] { return "while repairing " + flags.text("MODEL"); },
                   [&] { return quant::fix_findings(graph, ops::standard()); });
    formats::write(graph, flags.path("output"), {.opset = static_cast<int>(flags.integer("opset", 13, 21))});
  }
  engine::BuildOptions options{.batch = flags.integer("batch", 1, 65536), .threads = threads_of(flags)};
  options.progress = &progress;
  const backends::DeviceBackends device = device_of(flags);
  const engine::Plan plan =
      noting([&] { return "while building " + flags.text("MODEL"); },
             [&] { return engine::build(graph, ops::standard(), device.list(), options); });
  Result result;
  add_layers(report::explain(graph, plan), result);
  if (device.device() != "cpu") {
    result.json["host_layers"] = host_layers(plan);
    result.text += "\n" + host_layers_line(plan, device.device());
  }
  const std::vector<quant::Finding> findings = quant::lint(graph);
  result.json["lint"] = lint_json(findings);
  result.text += "\n" + lint_text(findings);
  if (fix) {
    result.json["fixed"] = fixed;
    result.json["output"] = flags.text("output");
    result.text += "\nfixed:";
    for (const auto& [code, count] : fixed) result.text += fmt::format(" {} {},", count, code);
    if (fixed.empty()) result.text += " nothing,";
    result.text += fmt::format(" written to {}\n", flags.text("output"));
  }
  return result;
}

}  // namespace

Command explain() {
  return {
      .name = "explain",
      .summary = "what became of each layer and each Q/DQ, and why; lint with fixes",
      .example = "model.qdq.onnx --fix -o better.qdq.onnx",
      .flags = {{.name = "MODEL", .value = "", .help = "QDQ ONNX file", .required = true},
                {.name = "fix",
                 .value = "",
                 .help = "repair what only takes away roundings or is rewritten exactly"},
                {.name = "output", .value = "FILE", .help = "the repaired model, with --fix", .letter = "o"},
                {.name = "batch", .value = "N", .help = "batch size of the plan", .fallback = "1"},
                {.name = "opset", .value = "N", .help = "least opset of the file", .fallback = "13"}},
      .run = run,
      .any_device = true};
}

}  // namespace kvant::cli
