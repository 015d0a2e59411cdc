// SPDX-License-Identifier: Apache-2.0
// YOLOv8n: Ultralytics' detector of 2023 as its ONNX export computes it, boxes decoded in the graph
// (distances as the expectation of a distribution: Li et al., "Generalized Focal Loss", 2020), before
// non-maximum suppression. Names are its modules by place: model/2/m/0/cv1/conv.
#include <algorithm>

#include "base/error.h"
#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

constexpr int64_t kBins = 16;  // of the distribution of each of a box's four distances

std::string place(int64_t index) { return fmt::format("model/{}", index); }

// Convolution, batch norm, SiLU.
ValueId block(Builder& b, const std::string& name, ValueId x, int64_t out, int64_t kernel,
              int64_t stride = 1) {
  x = b.conv(name + "/conv", x, {.out = out, .kernel = kernel, .stride = stride});
  return b.swish(name + "/act/mul", name + "/act/sigmoid", b.batch_norm(name + "/bn", x));
}

// Half of the channels go through `depth` bottlenecks; the results of all of them are put together.
ValueId c2f(Builder& b, const std::string& name, ValueId x, int64_t out, int64_t depth, bool shortcut) {
  std::vector<ValueId> parts = b.split(name + "/split", block(b, name + "/cv1", x, out, 1), 2, 1);
  for (int64_t i = 0; i < depth; ++i) {
    const std::string p = fmt::format("{}/m/{}", name, i);
    const ValueId y = block(b, p + "/cv2", block(b, p + "/cv1", parts.back(), out / 2, 3), out / 2, 3);
    parts.push_back(shortcut ? b.add(p + "/add", parts.back(), y) : y);
  }
  return block(b, name + "/cv2", b.concat(name + "/concat", std::move(parts)), out, 1);
}

// Max pools of 5, 9 and 13, as a pool of 5 once, twice and three times.
ValueId pyramid(Builder& b, const std::string& name, ValueId x) {
  std::vector<ValueId> parts = {block(b, name + "/cv1", x, b.channels(x) / 2, 1)};
  for (int i = 0; i < 3; ++i) {
    parts.push_back(b.max_pool(fmt::format("{}/m{}", name, i), parts.back(),
                               {.kernel = 5, .stride = 1, .padding = Padding::Half}));
  }
  const int64_t out = b.channels(x);
  return block(b, name + "/cv2", b.concat(name + "/concat", std::move(parts)), out, 1);
}

ValueId twice_as_large(Builder& b, const std::string& name, ValueId x) {
  const std::vector<float> scales = {1, 1, 2, 2};
  return b.node("Resize", name, {x, ir::kNone, b.constant(name + "/scales", Tensor::vector<float>(scales))},
                {{"mode", std::string("nearest")},
                 {"nearest_mode", std::string("floor")},
                 {"coordinate_transformation_mode", std::string("asymmetric")}});
}

// Centres of the cells of all maps, [1, 2, cells] in halves of a cell, and each cell's size in pixels, [1,
// cells]. Integers: they are no weights.
struct Cells {
  Tensor centres, sizes;
};

Cells cells_of(const Builder& b, const std::vector<ValueId>& maps) {
  std::vector<int64_t> x, y, size;
  int64_t stride = 8;
  for (const ValueId map : maps) {
    const Shape& shape = b.shape(map);
    for (int64_t row = 0; row < shape[2]; ++row) {
      for (int64_t column = 0; column < shape[3]; ++column) {
        x.push_back(2 * column + 1);
        y.push_back(2 * row + 1);
        size.push_back(stride);
      }
    }
    stride *= 2;
  }
  const auto cells = static_cast<int64_t>(x.size());
  x.insert(x.end(), y.begin(), y.end());
  return {Tensor::vector<int64_t>(x).reshaped({1, 2, cells}),
          Tensor::vector<int64_t>(size).reshaped({1, cells})};
}

ValueId as_floats(Builder& b, const std::string& name, const Tensor& numbers) {
  return b.node("Cast", name, {b.constant(name + "/integers", numbers)}, {{"to", int64_t{1}}});
}

// Distances to the four sides from the distributions [N, 64, cells]; then centre and size in pixels.
ValueId decode(Builder& b, const std::string& name, ValueId x, const Cells& cells) {
  const int64_t count = cells.sizes.size();
  x = b.transpose(name + "/dfl/transpose", b.reshape(name + "/dfl/reshape", x, {0, 4, kBins, count}),
                  {0, 2, 1, 3});
  x = b.node("Softmax", name + "/dfl/softmax", {x}, {{"axis", int64_t{1}}});
  std::vector<float> bins(kBins);
  for (int64_t i = 0; i < kBins; ++i) bins[static_cast<size_t>(i)] = static_cast<float>(i);
  const ValueId weight =
      b.constant(name + "/dfl/conv/weight", Tensor::vector<float>(bins).reshaped({1, kBins, 1, 1}));
  x = b.node("Conv", name + "/dfl/conv", {x, weight}, {{"kernel_shape", std::vector<int64_t>{1, 1}}});
  const std::vector<ValueId> sides =
      b.split(name + "/sides", b.reshape(name + "/dfl/sides", x, {0, 4, count}), 2, 1);
  const ValueId half = b.constant(name + "/half", Tensor::full({}, 0.5f));
  const ValueId centres =
      b.node("Mul", name + "/centres", {as_floats(b, name + "/twice_centres", cells.centres), half});
  const ValueId low = b.node("Sub", name + "/low", {centres, sides[0]}),
                high = b.add(name + "/high", centres, sides[1]);
  const ValueId middle = b.node("Mul", name + "/middle", {b.add(name + "/sum", low, high), half});
  const ValueId extent = b.node("Sub", name + "/extent", {high, low});
  return b.node("Mul", name + "/boxes",
                {b.concat(name + "/box", {middle, extent}), as_floats(b, name + "/strides", cells.sizes)});
}

// On each map: distributions of distances, and scores of classes, each by two blocks and a plain convolution.
ValueId detect(Builder& b, const std::string& name, const std::vector<ValueId>& maps) {
  const int64_t for_boxes = std::max<int64_t>({16, b.channels(maps[0]) / 4, 4 * kBins});
  const int64_t for_scores = std::max(b.channels(maps[0]), std::min<int64_t>(b.classes(), 100));
  std::vector<ValueId> flat;
  for (size_t i = 0; i < maps.size(); ++i) {
    const auto branch = [&](const char* part, int64_t inner, int64_t out) {
      const std::string p = fmt::format("{}/{}/{}", name, part, i);
      const ValueId y = block(b, p + "/1", block(b, p + "/0", maps[i], inner, 3), inner, 3);
      return b.conv(p + "/2", y, {.out = out, .kernel = 1, .bias = true});
    };
    const std::string p = fmt::format("{}/{}", name, i);
    const ValueId both = b.concat(
        p + "/concat", {branch("cv2", for_boxes, 4 * kBins), branch("cv3", for_scores, b.classes())});
    flat.push_back(b.reshape(p + "/reshape", both, {0, 4 * kBins + b.classes(), -1}));
  }
  const Cells cells = cells_of(b, maps);
  const ValueId all = b.concat(name + "/concat", std::move(flat), 2);
  const std::vector<ValueId> parts = b.split(name + "/split", all, {4 * kBins, b.classes()}, 1);
  const ValueId scores = b.node("Sigmoid", name + "/scores", {parts[1]});
  return b.concat(name + "/predictions", {decode(b, name, parts[0], cells), scores});
}

}  // namespace

void yolov8n(Builder& b) {
  b.set_batch_norm({.epsilon = 1e-3f, .momentum = 0.97f});
  for (const size_t side : {size_t{2}, size_t{3}}) {
    if (b.shape(b.input())[side] % 32 != 0)
      fail("the image is {}x{}, but its sides must be multiples of 32", b.shape(b.input())[2],
           b.shape(b.input())[3]);
  }
  const auto down = [&](int64_t index, ValueId x, int64_t out) {
    return block(b, place(index), x, out, 3, 2);
  };
  ValueId x = down(1, down(0, b.input(), 16), 32);
  x = down(3, c2f(b, place(2), x, 32, 1, true), 64);
  const ValueId fine = c2f(b, place(4), x, 64, 2, true);
  const ValueId middle = c2f(b, place(6), down(5, fine, 128), 128, 2, true);
  const ValueId coarse = pyramid(b, place(9), c2f(b, place(8), down(7, middle, 256), 256, 1, true));
  // From coarse to fine, and back.
  const ValueId p4 =
      c2f(b, place(12), b.concat(place(11), {twice_as_large(b, place(10), coarse), middle}), 128, 1, false);
  const ValueId p3 =
      c2f(b, place(15), b.concat(place(14), {twice_as_large(b, place(13), p4), fine}), 64, 1, false);
  const ValueId n4 = c2f(b, place(18), b.concat(place(17), {down(16, p3, 64), p4}), 128, 1, false);
  const ValueId n5 = c2f(b, place(21), b.concat(place(20), {down(19, n4, 128), coarse}), 256, 1, false);
  b.finish_detections(detect(b, place(22), {p3, n4, n5}));
}

}  // namespace kvant::zoo
