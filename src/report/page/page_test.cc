// SPDX-License-Identifier: Apache-2.0
#include "report/page/page.h"

#include <gtest/gtest.h>

namespace kvant::report {
namespace {

CommandResult result_of(const char* json) { return {"somewhere.json", Json::parse(json)}; }

TEST(Page, OverviewJoinsWhatCommandsSayOfAModel) {
  const std::vector<CommandResult> results = {
      result_of(
          R"({"command": "inspect", "model": "a.onnx", "format": "onnx", "bytes": 4096, "qdq": {"activation_pairs": 0}})"),
      result_of(R"({"command": "inspect", "model": "b.plan", "format": "plan", "bytes": 1024})"),
      result_of(
          R"({"command": "bench", "model": "a.onnx", "batch": 1, "threads": 2, "latency_ms": {"median": 3.0}})"),
      result_of(
          R"({"command": "bench", "model": "b.plan", "batch": 1, "threads": 2, "latency_ms": {"median": 1.0}})"),
      result_of(R"({"command": "eval", "model": "b.plan", "top1": 0.5, "top5": 0.75, "samples": 200})"),
      result_of(
          R"({"command": "compare", "a": "a.onnx", "b": "b.plan", "top1_agreement": 0.875, "outputs": []})")};
  const std::string html = overview(results);
  EXPECT_NE(html.find("<td>a.onnx</td><td>float</td><td class=\"right\">4.0 KiB</td>"), std::string::npos)
      << html;
  EXPECT_NE(html.find("50.00 %"), std::string::npos);
  EXPECT_NE(html.find("87.50 %"), std::string::npos);
  EXPECT_NE(html.find("3.00x"), std::string::npos) << "the plan is three times as fast";
  EXPECT_LT(html.find("a.onnx"), html.find("b.plan"));
}

TEST(Page, LayersStandUnderTheRoofThatBoundsThem) {
  const CommandResult bench =
      result_of(R"({"command": "bench", "model": "m.plan", "latency_ms": {"median": 1.0},
    "canary": {"peak_gmacs": 100.0}, "memory": {"cache_gb_s": 10.0, "dram_gb_s": 1.0}, "layers": [
      {"name": "dense", "nodes": ["n1", "n2"], "tactic": "t", "precision": "u8", "ms": 2.0, "share": 0.5, "gmacs": 50.0, "bytes": 100000},
      {"name": "thin", "nodes": [], "tactic": "t", "precision": "i8", "ms": 1.0, "share": 0.25, "gmacs": 1.0, "bytes": 5000000},
      {"name": "real", "nodes": [], "tactic": "t", "precision": "f32", "ms": 1.0, "share": 0.25, "gmacs": 10.0, "bytes": 1000}]})");
  const std::string html = page("t", {&bench, 1});
  // 2 ms at 50 GMAC/s are 1 ms at 100; 5 MB at 10 GB/s are 0.5 ms.
  const auto row = [&](const std::string& name) {
    const size_t at = html.find("<td>" + name + "</td>");
    EXPECT_NE(at, std::string::npos) << name;
    return html.substr(at, html.find("</tr>", at) - at);
  };
  EXPECT_NE(row("dense").find("<td>arithmetic</td><td class=\"right\">50 %</td><td>n1, n2</td>"),
            std::string::npos)
      << row("dense");
  EXPECT_NE(row("thin").find("<td>cache</td><td class=\"right\">50 %</td>"), std::string::npos)
      << row("thin");
  EXPECT_NE(row("real").find("<td></td><td class=\"right\"></td>"), std::string::npos) << row("real");
  EXPECT_NE(html.find("second-level cache 10 GB/s"), std::string::npos);
  EXPECT_NE(html.find("memory 1 GB/s"), std::string::npos);
}

TEST(Page, EverySectionBearsAResultOfWrongTypes) {
  for (const char* command : {"auto", "bench", "quantize", "explain", "compare", "sensitivity", "train"}) {
    ASSERT_TRUE(has_section(command));
    Json json = {{"command", command}, {"model", 7}, {"output", "o"}, {"latency_ms", {{"median", 1}}}};
    for (const char* list :
         {"tried", "layers", "adjust", "qdq", "outputs", "tensors", "lint", "history", "ranges"})
      json[list] = Json::array({1, "x", nullptr, Json::object(), Json::array()});
    json["ranges"] = {{"t", 1}, {"u", {{"low", "no"}}}};
    const CommandResult result{"f", json};
    EXPECT_NE(page("t", {&result, 1}).find("</html>"), std::string::npos) << command;
  }
  EXPECT_FALSE(has_section("zoo"));
}

TEST(Page, NamesFromFilesCannotBecomeMarkup) {
  const CommandResult evil = result_of(R"({"command": "explain", "model": "<img src=x>",
    "layers": [{"name": "<script>alert(1)</script>", "op": "QConv", "precision": "int8", "kernel": "k", "reason": "\"'"}],
    "qdq": [], "lint": [{"code": "<i>", "node": "n", "message": "m", "fix": "f"}]})");
  const std::vector<std::string> notes = {"<b>"};
  const std::string html = page("<title>", {&evil, 1}, notes);
  for (const char* bad : {"<script", "<img", "<i>", "<b>"})
    EXPECT_EQ(html.find(bad), std::string::npos) << bad;
}

}  // namespace
}  // namespace kvant::report
