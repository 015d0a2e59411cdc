// SPDX-License-Identifier: Apache-2.0
#include "ir/attributes.h"

namespace kvant::ir {
namespace {

template <class T>
const T* find(const std::map<std::string, Attribute, std::less<>>& entries, std::string_view name,
              std::string_view kind) {
  const auto it = entries.find(name);
  if (it == entries.end()) return nullptr;
  const T* value = std::get_if<T>(&it->second);
  if (value == nullptr) fail("attribute '{}' is not of kind {}", name, kind);
  return value;
}

}  // namespace

void Attributes::erase(std::string_view name) {
  if (const auto it = entries_.find(name); it != entries_.end()) entries_.erase(it);
}

int64_t Attributes::integer(std::string_view name, int64_t fallback) const {
  const auto* value = find<int64_t>(entries_, name, "integer");
  return value ? *value : fallback;
}

float Attributes::real(std::string_view name, float fallback) const {
  const auto* value = find<float>(entries_, name, "float");
  return value ? *value : fallback;
}

std::string Attributes::text(std::string_view name, std::string_view fallback) const {
  const auto* value = find<std::string>(entries_, name, "string");
  return value ? *value : std::string(fallback);
}

std::vector<int64_t> Attributes::integers(std::string_view name, std::vector<int64_t> fallback) const {
  const auto* value = find<std::vector<int64_t>>(entries_, name, "list of integers");
  return value ? *value : std::move(fallback);
}

std::vector<float> Attributes::reals(std::string_view name, std::vector<float> fallback) const {
  const auto* value = find<std::vector<float>>(entries_, name, "list of floats");
  return value ? *value : std::move(fallback);
}

std::vector<std::string> Attributes::texts(std::string_view name) const {
  const auto* value = find<std::vector<std::string>>(entries_, name, "list of strings");
  return value ? *value : std::vector<std::string>{};
}

const Tensor* Attributes::tensor(std::string_view name) const {
  return find<Tensor>(entries_, name, "tensor");
}

}  // namespace kvant::ir
