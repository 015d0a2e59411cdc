// SPDX-License-Identifier: Apache-2.0
#include "ir/op_def.h"

#include <algorithm>

#include "base/nearest.h"

namespace kvant::ir {

OpTable::OpTable(std::vector<OpDef> ops) : ops_(std::move(ops)) {
  std::ranges::sort(ops_, {}, &OpDef::name);
  for (size_t i = 1; i < ops_.size(); ++i) {
    KVANT_CHECK(ops_[i - 1].name != ops_[i].name, "operator listed twice: " + std::string(ops_[i].name));
  }
}

const OpDef* OpTable::find(std::string_view name) const {
  const auto it = std::ranges::lower_bound(ops_, name, {}, &OpDef::name);
  return it != ops_.end() && it->name == name ? &*it : nullptr;
}

const OpDef& OpTable::get(std::string_view name) const {
  if (const OpDef* op = find(name)) return *op;
  std::vector<std::string> known;
  for (const OpDef& op : ops_) {
    if (!op.is(Trait::Internal)) known.emplace_back(op.name);
  }
  fail("operator {} is not supported{}", name, nearest_hint(name, known));
}

}  // namespace kvant::ir
