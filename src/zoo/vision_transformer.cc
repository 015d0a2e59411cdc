// SPDX-License-Identifier: Apache-2.0
// Vision transformers: Dosovitskiy et al., "An Image is Worth 16x16 Words" (2020); Touvron et al., "Training
// data-efficient image transformers" (2021). Blocks normalize first; the names are those of the timm library.
#include <cmath>

#include "zoo/builder.h"

namespace kvant::zoo {
namespace {

using ir::ValueId;

struct Transformer {
  int64_t patch, width, depth, heads, mlp_ratio;
  bool class_token;  // else the mean of all tokens is classified
};

constexpr float kEpsilon = 1e-6f;
constexpr double kEmbeddingDeviation = 0.02;

// [N, T, width] -> [N, heads, T, width / heads], or its last two axes swapped.
ValueId to_heads(Builder& b, const std::string& name, ValueId x, int64_t heads, bool swapped) {
  const int64_t width = b.shape(x).back();
  const ValueId split = b.reshape(name + "_heads", x, {0, 0, heads, width / heads});
  return b.transpose(name + "_rows", split,
                     swapped ? std::vector<int64_t>{0, 2, 3, 1} : std::vector<int64_t>{0, 2, 1, 3});
}

// Softmax(q k' / sqrt(d)) v for every head.
ValueId attention(Builder& b, const std::string& scope, ValueId x, int64_t heads) {
  const int64_t width = b.shape(x).back();
  const ValueId qkv = b.linear(scope + "/qkv", x, 3 * width);
  const std::vector<ValueId> parts = b.split(scope + "/split", qkv, 3, 2);
  const float scale = 1.0f / std::sqrt(static_cast<float>(width / heads));
  const ValueId q = b.node("Mul", scope + "/scale",
                           {to_heads(b, scope + "/q", parts[0], heads, false),
                            b.constant(scope + "/scale/factor", Tensor::scalar<float>(scale))});
  const ValueId k = to_heads(b, scope + "/k", parts[1], heads, true);
  const ValueId v = to_heads(b, scope + "/v", parts[2], heads, false);
  const ValueId scores = b.node("MatMul", scope + "/scores", {q, k});
  const ValueId weights = b.node("Softmax", scope + "/softmax", {scores}, {{"axis", int64_t{-1}}});
  const ValueId mixed = b.node("MatMul", scope + "/context", {weights, v});
  const ValueId tokens = b.transpose(scope + "/tokens", mixed, {0, 2, 1, 3});
  return b.linear(scope + "/proj", b.reshape(scope + "/merge", tokens, {0, 0, width}), width);
}

ValueId block(Builder& b, const std::string& scope, ValueId x, const Transformer& t) {
  const ValueId attended =
      attention(b, scope + "/attn", b.layer_norm(scope + "/norm1", x, kEpsilon), t.heads);
  x = b.add(scope + "/add1", x, attended);
  ValueId y = b.layer_norm(scope + "/norm2", x, kEpsilon);
  y = b.linear(scope + "/mlp/fc1", y, t.mlp_ratio * t.width);
  y = b.node("Gelu", scope + "/mlp/act", {y});
  return b.add(scope + "/add2", x, b.linear(scope + "/mlp/fc2", y, t.width));
}

// The token in front of all others. Both come as a sum of sequences padded with zeros, which needs no shape
// arithmetic on the batch: row 0 is the token, the other rows are the patches.
ValueId prepend_token(Builder& b, ValueId patches, int64_t width) {
  const ValueId rows =
      b.node("Pad", "cls_token/shift", {patches, b.integers("cls_token/shift/pads", {0, 1, 0, 0, 0, 0})});
  const int64_t count = b.shape(patches).at(1);
  const ValueId token = b.embedding("cls_token", {1, 1, width}, kEmbeddingDeviation);
  const ValueId row =
      b.node("Pad", "cls_token/row", {token, b.integers("cls_token/row/pads", {0, 0, 0, 0, count, 0})});
  return b.add("cls_token/prepend", rows, row);
}

void transformer(Builder& b, const Transformer& t) {
  const Shape& image = b.shape(b.input());
  if (image.at(2) % t.patch != 0 || image.at(3) % t.patch != 0) {
    fail("the image is {}x{}, but its sides must be multiples of the patch of {}", image[2], image[3],
         t.patch);
  }
  ValueId x =
      b.conv("patch_embed/proj", b.input(),
             {.out = t.width, .kernel = t.patch, .stride = t.patch, .bias = true, .padding = Padding::Valid});
  x = b.transpose("patch_embed/tokens", b.reshape("patch_embed/flatten", x, {0, t.width, -1}), {0, 2, 1});
  if (t.class_token) x = prepend_token(b, x, t.width);
  const int64_t tokens = b.shape(x).at(1);
  x = b.add("pos_embed/add", x, b.embedding("pos_embed", {1, tokens, t.width}, kEmbeddingDeviation));
  for (int64_t i = 0; i < t.depth; ++i) x = block(b, fmt::format("blocks/{}", i), x, t);
  x = b.layer_norm("norm", x, kEpsilon);
  if (t.class_token) {
    x = b.node("Gather", "pool", {x, b.constant("pool/index", Tensor::scalar<int64_t>(0))},
               {{"axis", int64_t{1}}});
  } else {
    x = b.node("ReduceMean", "pool", {x, b.integers("pool/axes", {1})}, {{"keepdims", int64_t{0}}});
  }
  b.classify_features(x, "head");
}

}  // namespace

void deit_tiny(Builder& b) {
  transformer(b, {.patch = 16, .width = 192, .depth = 12, .heads = 3, .mlp_ratio = 4, .class_token = true});
}
void vit_cifar(Builder& b) {
  transformer(b, {.patch = 4, .width = 128, .depth = 6, .heads = 4, .mlp_ratio = 2, .class_token = false});
}

}  // namespace kvant::zoo
