// SPDX-License-Identifier: Apache-2.0
// Attributes of a node: ONNX's kinds, by name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::ir {

using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                               std::vector<std::string>, Tensor>;

class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Attribute>> entries) : entries_(entries) {}

  bool has(std::string_view name) const { return entries_.find(name) != entries_.end(); }
  void set(std::string name, Attribute value) {
    entries_.insert_or_assign(std::move(name), std::move(value));
  }
  void erase(std::string_view name);
  // The value, or `fallback` when absent; an Error when it is of another kind.
  int64_t integer(std::string_view name, int64_t fallback) const;
  float real(std::string_view name, float fallback) const;
  std::string text(std::string_view name, std::string_view fallback) const;
  std::vector<int64_t> integers(std::string_view name, std::vector<int64_t> fallback = {}) const;
  std::vector<float> reals(std::string_view name, std::vector<float> fallback = {}) const;
  std::vector<std::string> texts(std::string_view name) const;
  // nullptr when absent.
  const Tensor* tensor(std::string_view name) const;

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  bool empty() const { return entries_.empty(); }
  friend bool operator==(const Attributes&, const Attributes&) = default;

 private:
  std::map<std::string, Attribute, std::less<>> entries_;
};

}  // namespace kvant::ir
