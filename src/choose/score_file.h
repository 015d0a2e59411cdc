// SPDX-License-Identifier: Apache-2.0
// Scores that were measured already, in a file, so that long work goes on where it was cut off.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "choose/samples.h"
#include "ir/graph.h"

namespace kvant::choose {

// A number that changes with the graph (weights too) and with `what` else matters.
std::string fingerprint(const ir::Graph& graph, const std::string& what);

class ScoreFile {
 public:
  // An empty path keeps everything in memory. With `resume` the file is read, if there is one; it fails when
  // that is damaged or has another fingerprint. Without, a file that is there is written anew.
  ScoreFile(std::filesystem::path path, std::string fingerprint, bool resume);
  const Score* find(const std::string& key) const;  // nullptr when not measured yet
  // Keeps a score; the file appears whole or not at all.
  void add(const std::string& key, const Score& score);

 private:
  void read();
  std::filesystem::path path_;
  std::string fingerprint_;
  std::map<std::string, Score> scores_;
};

}  // namespace kvant::choose
