// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

struct Box {
  float top, left, bottom, right;
  float area() const { return (bottom - top) * (right - left); }
};

Box box_at(const float* p, bool centre) {
  if (centre) return {p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2};
  return {std::min(p[0], p[2]), std::min(p[1], p[3]), std::max(p[0], p[2]), std::max(p[1], p[3])};
}

float overlap(const Box& a, const Box& b) {
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (height <= 0 || width <= 0) return 0;
  const float shared = height * width, joint = a.area() + b.area() - shared;
  return joint > 0 ? shared / joint : 0;
}

void check_shapes(const std::optional<Shape>& boxes, const std::optional<Shape>& scores) {
  if (boxes && (boxes->size() != 3 || ((*boxes)[2] != 4 && (*boxes)[2] != kUnknownDim)))
    fail("NonMaxSuppression: boxes is {}; [batch, boxes, 4] is needed", to_string(*boxes));
  if (scores && scores->size() != 3)
    fail("NonMaxSuppression: scores is {}; [batch, classes, boxes] is needed", to_string(*scores));
}

std::vector<Type> infer_non_max_suppression(const ir::InferArgs& args) {
  check_shapes(args.inputs[0].shape, args.inputs[1].shape);
  return {{DType::Int64, Shape{kUnknownDim, 3}}};
}

float threshold(const ir::EvalArgs& args, size_t i, float fallback, std::string_view what) {
  if (!args.has(i)) return fallback;
  if (args.in(i).size() != 1) fail("NonMaxSuppression: {} must be one number", what);
  return args.in(i).to_floats()[0];
}

struct Limits {
  int64_t most;
  float iou, score;
};

// Indices of the boxes kept for one class, best first.
std::vector<int64_t> select(const std::vector<Box>& boxes, const float* scores, const Limits& limits) {
  std::vector<int64_t> order, kept;
  for (size_t i = 0; i < boxes.size(); ++i)
    if (scores[i] > limits.score) order.push_back(static_cast<int64_t>(i));
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  for (const int64_t candidate : order) {
    if (static_cast<int64_t>(kept.size()) >= limits.most) break;
    const bool free = std::all_of(kept.begin(), kept.end(), [&](int64_t other) {
      return overlap(boxes[static_cast<size_t>(candidate)], boxes[static_cast<size_t>(other)]) <= limits.iou;
    });
    if (free) kept.push_back(candidate);
  }
  return kept;
}

std::vector<Tensor> evaluate_non_max_suppression(const ir::EvalArgs& args) {
  const Tensor &boxes = args.in(0), &scores = args.in(1);
  check_shapes(boxes.shape(), scores.shape());
  const int64_t batch = boxes.dim(0), count = boxes.dim(1), classes = scores.dim(1);
  if (scores.dim(0) != batch || scores.dim(2) != count)
    fail("NonMaxSuppression: boxes is {} but scores is {}", to_string(boxes.shape()),
         to_string(scores.shape()));
  const int64_t most =
      args.has(2) ? single_int(args.in(2).to_ints(), "NonMaxSuppression", "max_output_boxes") : 0;
  const float lowest = -std::numeric_limits<float>::infinity();
  const Limits limits{most, threshold(args, 3, 0.0f, "iou_threshold"),
                      threshold(args, 4, lowest, "score_threshold")};
  const bool centre = args.attributes().integer("center_point_box", 0) != 0;
  const std::vector<float> corners = boxes.to_floats(), values = scores.to_floats();
  std::vector<int64_t> selected;
  for (int64_t n = 0; n < batch; ++n) {
    std::vector<Box> image;
    for (int64_t i = 0; i < count; ++i) image.push_back(box_at(corners.data() + (n * count + i) * 4, centre));
    for (int64_t c = 0; c < classes; ++c)
      for (const int64_t box : select(image, values.data() + (n * classes + c) * count, limits))
        selected.insert(selected.end(), {n, c, box});
  }
  return {Tensor::of<int64_t>({static_cast<int64_t>(selected.size() / 3), 3}, selected)};
}

}  // namespace

ir::OpDef non_max_suppression() {
  return {.name = "NonMaxSuppression",
          .min_inputs = 2,
          .max_inputs = 5,
          .attributes = {{"center_point_box", ir::AttributeKind::Integer}},
          .infer = infer_non_max_suppression,
          .evaluate = evaluate_non_max_suppression};
}

}  // namespace kvant::ops
