// SPDX-License-Identifier: Apache-2.0
#include "quant/targets/least_bits.h"

#include <algorithm>
#include <charconv>

#include "ir/qdq.h"

namespace kvant::quant {

int least_bits(const ir::Graph& graph) {
  int least = 8;
  const std::string key(ir::kBitsKey);
  for (auto it = graph.metadata.lower_bound(key); it != graph.metadata.end() && it->first.starts_with(key);
       ++it) {
    if (it->first.size() > key.size() && it->first[key.size()] != ':') continue;
    int bits = 8;
    const std::string& text = it->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
    if (error == std::errc() && bits >= 2) least = std::min(least, bits);
  }
  return least;
}

}  // namespace kvant::quant
