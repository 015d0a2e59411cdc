// SPDX-License-Identifier: Apache-2.0
// Times of layers, and where they stand between the roofs of arithmetic and of memory (Williams, Waterman,
// Patterson: Roofline, CACM 2009).
#include <fmt/format.h>

#include <algorithm>

#include "report/page/chart.h"
#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {
namespace {

struct Roofs {
  double compute = 0;        // GMAC/s
  double near = 0, far = 0;  // GB/s: second-level cache, memory

  // GMAC/s that `intensity` (MAC a byte) allows when data comes at `rate`.
  double under(double intensity, double rate) const { return std::min(compute, intensity * rate); }
};

Roofs roofs_of(const Json& json) {
  Roofs roofs;
  roofs.compute = number_in(object_in(json, "canary"), "peak_gmacs").value_or(0);
  roofs.near = number_in(object_in(json, "memory"), "cache_gb_s").value_or(0);
  roofs.far = number_in(object_in(json, "memory"), "dram_gb_s").value_or(0);
  return roofs;
}

struct Layer {
  std::string name, nodes, tactic, precision;  // of its input

  bool integer() const { return precision.find('8') != std::string::npos; }
  double ms = 0, share = 0, gmacs = 0, bytes = 0;

  double macs() const { return gmacs * ms * 1e6; }
  double intensity() const { return bytes > 0 ? macs() / bytes : 0; }
};

Layer layer_of(const Json& json) {
  Layer layer{text_in(json, "name"), "", text_in(json, "tactic"), text_in(json, "precision")};
  for (const Json& node : list_in(json, "nodes")) {
    if (node.is_string()) layer.nodes += (layer.nodes.empty() ? "" : ", ") + node.get<std::string>();
  }
  layer.ms = number_in(json, "ms").value_or(0);
  layer.share = number_in(json, "share").value_or(0);
  layer.gmacs = number_in(json, "gmacs").value_or(0);
  layer.bytes = number_in(json, "bytes").value_or(0);
  return layer;
}

// What a layer could at best take, and which roof says so; nothing for products of floats, whose arithmetic
// is not measured.
struct Bound {
  double ms = 0;
  const char* by = "";
};

Bound bound_of(const Layer& layer, const Roofs& roofs) {
  if (!layer.integer() && layer.gmacs > 0) return {};
  const double compute = roofs.compute > 0 ? layer.macs() / roofs.compute * 1e-6 : 0;
  const double memory = roofs.near > 0 ? layer.bytes / roofs.near * 1e-6 : 0;
  if (compute <= 0 && memory <= 0) return {};
  return compute >= memory ? Bound{compute, "arithmetic"} : Bound{memory, "cache"};
}

std::string roofline(const std::vector<Layer>& layers, const Roofs& roofs) {
  Chart chart{.x = {"multiply-adds a byte moved", true}, .y = {"GMAC/s", true}};
  chart.groups = {"integer layers", "float layers"};
  double low = 1e30, high = 0;
  for (const Layer& layer : layers) {
    if (layer.gmacs <= 0 || layer.bytes <= 0) continue;
    low = std::min(low, layer.intensity());
    high = std::max(high, layer.intensity());
    chart.points.push_back({layer.intensity(), layer.gmacs,
                            fmt::format("{}: {:.4f} ms, {:.1f} GMAC/s, {:.0f} MAC a byte", layer.name,
                                        layer.ms, layer.gmacs, layer.intensity()),
                            layer.share, layer.integer() ? 0 : 1});
  }
  if (chart.points.empty() || roofs.compute <= 0) return "";
  high = std::max(high, roofs.far > 0 ? 1.5 * roofs.compute / roofs.far : high);
  for (const auto& [rate, name] :
       {std::pair{roofs.near, "second-level cache"}, std::pair{roofs.far, "memory"}}) {
    if (rate <= 0) continue;
    const double corner = roofs.compute / rate;
    Line line{.name = "", .points = {{low, roofs.under(low, rate)}}};
    if (corner > low) line.points.emplace_back(corner, roofs.compute);
    line.name = fmt::format("{} {:.0f} GB/s", name, rate);
    chart.lines.push_back(line);
  }
  chart.lines.push_back({.name = fmt::format("integer dot products {:.0f} GMAC/s", roofs.compute),
                         .points = {{low, roofs.compute}, {high, roofs.compute}}});
  return heading(3, "Roofline") + svg(chart) +
         paragraph(
             "A dot is a layer, as large as its share of the time. The dashed lines are what this machine "
             "was measured to "
             "give: a layer on one of them cannot be faster unless it moves fewer bytes. Bytes are a layer's "
             "inputs, "
             "outputs and weights, each counted once.");
}

}  // namespace

std::string bench_section(const CommandResult& result) {
  const Json& latency = object_in(result.json, "latency_ms");
  if (!number_in(latency, "median")) return "";
  const std::string model = text_in(result.json, "model");
  std::string html = heading(2, "Speed: " + (model.empty() ? result.file : model));
  std::string line =
      fmt::format("Median {} ms, best {}, 99 of 100 within {}; {} images/s; batch {}, {} threads, {} runs",
                  shown(number_in(latency, "median"), 4), shown(number_in(latency, "min"), 4),
                  shown(number_in(latency, "p99"), 4), shown(number_in(result.json, "throughput"), 1),
                  shown(number_in(result.json, "batch"), 0), shown(number_in(result.json, "threads"), 0),
                  shown(number_in(result.json, "iterations"), 0));
  const Json& canary = object_in(result.json, "canary");
  if (const auto share = number_in(canary, "efficiency"))
    line += fmt::format("; {} of what this machine's {} can do", per_cent(share, 1), text_in(canary, "kind"));
  if (const std::string cpu = text_in(result.json, "cpu"); !cpu.empty()) line += "; " + cpu;
  html += paragraph(line + ".");
  const Roofs roofs = roofs_of(result.json);
  std::vector<Layer> layers;
  double longest = 0;
  for (const Json& json : list_in(result.json, "layers")) {
    layers.push_back(layer_of(json));
    longest = std::max(longest, layers.back().share);
  }
  if (layers.empty()) return html;
  html += roofline(layers, roofs);
  constexpr Align kRight = Align::Right;
  HtmlTable table({"layer", "tactic", "input", "ms", "share", "GMAC/s", "MAC a byte", "bound", "of its bound",
                   "nodes of the model"},
                  {Align::Left, Align::Left, Align::Left, kRight, kRight, kRight, kRight, Align::Left, kRight,
                   Align::Left});
  for (const Layer& layer : layers) {
    if (layer.tactic.empty() && layer.ms <= 0) continue;  // shares its input's memory
    const Bound bound = bound_of(layer, roofs);
    table.add({layer.name, layer.tactic, layer.precision, shown(layer.ms, 4),
               Cell(per_cent(layer.share, 1), longest > 0 ? layer.share / longest : 0),
               layer.gmacs > 0 ? shown(layer.gmacs, 1) : "",
               layer.gmacs > 0 && layer.bytes > 0 ? shown(layer.intensity(), 1) : "", bound.by,
               bound.ms > 0 && layer.ms > 0 ? per_cent(bound.ms / layer.ms, 0) : "", layer.nodes});
  }
  return html + heading(3, "Layers") + table.html();
}

}  // namespace kvant::report
