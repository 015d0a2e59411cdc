// SPDX-License-Identifier: Apache-2.0
#include "engine/build/timing_cache.h"

#include <charconv>
#include <sstream>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"

namespace kvant::engine {
namespace {

constexpr std::string_view kFirstLine = "# kvant timings 1";

std::string type_text(const ir::Type& type) {
  return fmt::format("{}[{}]", name(type.dtype), type.shape ? to_string(*type.shape) : "");
}

std::string attribute_text(const ir::Attribute& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* numbers = std::get_if<std::vector<int64_t>>(&value)) return to_string(*numbers);
  return "";
}

// "key \t tactic \t nanoseconds"
bool parse_line(const std::string& line, std::string& key, TimingCache::Entry& entry) {
  const size_t first = line.find('\t'), second = line.find('\t', first + 1);
  if (first == std::string::npos || second == std::string::npos) return false;
  key = line.substr(0, first);
  entry.tactic = line.substr(first + 1, second - first - 1);
  const auto [end, code] =
      std::from_chars(line.data() + second + 1, line.data() + line.size(), entry.nanoseconds);
  return code == std::errc() && end == line.data() + line.size() && entry.nanoseconds >= 0;
}

}  // namespace

std::string timing_key(const NodeView& view, const std::string& processor) {
  std::string key = processor.empty() ? fmt::format("{} {} {} threads {}", cpu_model(), name(best_isa()),
                                                    view.threads, view.node.op)
                                      : fmt::format("{} {}", processor, view.node.op);
  for (const auto& [attribute, value] : view.node.attributes) {
    const std::string text = attribute_text(value);
    if (!text.empty()) key += fmt::format(" {}={}", attribute, text);
  }
  for (const ir::Type& type : view.inputs) key += " " + type_text(type);
  key += " ->";
  for (const ir::Type& type : view.outputs) key += " " + type_text(type);
  for (char& c : key) c = c == '\t' || c == '\n' ? ' ' : c;
  return key;
}

TimingCache::TimingCache(const std::filesystem::path& path) : path_(path) {
  if (!std::filesystem::exists(path)) return;
  std::istringstream text(read_text(path));
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    if (number == 1 && line != kFirstLine) fail("{} is not a timing cache of kvant", path.string());
    if (line.empty() || line[0] == '#') continue;
    std::string key;
    Entry entry;
    if (!parse_line(line, key, entry))
      fail("line {} of the timing cache {} cannot be read", number, path.string());
    const Entry* known = find(key);
    if (known == nullptr || known->nanoseconds > entry.nanoseconds) set(key, std::move(entry));
  }
}

const TimingCache::Entry* TimingCache::find(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

void TimingCache::save() const {
  std::string text = std::string(kFirstLine) + "\n";
  for (const auto& [key, entry] : entries_)
    text += fmt::format("{}\t{}\t{}\n", key, entry.tactic, entry.nanoseconds);
  write_text(path_, text);
}

}  // namespace kvant::engine
