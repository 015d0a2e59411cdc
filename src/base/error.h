// SPDX-License-Identifier: Apache-2.0
// Errors with their story. Error: the input, the environment or the model is at fault (exit status 1); Bug:
// we are (exit status 70). Notes are added while the exception passes a boundary: file, node, rule, kernel
// build.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace kvant {

// One sentence that says what is wrong, where, and what to do; `trail` lists the boundaries it passed,
// innermost first.
class Error : public std::exception {
 public:
  explicit Error(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  const std::vector<std::string>& trail() const noexcept { return trail_; }
  void add_note(std::string note) { trail_.push_back(std::move(note)); }

 private:
  std::string message_;
  std::vector<std::string> trail_;
};

// An invariant of ours that does not hold. Never thrown for anything that a user's file can contain.
class Bug : public std::exception {
 public:
  explicit Bug(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// Throws Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Runs `fn`; an Error that passes gets the note `note()` (a callable, evaluated only then) on its trail.
template <class Note, class Fn>
decltype(auto) noting(Note&& note, Fn&& fn) {
  try {
    return std::forward<Fn>(fn)();
  } catch (Error& error) {
    error.add_note(note());
    throw;
  }
}

[[noreturn]] void throw_bug(const char* file, int line, const char* condition, const std::string& what);

}  // namespace kvant

// Always on: a broken invariant of ours becomes a Bug with its place. `what` is a std::string or literal.
#define KVANT_CHECK(condition, what)                                              \
  do {                                                                            \
    if (!(condition)) ::kvant::throw_bug(__FILE__, __LINE__, #condition, (what)); \
  } while (false)

#ifdef NDEBUG
#define KVANT_DCHECK(condition, what) static_cast<void>(0)
#else
#define KVANT_DCHECK(condition, what) KVANT_CHECK(condition, what)
#endif
