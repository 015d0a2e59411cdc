// SPDX-License-Identifier: Apache-2.0
#include "zoo/weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "zoo/foreign_names.h"

namespace kvant::zoo {
namespace {

enum class Layout { Ours, Keras, StateDict };

struct Candidate {
  std::string name;
  Layout layout;
};

// A constant of the network that a file may set.
struct Slot {
  ir::ValueId id;
  std::string name;
  std::string op;  // of its reader
  bool depthwise = false;
  bool optional = false;  // its value in the graph is what the library without this variable computes
};

bool is_slot(const ir::Graph& graph, const ir::Node& node, ir::ValueId input) {
  const Tensor* tensor = graph.constant(input);
  return tensor != nullptr && tensor->dtype() == DType::Float32 && tensor->rank() > 0 && node.op != "Clip";
}

std::vector<Slot> slots_of(const ir::Graph& graph, std::string_view network) {
  std::vector<Slot> slots;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    for (const ir::ValueId input : node.inputs) {
      if (!is_slot(graph, node, input)) continue;
      Slot slot{input, graph.value(input).name, node.op};
      const Shape& shape = graph.constant(input)->shape();
      slot.depthwise = node.op == "Conv" && shape.size() == 4 && shape[1] == 1 &&
                       node.attributes.integer("group", 1) == shape[0] && shape[0] > 1;
      slot.optional = (network == "keras-inception-v3" && slot.name.ends_with("/scale")) ||
                      slot.name.starts_with("normaliz");
      slots.push_back(std::move(slot));
    }
  }
  return slots;
}

std::vector<Candidate> candidates_of(const Slot& slot, std::string_view network) {
  std::vector<Candidate> candidates{{slot.name, Layout::Ours}};
  const bool keras = has_keras_names(network);
  const auto names = keras ? keras_names(slot.name, slot.depthwise) : state_dict_names(network, slot.name);
  for (const std::string& name : names) {
    // Names without a level are the same in both; so is the layout of what has them.
    if (name != slot.name) candidates.push_back({name, keras ? Layout::Keras : Layout::StateDict});
  }
  return candidates;
}

// The file's name without what libraries put around it: ":0", a layer's name said twice, "module.".
std::string plain(std::string name, bool keras) {
  if (!keras) return name.starts_with("module.") ? name.substr(7) : name;
  if (name.ends_with(":0")) name.resize(name.size() - 2);
  const size_t leaf = name.rfind('/');
  if (leaf != std::string::npos && leaf % 2 == 1) {
    const size_t half = leaf / 2;
    if (name[half] == '/' && name.compare(0, half, name, half + 1, half) == 0) name.erase(0, half + 1);
  }
  return name;
}

bool is_passed_over(std::string_view name) {
  return name.ends_with("num_batches_tracked") || name.ends_with("normalization/count");
}

Tensor permuted(const Tensor& t, std::vector<int64_t> permutation) { return transpose(t, permutation); }

// In our layout and f32. The rank is checked by the caller's comparison of shapes.
Tensor in_our_layout(const Tensor& source, const Slot& slot, Layout layout, const Shape& wanted) {
  Tensor t = source.cast(DType::Float32);
  if (slot.name.ends_with("/deviation") && layout == Layout::Keras) {
    for (float& value : t.mutable_data<float>()) value = std::sqrt(value);
  }
  // The Normalization layer keeps [channels]; ours broadcast over the image.
  if (slot.optional && t.rank() == 1 && wanted.size() == 3 && t.dim(0) == wanted[0])
    return t.reshaped(wanted);
  if (layout == Layout::StateDict && slot.op == "MatMul" && t.rank() == 2) return permuted(t, {1, 0});
  if (layout != Layout::Keras) return t;
  if (slot.op == "Gemm" && t.rank() == 2) return permuted(t, {1, 0});
  if (slot.op != "Conv" || t.rank() != 4) return t;
  if (!slot.depthwise) return permuted(t, {3, 2, 0, 1});
  t = permuted(t, {2, 3, 0, 1});
  return t.reshaped({t.dim(0) * t.dim(1), 1, t.dim(2), t.dim(3)});
}

void listing(std::string& text, const char* kind, const std::vector<std::string>& names) {
  constexpr size_t kShown = 12;
  if (names.empty()) return;
  text += fmt::format("{}{} {}: ", text.empty() ? "" : "; ", names.size(), kind);
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
}

}  // namespace

WeightMatch load_weights(ir::Graph& graph, std::string_view network, std::span<const NamedTensor> tensors) {
  const bool keras = has_keras_names(network);
  std::map<std::string, size_t, std::less<>> by_name;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string name = plain(tensors[i].first, keras);
    if (!by_name.emplace(name, i).second) fail("the file holds two tensors that mean '{}'", name);
  }
  WeightMatch match;
  std::set<size_t> used;
  for (const Slot& slot : slots_of(graph, network)) {
    const std::vector<Candidate> candidates = candidates_of(slot, network);
    const auto found = std::find_if(candidates.begin(), candidates.end(),
                                    [&](const Candidate& c) { return by_name.contains(c.name); });
    if (found == candidates.end()) {
      if (slot.optional) continue;
      std::string others;
      for (size_t i = 1; i < candidates.size(); ++i) others += (i > 1 ? " or " : " (") + candidates[i].name;
      match.missing.push_back(slot.name + others + (others.empty() ? "" : ")"));
      continue;
    }
    const size_t index = by_name.find(found->name)->second;
    used.insert(index);
    const Tensor& source = tensors[index].second;
    if (!is_float(source.dtype())) {
      match.wrong_shape.push_back(fmt::format("{}: {} instead of float", slot.name, name(source.dtype())));
      continue;
    }
    const Shape wanted = graph.constant(slot.id)->shape();
    Tensor value = in_our_layout(source, slot, found->layout, wanted);
    if (value.shape() != wanted) {
      match.wrong_shape.push_back(
          fmt::format("{}: {} instead of {}", slot.name, to_string(value.shape()), to_string(wanted)));
      continue;
    }
    graph.set_constant(slot.id, std::move(value));
    match.loaded.push_back(slot.name);
  }
  for (const auto& [name, index] : by_name) {
    if (!used.contains(index) && !is_passed_over(name)) match.unexpected.push_back(tensors[index].first);
  }
  return match;
}

std::string describe(const WeightMatch& match) {
  std::string text;
  listing(text, "missing", match.missing);
  listing(text, "of another shape", match.wrong_shape);
  listing(text, "unexpected", match.unexpected);
  return text;
}

}  // namespace kvant::zoo
