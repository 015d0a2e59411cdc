// SPDX-License-Identifier: Apache-2.0
// The line format of a plan's text section: words and "quoted strings" separated by blanks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvant::engine {

// "text" with backslash, quote and newline escaped.
std::string quote(std::string_view text);

// Words of one line, unquoted. Fails on an unterminated string or an unknown escape.
std::vector<std::string> split_words(std::string_view line);

// Walks lines of a text; fails at the end.
class LineReader {
 public:
  explicit LineReader(std::string_view text) : text_(text) {}
  bool done() const { return position_ >= text_.size(); }
  std::string_view line();
  // The next `count` bytes as they are, and the newline after them.
  std::string_view block(size_t count);

 private:
  std::string_view text_;
  size_t position_ = 0;
};

// A number in decimal, in [low, high]; fails with `what` otherwise.
int64_t number_of(std::string_view word, int64_t low, int64_t high, std::string_view what);

}  // namespace kvant::engine
