// SPDX-License-Identifier: Apache-2.0
// Reads a model and writes it again: what the interoperability tests check with other programs.
//   roundtrip_tool IN.onnx OUT.onnx [--external] [--opset N] [--no-lift] [--same]
// --same: what was written reads back as the same graph, else it is an error.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/model.h"
#include "ir/text.h"

namespace {

// Everything that a file holds of a graph, large constants by a hash of their bytes, in an order that does
// not depend on that of constants. Left out is where a node came from: reading says that anew.
std::string whole_text(kvant::ir::Graph graph) {
  for (const kvant::ir::NodeId id : graph.topological_order()) graph.sources(id).clear();
  graph.metadata.try_emplace("onnx.producer_name", "kvant");
  kvant::ir::PrintOptions options;
  options.store = [](const kvant::Tensor& tensor) {
    const std::string_view bytes(reinterpret_cast<const char*>(tensor.raw()), tensor.byte_size());
    return std::hash<std::string_view>()(bytes);
  };
  std::istringstream text(kvant::ir::print(graph, options));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  const auto is_constant = [](const std::string& line) { return line.starts_with("  const "); };
  const auto rest = std::stable_partition(lines.begin(), lines.end(), is_constant);
  std::sort(lines.begin(), rest);
  return fmt::format("{}", fmt::join(lines, "\n"));
}

// The line in which the texts part.
std::string first_difference(const std::string& a, const std::string& b) {
  size_t at = 0;
  while (at < a.size() && at < b.size() && a[at] == b[at]) ++at;
  const auto line = [&](const std::string& text) {
    const size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    return text.substr(begin, std::min<size_t>(text.find('\n', at) - begin, 300));
  };
  return line(a) + "\nbecame\n" + line(b);
}

int run(int argc, char** argv) {
  kvant::formats::ReadOptions read;
  kvant::formats::WriteOptions write;
  bool same = false;
  for (int i = 3; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--external") write.external = true;
    if (flag == "--no-lift") read.lift = false;
    if (flag == "--same") same = true;
    if (flag == "--opset" && i + 1 < argc) write.opset = std::stoi(argv[++i]);
  }
  const kvant::ir::Graph graph = kvant::formats::read(argv[1], read);
  kvant::formats::write(graph, argv[2], write);
  if (!same) return 0;
  const std::string want = whole_text(graph);
  const std::string have = whole_text(kvant::formats::read(argv[2], {.lift = false}));
  if (want != have) kvant::fail("the graph did not survive writing: {}", first_difference(want, have));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: roundtrip_tool IN.onnx OUT.onnx [--external] [--opset N] [--no-lift] [--same]\n",
               stderr);
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const kvant::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    for (const std::string& note : error.trail()) std::fprintf(stderr, "  %s\n", note.c_str());
    return 1;
  }
}
