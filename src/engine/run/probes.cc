// SPDX-License-Identifier: Apache-2.0
#include "engine/run/probes.h"

#include <charconv>

#include <fmt/ranges.h>

#include "base/error.h"

namespace kvant::engine {
namespace {

// Comma-separated integers; nothing on anything else.
std::optional<std::vector<int64_t>> parse_integers(std::string_view text) {
  std::vector<int64_t> result;
  while (true) {
    const size_t end = std::min(text.find(','), text.size());
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + end, value);
    if (error != std::errc() || stop != text.data() + end) return std::nullopt;
    result.push_back(value);
    if (end == text.size()) return result;
    text.remove_prefix(end + 1);
  }
}

bool is_permutation(const std::vector<int64_t>& axes) {
  std::vector<char> seen(axes.size(), 0);
  for (const int64_t axis : axes) {
    if (axis < 0 || axis >= static_cast<int64_t>(axes.size()) || seen[static_cast<size_t>(axis)]++)
      return false;
  }
  return true;
}

// Codes minus an offset, in the other 8-bit type: i8 stored as u8 and the reverse.
Tensor shifted(const Tensor& stored, int32_t offset) {
  const bool is_signed = stored.dtype() == DType::Int8;
  Tensor result(is_signed ? DType::UInt8 : DType::Int8, stored.shape());
  std::byte* out = result.mutable_raw();
  for (int64_t i = 0; i < stored.size(); ++i) {
    out[i] = static_cast<std::byte>(static_cast<int32_t>(stored.raw()[i]) - offset);
  }
  return result;
}

}  // namespace

std::string to_string(const Probe& probe) {
  std::string text = probe.value;
  if (!probe.permutation.empty()) text += fmt::format(";perm={}", fmt::join(probe.permutation, ","));
  if (probe.flat) text += ";flat=1";
  if (probe.offset != 0) text += fmt::format(";offset={}", probe.offset);
  return text;
}

std::optional<Probe> parse_probe(std::string_view text) {
  // Read from the end: a value's name may hold a semicolon.
  Probe probe;
  for (size_t at = text.rfind(';'); at != std::string_view::npos; at = text.rfind(';')) {
    const std::string_view part = text.substr(at + 1);
    const bool is_permuted = part.starts_with("perm=");
    const bool is_flat = part.starts_with("flat=");
    if (!is_permuted && !is_flat && !part.starts_with("offset=")) break;
    const auto numbers = parse_integers(part.substr(part.find('=') + 1));
    if (!numbers) return std::nullopt;
    if (is_permuted) {
      if (!is_permutation(*numbers)) return std::nullopt;
      probe.permutation = *numbers;
    } else if (is_flat) {
      if (*numbers != std::vector<int64_t>{1}) return std::nullopt;
      probe.flat = true;
    } else if (numbers->size() == 1 && ((*numbers)[0] == 128 || (*numbers)[0] == -128)) {
      probe.offset = static_cast<int32_t>((*numbers)[0]);
    } else {
      return std::nullopt;
    }
    text = text.substr(0, at);
  }
  probe.value = text;
  return probe;
}

Tensor restore(const Probe& probe, const Tensor& stored) {
  Tensor result = stored;
  if (!probe.permutation.empty() && probe.permutation.size() == stored.rank()) {
    std::vector<int64_t> inverse(probe.permutation.size());
    for (size_t i = 0; i < inverse.size(); ++i)
      inverse[static_cast<size_t>(probe.permutation[i])] = static_cast<int64_t>(i);
    result = transpose(result, inverse);
  }
  if (probe.flat && result.rank() > 1 && result.dim(0) > 0) {
    result = result.reshaped({result.dim(0), result.size() / result.dim(0)});
  }
  if (probe.offset != 0 && size_of(result.dtype()) == 1) result = shifted(result, probe.offset);
  return result;
}

void record_probe(ir::Graph& graph, const std::string& original, const Probe& probe) {
  graph.metadata[std::string(kProbePrefix) + original] = to_string(probe);
}

std::map<std::string, Probe> probes_of(const ir::Graph& graph) {
  std::map<std::string, Probe> result;
  for (const auto& [key, text] : graph.metadata) {
    if (!key.starts_with(kProbePrefix)) continue;
    if (auto probe = parse_probe(text)) result.emplace(key.substr(kProbePrefix.size()), std::move(*probe));
  }
  return result;
}

}  // namespace kvant::engine
