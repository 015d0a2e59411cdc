// SPDX-License-Identifier: Apache-2.0
// What an operator is: its signature, attributes, type rule and reference evaluation. One OpDef per file in
// ops/.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace kvant::ir {

enum class AttributeKind { Integer, Real, Text, Integers, Reals, Texts, Tensor };

struct AttributeDef {
  std::string_view name;
  AttributeKind kind;
  bool required = false;
};

// What the type rule sees: types of all inputs (an absent optional one has no shape and is `absent[i]`), and
// the constant value of those that are known (shape arithmetic), else nullptr.
struct InferArgs {
  const Node& node;
  std::span<const Type> inputs;
  std::span<const Tensor* const> constants;

  bool has(size_t i) const { return i < node.inputs.size() && node.inputs[i] != kNone; }
  const Attributes& attributes() const { return node.attributes; }
};

struct EvalArgs {
  const Node& node;
  std::span<const Tensor* const> inputs;  // nullptr for an absent optional input

  bool has(size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  const Tensor& in(size_t i) const { return *inputs[i]; }
  const Attributes& attributes() const { return node.attributes; }
};

// How an operator behaves under quantization and layout (qdq-rules.md 2).
enum class Trait : uint32_t {
  None = 0,
  Elementwise = 1u << 0,  // same shape in and out (after broadcasting), element by element
  MovesData = 1u << 1,  // output elements are input elements (or padding): commutes with per-tensor Q and DQ
  Monotone = 1u << 2,   // picks by order (max pooling): commutes with Q and DQ for scale > 0
  Weighted = 1u << 3,   // Conv, ConvTranspose, Gemm, MatMul
  Random = 1u << 4,     // not a function of its inputs: never folded
  Internal = 1u << 5,   // kvant's own, made by lowering; never imported or exported
};
constexpr Trait operator|(Trait a, Trait b) {
  return static_cast<Trait>(static_cast<uint32_t>(a) | static_cast<uint32_t>(b));
}

inline constexpr int kVariadic = 1 << 20;

struct OpDef {
  std::string_view name;
  int min_inputs = 1;
  int max_inputs = 1;  // kVariadic for any number
  int max_outputs = 1;
  std::vector<AttributeDef> attributes = {};
  Trait traits = Trait::None;
  // Output types from input types; shape absent or dimensions unknown where they cannot be told. Fails
  // (Error) on inputs that do not fit, with a sentence; the caller adds node and file.
  std::vector<Type> (*infer)(const InferArgs&) = nullptr;
  // Outputs from inputs: the reference that every kernel must match. Fails (Error) on inputs that do not fit.
  std::vector<Tensor> (*evaluate)(const EvalArgs&) = nullptr;

  bool is(Trait t) const { return (static_cast<uint32_t>(traits) & static_cast<uint32_t>(t)) != 0; }
};

// A table of operators, made once from a list file and passed on.
class OpTable {
 public:
  explicit OpTable(std::vector<OpDef> ops);
  const OpDef* find(std::string_view name) const;  // nullptr when unknown
  // Fails with the nearest names when unknown.
  const OpDef& get(std::string_view name) const;
  std::span<const OpDef> all() const { return ops_; }

 private:
  std::vector<OpDef> ops_;  // sorted by name
};

}  // namespace kvant::ir
