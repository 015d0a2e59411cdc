// SPDX-License-Identifier: Apache-2.0
#include "engine/plan/text_lines.h"

#include <charconv>

#include "base/error.h"

namespace kvant::engine {

std::string quote(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

namespace {

// The string that starts after the quote at `i`; leaves `i` after its end.
std::string unquote(std::string_view line, size_t& i) {
  std::string word;
  for (++i; i < line.size(); ++i) {
    if (line[i] == '"') {
      ++i;
      return word;
    }
    if (line[i] != '\\') {
      word += line[i];
      continue;
    }
    if (++i == line.size()) break;
    word += line[i] == 'n' ? '\n' : line[i];
  }
  fail("unterminated string in a plan's text");
}

}  // namespace

std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> words;
  size_t i = 0;
  while (i < line.size()) {
    if (line[i] == ' ') {
      ++i;
    } else if (line[i] == '"') {
      words.push_back(unquote(line, i));
    } else {
      const size_t end = std::min(line.find(' ', i), line.size());
      words.emplace_back(line.substr(i, end - i));
      i = end;
    }
  }
  return words;
}

std::string_view LineReader::line() {
  if (done()) fail("a plan's text ends too early");
  const size_t end = std::min(text_.find('\n', position_), text_.size());
  const std::string_view result = text_.substr(position_, end - position_);
  position_ = end + 1;
  return result;
}

std::string_view LineReader::block(size_t count) {
  if (position_ > text_.size() || count > text_.size() - position_) fail("a plan's text ends too early");
  const std::string_view result = text_.substr(position_, count);
  position_ += count + 1;
  return result;
}

int64_t number_of(std::string_view word, int64_t low, int64_t high, std::string_view what) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < low || value > high) {
    fail("{} is '{}', which a plan cannot hold", what, word);
  }
  return value;
}

}  // namespace kvant::engine
