// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include "cli/model_file.h"
#include "engine/engine.h"
#include "ir/infer.h"
#include "ir/statistics.h"
#include "ops/ops.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

Json signature(const ir::Graph& graph, std::span<const ir::ValueId> ids) {
  Json list = Json::array();
  for (const ir::ValueId id : ids) {
    const ir::Value& value = graph.value(id);
    Json shape = Json::array();
    if (value.type.shape) {
      for (size_t i = 0; i < value.type.shape->size(); ++i) {
        const int64_t dim = (*value.type.shape)[i];
        if (dim != kUnknownDim) {
          shape.push_back(dim);
        } else {
          shape.push_back(i < value.dim_names.size() && !value.dim_names[i].empty() ? value.dim_names[i]
                                                                                    : "?");
        }
      }
    }
    list.push_back({{"name", value.name}, {"dtype", name(value.type.dtype)}, {"shape", shape}});
  }
  return list;
}

std::string signature_text(const Json& list) {
  std::vector<std::string> parts;
  for (const Json& entry : list) {
    std::vector<std::string> dims;
    for (const Json& dim : entry["shape"])
      dims.push_back(dim.is_string() ? dim.get<std::string>() : dim.dump());
    parts.push_back(fmt::format("{} {}[{}]", entry["name"].get<std::string>(),
                                entry["dtype"].get<std::string>(), fmt::join(dims, ",")));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

void describe_plan(const engine::Plan& plan, Result& result, std::string& text) {
  Json layers = Json::array();
  report::Table table({"layer", "operator", "backend", "tactic"});
  for (const engine::PlanStep& step : plan.steps) {
    const ir::Node& node = plan.graph.node(step.node);
    layers.push_back({{"name", node.name},
                      {"op", node.op},
                      {"backend", step.backend},
                      {"tactic", step.tactic},
                      {"fallback", step.fallback},
                      {"reason", node.reason}});
    table.add({node.name, node.op, step.backend, step.tactic});
  }
  result.json["threads"] = plan.threads;
  result.json["isa"] = name(plan.isa);
  result.json["arena_bytes"] = plan.arena_bytes;
  result.json["layers"] = std::move(layers);
  text += fmt::format("threads     {}\nisa         {}\narena       {} bytes\n\n", plan.threads,
                      name(plan.isa), plan.arena_bytes) +
          table.text();
}

Result run(const Flags& flags, Progress&) {
  const ModelFile model = read_model(flags.path("MODEL"));
  const ir::Graph& graph = model.network();
  Result result;
  const auto ops = ir::count_operators(graph);
  size_t nodes = graph.node_count();
  const size_t inputs = model.input_count();
  result.json["format"] = model.is_plan() ? "plan" : "onnx";
  result.json["opset"] = graph.opset;
  result.json["nodes"] = nodes;
  result.json["ops"] = ops;
  result.json["bytes"] = std::filesystem::file_size(model.path);
  result.json["inputs"] = signature(graph, graph.inputs().first(inputs));
  result.json["outputs"] = signature(graph, graph.outputs());
  std::vector<std::string> counts;
  for (const auto& [op, count] : ops) counts.push_back(fmt::format("{} {}", count, op));
  std::string text =
      fmt::format("{}: {}\n", model.path.string(),
                  model.is_plan() ? "kvant plan" : fmt::format("ONNX model, opset {}", graph.opset));
  text += fmt::format("inputs      {}\noutputs     {}\nnodes       {} ({})\n",
                      signature_text(result.json["inputs"]), signature_text(result.json["outputs"]), nodes,
                      fmt::join(counts, ", "));
  const std::optional<int64_t> macs = ir::count_macs(graph);
  if (!model.is_plan()) {
    result.json["parameters"] = ir::count_parameters(graph);
    text += fmt::format("parameters  {}\n", ir::count_parameters(graph));
  }
  result.json["macs"] = macs ? Json(*macs) : Json();
  if (macs) text += fmt::format("macs        {}\n", *macs);
  const ir::QdqSummary qdq = ir::summarize_qdq(graph);
  result.json["qdq"] = {{"activation_pairs", qdq.activation_pairs},
                        {"weight_pairs", qdq.weight_pairs},
                        {"quantized_nodes", qdq.quantized_nodes},
                        {"float_nodes", qdq.float_nodes}};
  if (model.is_plan()) {
    describe_plan(*model.plan, result, text);
  } else {
    text += fmt::format("Q/DQ        {} activation pairs, {} weight pairs; {} nodes quantized, {} float\n",
                        qdq.activation_pairs, qdq.weight_pairs, qdq.quantized_nodes.size(),
                        qdq.float_nodes.size());
  }
  Json metadata = Json::object();
  for (const auto& [key, value] : graph.metadata) {
    if (!key.starts_with("probe.")) metadata[key] = value;
  }
  result.json["metadata"] = metadata;
  result.text = text;
  return result;
}

}  // namespace

Command inspect() {
  return {.name = "inspect",
          .summary = "what is in a model, QDQ model or plan",
          .example = "model.qdq.onnx",
          .flags = {{.name = "MODEL", .value = "", .help = "ONNX file or plan", .required = true}},
          .run = run};
}

}  // namespace kvant::cli
