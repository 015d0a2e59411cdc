// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

constexpr int64_t kUnknown = -128;

bool moves_codes(std::string_view op) {
  constexpr std::string_view kMovers[] = {"MaxPoolNhwc", "Transpose", "Reshape", "Flatten", "Squeeze",
                                          "Unsqueeze",   "Identity",  "QConcat", "Slice"};
  return std::ranges::find(kMovers, op) != std::end(kMovers);
}

// The least code that each i8 tensor can hold, as far as its makers say.
class LeastCodes {
 public:
  explicit LeastCodes(const ir::Graph& graph) : graph_(graph) {}

  // Nodes in topological order.
  void visit(const ir::Node& node) {
    for (const ir::ValueId output : node.outputs) {
      if (output != ir::kNone && graph_.value(output).type.dtype == DType::Int8)
        least_[output] = made_by(node);
    }
  }
  int64_t of(ir::ValueId id) const {
    const auto found = least_.find(id);
    return found == least_.end() ? kUnknown : found->second;
  }

 private:
  int64_t made_by(const ir::Node& node) const {
    if (node.op == "QConcat") return least_of(node.inputs);
    if (moves_codes(node.op)) return of(node.inputs[0]);
    if (node.op == "QLut") return least_in_table(input_at(node, 1));
    if (input_at(node, 5) != ir::kNone) return least_in_table(node.inputs[5]);  // QConv, QGemm
    return node.op[0] == 'Q' ? node.attributes.integer("low", kUnknown) : kUnknown;
  }
  int64_t least_of(const std::vector<ir::ValueId>& inputs) const {
    int64_t least = 127;
    for (const ir::ValueId input : inputs) least = std::min(least, of(input));
    return least;
  }
  int64_t least_in_table(ir::ValueId id) const {
    const Tensor* table = graph_.constant(id);
    if (table == nullptr || table->dtype() != DType::Int8 || table->size() == 0) return kUnknown;
    return std::ranges::min(table->data<int8_t>());
  }

  const ir::Graph& graph_;
  std::map<ir::ValueId, int64_t> least_;
};

}  // namespace

// Codes of i8 that are never negative are the same bytes as u8, which is what dot products take: a kernel
// that knows it reads them in place.
ir::Pass mark_nonnegative(const LoweringOptions&) {
  return {"mark-nonnegative", "QConv | QGemm of i8 codes that are never negative => the same with x_low",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable&) {
            LeastCodes least(graph);
            size_t changes = 0;
            for (const ir::NodeId id : graph.topological_order()) {
              const ir::Node& node = graph.node(id);
              least.visit(node);
              if ((node.op != "QConv" && node.op != "QGemm") || node.attributes.has("x_low")) continue;
              const int64_t low = least.of(node.inputs[0]);
              if (low < 0 || node.attributes.integer("x_zero_point", 0) < 0) continue;
              graph.attributes(id).set("x_low", low);
              ++changes;
            }
            return changes;
          }};
}

}  // namespace kvant::engine
