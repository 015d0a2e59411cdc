// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/node_order.h"

#include <functional>
#include <map>
#include <queue>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::formats {
namespace {

using Graph = kvant_onnx::GraphProto;
using Node = kvant_onnx::NodeProto;
using Names = std::map<std::string, int>;  // of a tensor: the node that makes it

Names producers_of(const Graph& graph, const std::set<std::string>& given) {
  Names producers;
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& output : graph.node(i).output()) {
      if (output.empty()) continue;
      if (given.contains(output)) {
        fail("{} makes tensor '{}', which is an input or initializer of the model too", label(graph.node(i)),
             output);
      }
      const auto [earlier, fresh] = producers.emplace(output, i);
      if (!fresh) {
        fail("tensor '{}' is made by two nodes, {} and {}", output, label(graph.node(earlier->second)),
             label(graph.node(i)));
      }
    }
  }
  return producers;
}

[[noreturn]] void fail_undefined(const Node& node, const std::string& tensor, const Names& producers,
                                 const std::set<std::string>& given) {
  std::vector<std::string> known(given.begin(), given.end());
  for (const auto& [name, index] : producers) known.push_back(name);
  fail("{} reads tensor '{}', which is neither an input, nor an initializer, nor made by a node{}",
       label(node), tensor, nearest_hint(tensor, known));
}

// Walks up from a node that waits until a node comes again: that one lies on a cycle.
[[noreturn]] void fail_cycle(const Graph& graph, const Names& producers, const std::vector<int>& waiting) {
  int node = 0;
  while (waiting[static_cast<size_t>(node)] == 0) ++node;
  std::set<int> seen;
  while (seen.insert(node).second) {
    for (const std::string& input : graph.node(node).input()) {
      const auto producer = producers.find(input);
      if (producer == producers.end() || waiting[static_cast<size_t>(producer->second)] == 0) continue;
      node = producer->second;
      break;
    }
  }
  fail("the graph is cyclic: {} needs its own result", label(graph.node(node)));
}

}  // namespace

std::string label(const Node& node) {
  if (!node.name().empty()) return fmt::format("{} '{}'", node.op_type(), node.name());
  if (node.output_size() > 0) return fmt::format("{} that makes '{}'", node.op_type(), node.output(0));
  return fmt::format("{} without a name", node.op_type());
}

std::vector<int> node_order(const Graph& graph, const std::set<std::string>& given) {
  const Names producers = producers_of(graph, given);
  const auto count = static_cast<size_t>(graph.node_size());
  std::vector<int> waiting(count, 0);            // inputs of a node that are not yet made
  std::vector<std::vector<int>> readers(count);  // of a node's outputs, one entry for each input
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& input : graph.node(i).input()) {
      if (input.empty() || given.contains(input)) continue;
      const auto producer = producers.find(input);
      if (producer == producers.end()) fail_undefined(graph.node(i), input, producers, given);
      ++waiting[static_cast<size_t>(i)];
      readers[static_cast<size_t>(producer->second)].push_back(i);
    }
    if (waiting[static_cast<size_t>(i)] == 0) ready.push(i);
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int node = ready.top();
    ready.pop();
    order.push_back(node);
    for (const int reader : readers[static_cast<size_t>(node)]) {
      if (--waiting[static_cast<size_t>(reader)] == 0) ready.push(reader);
    }
  }
  if (order.size() != count) fail_cycle(graph, producers, waiting);
  return order;
}

}  // namespace kvant::formats
