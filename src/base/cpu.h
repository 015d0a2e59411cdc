// SPDX-License-Identifier: Apache-2.0
// What this CPU can run, limited by the environment variable KVANT_MAX_ISA (none, avx2, avx512vnni).
#pragma once

#include <string>
#include <string_view>

namespace kvant {

// In order: each includes the ones before it. Avx2 means AVX2 + FMA; Avx512vnni means F, BW, VL, DQ and VNNI.
enum class Isa { None, Avx2, Avx512vnni };

std::string_view name(Isa isa);
// The best instruction set of this CPU, not above KVANT_MAX_ISA. An unknown value there is an Error.
Isa best_isa();
inline bool supports(Isa isa) { return best_isa() >= isa; }
// The CPU's own name ("AMD EPYC ..."), for reports and timing caches.
std::string cpu_model();

}  // namespace kvant
