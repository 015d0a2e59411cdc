// SPDX-License-Identifier: Apache-2.0
#include "cli/parse.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>

#include "backends/device_name.h"
#include "base/nearest.h"

namespace kvant::cli {
namespace {

bool is_positional(const Flag& flag) { return std::isupper(static_cast<unsigned char>(flag.name[0])) != 0; }

std::vector<Flag> all_flags(const Command& command) {
  std::vector<Flag> flags = command.flags;
  for (const Flag& flag : common_flags()) {
    const bool own = std::ranges::find(flags, flag.name, &Flag::name) != flags.end();
    if (!own) flags.push_back(flag);
  }
  return flags;
}

std::string spelling(const Flag& flag) {
  if (is_positional(flag)) return flag.name;
  return (flag.letter.empty() ? "" : "-" + flag.letter + ",") + "--" + flag.name;
}

// CLI11 says that something is left over; we say what it is and what it may have meant.
void refuse_unknown(const std::vector<Flag>& flags, std::span<const std::string> arguments) {
  std::vector<std::string> known = {"--help"};
  for (const Flag& flag : flags) {
    if (!is_positional(flag)) known.push_back("--" + flag.name);
  }
  for (const std::string& argument : arguments) {
    if (argument == "--") return;
    if (!argument.starts_with("--")) continue;
    const std::string name = argument.substr(0, argument.find('='));
    if (std::ranges::find(known, name) == known.end()) {
      throw UsageError(fmt::format("unknown flag {}{}", name, nearest_hint(name, known)));
    }
  }
}

void check_choices(const Flag& flag, const std::vector<std::string>& values) {
  if (flag.choices.empty()) return;
  for (const std::string& value : values) {
    if (std::ranges::find(flag.choices, value) != flag.choices.end()) continue;
    throw UsageError(fmt::format("{} does not take '{}': use {}{}",
                                 is_positional(flag) ? flag.name : "--" + flag.name, value,
                                 fmt::join(flag.choices, ", "), nearest_hint(value, flag.choices)));
  }
}

// --device, for commands that compute on one.
void check_device(const Command& command, const Flags& flags) {
  const std::string device = flags.text("device");
  try {
    backends::parse_device(device);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  if (device != "cpu" && !command.any_device)
    throw UsageError(
        fmt::format("kvant {} computes on the CPU: leave out --device {}", command.name, device));
}

std::string describe(const Flag& flag) {
  std::string text = flag.help;
  if (!flag.choices.empty()) text += fmt::format(": {}", fmt::join(flag.choices, ", "));
  if (!flag.fallback.empty()) text += fmt::format(" [{}]", flag.fallback);
  if (flag.required && !is_positional(flag)) text += " (required)";
  return text;
}

// `text` in lines of at most `width`, the later ones indented.
std::string wrap(const std::string& text, size_t indent, size_t width) {
  std::string result, line;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      result += line + "\n" + std::string(indent, ' ');
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return result + line;
}

// Where CLI11 leaves what it read; it keeps references, so these live as long as the App.
struct Slots {
  std::map<std::string, bool> switches;
  std::map<std::string, std::string> singles;
  std::map<std::string, std::vector<std::string>> lists;
};

void add_options(CLI::App& app, const std::vector<Flag>& flags, Slots& slots) {
  for (const Flag& flag : flags) {
    if (flag.value.empty() && !is_positional(flag)) {
      app.add_flag(spelling(flag), slots.switches[flag.name]);
    } else if (flag.many) {
      app.add_option(spelling(flag), slots.lists[flag.name])
          ->required(flag.required)
          ->allow_extra_args(is_positional(flag));
    } else {
      app.add_option(spelling(flag), slots.singles[flag.name])->required(flag.required);
    }
  }
}

Flags collect(const CLI::App& app, const std::vector<Flag>& flags, const Slots& slots) {
  Flags result;
  for (const Flag& flag : flags) {
    result.declared.emplace(flag.name, flag);
    const std::string name = is_positional(flag) ? flag.name : "--" + flag.name;
    if (app.get_option(name)->count() == 0) continue;
    if (const auto it = slots.lists.find(flag.name); it != slots.lists.end()) {
      result.values[flag.name] = it->second;
    } else if (const auto single = slots.singles.find(flag.name); single != slots.singles.end()) {
      result.values[flag.name] = {single->second};
    } else {
      result.values[flag.name] = {"on"};
    }
  }
  for (const Flag& flag : flags) check_choices(flag, result.texts(flag.name));
  return result;
}

}  // namespace

std::vector<Flag> common_flags() {
  return {
      {.name = "threads", .value = "N", .help = "threads to use (default: the cores available)"},
      {.name = "seed", .value = "N", .help = "seed of everything random", .fallback = "0"},
      {.name = "device", .value = "DEVICE", .help = "where to compute: cpu, cuda, cuda:N", .fallback = "cpu"},
      {.name = "json", .value = "", .help = "print one JSON object on standard output"},
      {.name = "quiet", .value = "", .help = "no progress on standard error"},
  };
}

const Command& find(std::span<const Command> commands, const std::string& name) {
  std::vector<std::string> known;
  for (const Command& command : commands) {
    if (command.name == name) return command;
    known.push_back(command.name);
  }
  throw UsageError(fmt::format("unknown command '{}'{}", name, nearest_hint(name, known)));
}

Flags parse(const Command& command, std::span<const std::string> arguments) {
  const std::vector<Flag> flags = all_flags(command);
  refuse_unknown(flags, arguments);
  CLI::App app(command.summary, command.name);
  app.set_help_flag();
  Slots slots;
  add_options(app, flags, slots);
  const std::string see = fmt::format("; see kvant {} --help", command.name);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::RequiredError& error) {
    const std::string what = error.what();
    throw UsageError(what.substr(0, what.find(" is required")) + " is missing" + see);
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what() + see);
  }
  Flags result = collect(app, flags, slots);
  check_device(command, result);
  return result;
}

std::string help(std::span<const Command> commands) {
  std::string text =
      "kvant takes a trained float network (ONNX) and gives back the same network in INT8.\n\n"
      "usage: kvant COMMAND [flags]      kvant COMMAND --help tells more\n\ncommands:\n";
  for (const Command& command : commands) {
    text += fmt::format("  {:<12} {}\n", command.name, wrap(command.summary, 15, 84));
  }
  return text +
         "\nExit status: 0 done, 1 the input or the environment is at fault, 2 wrong usage, 70 a bug of "
         "kvant.\n";
}

std::string help(const Command& command) {
  std::string usage = "usage: kvant " + command.name;
  for (const Flag& flag : command.flags) {
    if (is_positional(flag)) {
      usage += flag.required ? " " + flag.name : " [" + flag.name + "]";
    } else if (flag.required) {
      usage += fmt::format(" {} {}", flag.letter.empty() ? "--" + flag.name : "-" + flag.letter, flag.value);
    }
  }
  std::string text =
      fmt::format("kvant {}: {}\n\n{} [flags]\n\n", command.name, wrap(command.summary, 2, 90), usage);
  for (const Flag& flag : all_flags(command)) {
    std::string left = flag.name;
    if (!is_positional(flag))
      left = (flag.letter.empty() ? "    " : "-" + flag.letter + ", ") + "--" + flag.name;
    if (!flag.value.empty() && !is_positional(flag)) left += " " + flag.value;
    text += fmt::format("  {:<30} {}\n", left, wrap(describe(flag), 33, 66));
  }
  return text + fmt::format("\nexample:\n  kvant {} {}\n", command.name, command.example);
}

}  // namespace kvant::cli
