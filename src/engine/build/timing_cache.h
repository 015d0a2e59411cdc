// SPDX-License-Identifier: Apache-2.0
// Which tactic was fastest for a kind of layer on a kind of processor, kept between builds. A text file with
// one line per entry, so that files can be merged by putting them one after the other; of two lines of one
// key the faster counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "engine/backend.h"

namespace kvant::engine {

// Processor, threads, operator, shapes and what else decides about speed; not the values of constants.
// `processor`: of a device (Backend::processor), whose speed no thread changes; empty: this CPU and its
// instruction set.
std::string timing_key(const NodeView& view, const std::string& processor = {});

class TimingCache {
 public:
  struct Entry {
    std::string tactic;
    int64_t nanoseconds = 0;
  };
  // No file there: an empty cache. Fails on a file that is none of ours.
  explicit TimingCache(const std::filesystem::path& path);

  // nullptr when the key is not known.
  const Entry* find(const std::string& key) const;
  void set(const std::string& key, Entry entry) { entries_[key] = std::move(entry); }
  // Whole or not at all.
  void save() const;

 private:
  std::filesystem::path path_;
  std::map<std::string, Entry> entries_;
};

}  // namespace kvant::engine
