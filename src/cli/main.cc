// SPDX-License-Identifier: Apache-2.0
// kvant: reads the command line, runs the command, and is the only place that catches, prints and chooses the
// exit status.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "cli/calm_openmp.h"
#include "cli/parse.h"
#include "cli/progress_bar.h"

namespace kvant::cli {
namespace {

constexpr int kBadInput = 1, kBadUsage = 2, kOurBug = 70;

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

int report(const std::string& sentence, const std::vector<std::string>& trail, int status, bool json) {
  if (json) fmt::print("{}", dump({{"error", sentence}, {"trail", trail}, {"exit", status}}));
  fmt::print(stderr, "kvant: {}\n", sentence);
  for (const std::string& note : trail) fmt::print(stderr, "  {}\n", note);
  return status;
}

// The result under the command's name and the files that it was about, so that it can be read by itself.
Json named(const Command& command, const Flags& flags, Json result) {
  Json json = {{"command", command.name}};
  for (const Flag& flag : command.flags) {
    std::string key = flag.name;
    if (std::isupper(static_cast<unsigned char>(key[0])) == 0 || flag.many || !flags.given(flag.name))
      continue;
    std::ranges::transform(key, key.begin(), [](unsigned char c) { return std::tolower(c); });
    json[key] = flags.text(flag.name);
  }
  json.update(result);
  return json;
}

int run(const Command& command, const std::vector<std::string>& arguments) {
  const Flags flags = parse(command, arguments);
  catch_interrupts();
  ProgressBar bar(stderr);
  Result result = command.run(flags, flags.on("quiet") ? silent_progress() : bar);
  result.json = named(command, flags, std::move(result.json));
  if (!result.failure.empty()) {
    result.json.update({{"error", result.failure}, {"trail", Json::array()}, {"exit", kBadInput}});
  }
  fmt::print(stderr, "{}", result.notes);
  const std::string text = flags.on("json") ? dump(result.json) : result.text;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail("cannot write the result to standard output");
  }
  return result.failure.empty() ? 0 : report(result.failure, {}, kBadInput, false);
}

int dispatch(const std::vector<std::string>& arguments) {
  const std::vector<Command> all = commands();
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    fmt::print("{}", help(all));
    return 0;
  }
  if (arguments[0] == "--version") {
    fmt::print("kvant {}\n", KVANT_VERSION);
    return 0;
  }
  const Command& command = find(all, arguments[0]);
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  for (const std::string& argument : rest) {
    if (argument == "--help" || argument == "-h") {
      fmt::print("{}", help(command));
      return 0;
    }
  }
  return run(command, rest);
}

int guarded(const std::vector<std::string>& arguments) {
  const bool json = std::ranges::find(arguments, "--json") != arguments.end();
  try {
    return dispatch(arguments);
  } catch (const UsageError& error) {
    return report(error.what(), error.trail(), kBadUsage, json);
  } catch (const Error& error) {
    return report(error.what(), error.trail(), kBadInput, json);
  } catch (const Interrupted& interrupted) {
    return report("stopped on request; no file was left half written", {}, 128 + interrupted.signal, json);
  } catch (const std::bad_alloc&) {
    return report("not enough memory for this: use a smaller batch or close other programs", {}, kBadInput,
                  json);
  } catch (const std::exception& error) {
    const std::string sentence = fmt::format(
        "this is a bug of kvant: {}; please report it with the command and the model file", error.what());
    return report(sentence, {}, kOurBug, json);
  }
}

}  // namespace
}  // namespace kvant::cli

int main(int count, char** values) {
  kvant::cli::calm_openmp(values);
  return kvant::cli::guarded(std::vector<std::string>(values + 1, values + count));
}
