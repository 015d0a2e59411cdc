// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"
#include "engine/passes/pipeline.h"

namespace kvant::engine {
namespace {

constexpr size_t kTrimmedRoi = 1, kTrimmedScales = 2, kTrimmedSizes = 3;

bool trim(ir::Graph& graph, Edit& edit, ir::NodeId id) {
  const ir::Node node = graph.node(id);
  const ir::Attributes& attributes = node.attributes;
  if (node.op != "Resize" || attributes.has("axes")) return false;
  if (attributes.text("keep_aspect_ratio_policy", "stretch") != "stretch" ||
      attributes.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize")
    return false;
  const Tensor* scales = graph.constant(input_at(node, kTrimmedScales));
  if (input_at(node, kTrimmedScales) != ir::kNone && (scales == nullptr || scales->size() != 0)) return false;
  const Tensor* given = graph.constant(input_at(node, kTrimmedSizes));
  const auto shape = static_shape(graph, node.inputs[0]);
  if (given == nullptr || !shape || given->size() != static_cast<int64_t>(shape->size())) return false;
  const std::vector<int64_t> all = given->to_ints();
  std::vector<int64_t> axes, sizes;
  for (size_t d = 0; d < all.size(); ++d) {
    if (all[d] == (*shape)[d]) continue;
    axes.push_back(static_cast<int64_t>(d));
    sizes.push_back(all[d]);
  }
  if (axes.empty() || axes.size() == all.size()) return false;
  graph.attributes(id).set("axes", std::move(axes));
  graph.set_input(id, kTrimmedSizes, edit.constant(node.name + "_sizes", Tensor::vector<int64_t>(sizes)));
  graph.set_input(id, kTrimmedRoi, ir::kNone);
  return true;
}

}  // namespace

// Sizes of the whole tensor say how many images there are; those of the axes that change hold for any number,
// which lets a batch run image by image.
ir::Pass trim_resize(const LoweringOptions&) {
  return {"trim-resize", "Resize(x, all sizes) => Resize(x, sizes of the axes that change)",
          ir::Exactness::BitExact, [](ir::Graph& graph, const ir::OpTable& ops) {
            Edit edit(graph, ops);
            return fuse_each(graph, graph.topological_order(),
                             [&](ir::NodeId id) { return trim(graph, edit, id); });
          }};
}

}  // namespace kvant::engine
