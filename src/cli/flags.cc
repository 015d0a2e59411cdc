// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>

#include "base/thread_pool.h"
#include "cli/command.h"

namespace kvant::cli {

const Flag& Flags::flag(const std::string& name) const {
  const auto it = declared.find(name);
  KVANT_CHECK(it != declared.end(), "flag --" + name + " is read but not declared");
  return it->second;
}

bool Flags::given(const std::string& name) const {
  flag(name);
  const auto it = values.find(name);
  return it != values.end() && !it->second.empty();
}

std::string Flags::text(const std::string& name) const {
  return given(name) ? values.at(name).back() : flag(name).fallback;
}

std::vector<std::string> Flags::texts(const std::string& name) const {
  if (given(name)) return values.at(name);
  return flag(name).fallback.empty() ? std::vector<std::string>{} : std::vector{flag(name).fallback};
}

int64_t Flags::integer(const std::string& name, int64_t low, int64_t high) const {
  const std::string value = text(name);
  int64_t number = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (code != std::errc() || end != value.data() + value.size() || number < low || number > high) {
    throw UsageError(
        fmt::format("--{} takes a whole number from {} to {}, got '{}'", name, low, high, value));
  }
  return number;
}

double Flags::real(const std::string& name, double low, double high) const {
  const std::string value = text(name);
  double number = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (code != std::errc() || end != value.data() + value.size() || !(number >= low && number <= high)) {
    throw UsageError(fmt::format("--{} takes a number from {} to {}, got '{}'", name, low, high, value));
  }
  return number;
}

int threads_of(const Flags& flags) {
  return flags.given("threads") ? static_cast<int>(flags.integer("threads", 1, 1024)) : available_cores();
}

}  // namespace kvant::cli
