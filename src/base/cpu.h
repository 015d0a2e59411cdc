// SPDX-License-Identifier: Apache-2.0
// What this CPU can run, limited by the environment variable KVANT_MAX_ISA (none, avx2, avxvnni,
// avx512vnni, amx).
#pragma once

#include <string>
#include <string_view>

namespace kvant {

// In order of speed. Avx2 means AVX2 + FMA; AvxVnni adds vpdpbusd in VEX encoding; Avx512vnni means F, BW,
// VL, DQ and VNNI; Amx adds tiles of int8, allowed by the kernel. Each includes the ones before it, but for
// AvxVnni: many CPUs with AVX-512 lack it.
enum class Isa { None, Avx2, AvxVnni, Avx512vnni, Amx };

inline constexpr Isa kAllIsas[] = {Isa::None, Isa::Avx2, Isa::AvxVnni, Isa::Avx512vnni, Isa::Amx};

std::string_view name(Isa isa);
// The best instruction set of this CPU, not above KVANT_MAX_ISA. An unknown value there is an Error.
Isa best_isa();
// Whether code for that instruction set runs here (within KVANT_MAX_ISA).
bool supports(Isa isa);
// Whether kernels for it are worth trying: AVX-VNNI's are not where AVX-512's run.
inline bool worth_offering(Isa isa) {
  return supports(isa) && !(isa == Isa::AvxVnni && supports(Isa::Avx512vnni));
}
// What tactics' names say: the instruction set in `tactic`, None when there is none.
Isa isa_in(std::string_view tactic);
// The CPU's own name ("AMD EPYC ..."), for reports and timing caches.
std::string cpu_model();

}  // namespace kvant
