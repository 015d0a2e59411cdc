// SPDX-License-Identifier: Apache-2.0
// A command as data: what it is called, what flags it takes, and the function that does it. main.cc makes the
// parser, the help and the error handling from this, so that every command keeps the same rules.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/progress.h"

namespace kvant::cli {

using Json = nlohmann::ordered_json;

// Wrong usage: exit status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

struct Flag {
  std::string name;   // "data"; a positional argument is written in capitals: "MODEL"
  std::string value;  // what stands for its value in the help ("FORMAT:PATH"); empty: a switch
  std::string help;
  std::string fallback;  // default, shown in the help
  bool required = false;
  bool many = false;                 // may be given several times
  std::vector<std::string> choices;  // the only values allowed, when not empty
  std::string letter;                // short form: "o"
};

// The values given (or defaults). Asking for a flag that the command did not declare is a Bug.
class Flags {
 public:
  std::map<std::string, std::vector<std::string>> values;
  std::map<std::string, Flag> declared;

  bool given(const std::string& name) const;  // by the user, not by default
  bool on(const std::string& name) const { return given(name); }
  std::string text(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  std::filesystem::path path(const std::string& name) const { return text(name); }
  // Fail (UsageError) with the flag's name when the value is not a number or not in [low, high].
  int64_t integer(const std::string& name, int64_t low, int64_t high) const;
  double real(const std::string& name, double low, double high) const;

 private:
  const Flag& flag(const std::string& name) const;
};

// What a command leaves: one JSON object (the promise of interface.md), and the same for people.
struct Result {
  Json json = Json::object();
  std::string text;
  std::string notes;  // remarks for standard error ("note: ...\n")
  // When what was asked for could not be had, though there is a result to show: the sentence. Exit status 1.
  std::string failure = {};
};

struct Command {
  std::string name;
  std::string summary;
  std::string example;  // arguments of an invocation that works
  std::vector<Flag>
      flags;  // the common ones (--json, --quiet, --threads, --seed, --device) come from the parser
  std::function<Result(const Flags&, Progress&)> run;
  bool any_device = false;  // takes --device other than cpu
};

// In the order of commands.inc.
std::vector<Command> commands();

// The value of --threads, or the cores available.
int threads_of(const Flags& flags);

}  // namespace kvant::cli
