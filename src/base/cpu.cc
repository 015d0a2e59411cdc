// SPDX-License-Identifier: Apache-2.0
#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <array>
#include <cstdlib>
#include <fstream>

#include "base/error.h"

namespace kvant {
namespace {

#if defined(__x86_64__)

// Bit `bit` of register `which` (0 to 3: eax to edx) of a leaf of CPUID; false where there is no such leaf.
bool cpuid_bit(unsigned leaf, unsigned subleaf, int which, int bit) {
  unsigned r[4] = {};
  if (__get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]) == 0) return false;
  return (r[which] >> bit & 1) != 0;
}

bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx_vnni() { return has_avx2() && cpuid_bit(7, 1, 0, 4); }

bool has_avx512_vnni() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

// The state of tiles is large, so Linux (5.16 and later) hands it out to a process that asks.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool has_amx() {
  constexpr int kTiles = 24, kInt8 = 25;  // of CPUID 7.0 edx
  return has_avx512_vnni() && cpuid_bit(7, 0, 3, kTiles) && cpuid_bit(7, 0, 3, kInt8) && may_use_tiles();
}

#else

bool has_avx2() { return false; }
bool has_avx_vnni() { return false; }
bool has_avx512_vnni() { return false; }
bool has_amx() { return false; }

#endif

bool cpu_has(Isa isa) {
  switch (isa) {
    case Isa::None:
      return true;
    case Isa::Avx2:
      return has_avx2();
    case Isa::AvxVnni:
      return has_avx_vnni();
    case Isa::Avx512vnni:
      return has_avx512_vnni();
    case Isa::Amx:
      return has_amx();
  }
  return false;
}

Isa limit() {
  const char* text = std::getenv("KVANT_MAX_ISA");
  if (text == nullptr || *text == '\0') return Isa::Amx;
  for (const Isa isa : kAllIsas) {
    if (name(isa) == text) return isa;
  }
  fail("KVANT_MAX_ISA is '{}': use none, avx2, avxvnni, avx512vnni or amx", text);
}

}  // namespace

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::None:
      return "none";
    case Isa::Avx2:
      return "avx2";
    case Isa::AvxVnni:
      return "avxvnni";
    case Isa::Avx512vnni:
      return "avx512vnni";
    case Isa::Amx:
      return "amx";
  }
  return "none";
}

bool supports(Isa isa) {
  // What runs, by instruction set; asked for once, and only up to the limit.
  static const auto runs = [] {
    std::array<bool, std::size(kAllIsas)> result{};
    const Isa highest = limit();
    for (const Isa each : kAllIsas) result[static_cast<size_t>(each)] = each <= highest && cpu_has(each);
    return result;
  }();
  return runs[static_cast<size_t>(isa)];
}

Isa best_isa() {
  Isa best = Isa::None;
  for (const Isa isa : kAllIsas) {
    if (supports(isa)) best = isa;
  }
  return best;
}

Isa isa_in(std::string_view tactic) {
  for (const Isa isa : {Isa::Amx, Isa::Avx512vnni, Isa::AvxVnni, Isa::Avx2}) {
    if (tactic.find(name(isa)) != std::string_view::npos) return isa;
  }
  return Isa::None;
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
