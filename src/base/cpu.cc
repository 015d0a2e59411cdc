// SPDX-License-Identifier: Apache-2.0
#include "base/cpu.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/error.h"

namespace kvant {
namespace {

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx2 && avx512) return Isa::Avx512vnni;
  if (avx2) return Isa::Avx2;
#endif
  return Isa::None;
}

Isa limit() {
  const char* text = std::getenv("KVANT_MAX_ISA");
  if (text == nullptr || *text == '\0') return Isa::Avx512vnni;
  for (const Isa isa : {Isa::None, Isa::Avx2, Isa::Avx512vnni}) {
    if (name(isa) == text) return isa;
  }
  fail("KVANT_MAX_ISA is '{}': use none, avx2 or avx512vnni", text);
}

}  // namespace

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::None:
      return "none";
    case Isa::Avx2:
      return "avx2";
    case Isa::Avx512vnni:
      return "avx512vnni";
  }
  return "none";
}

Isa best_isa() {
  static const Isa best = std::min(detect(), limit());
  return best;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

}  // namespace kvant
