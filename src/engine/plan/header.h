// SPDX-License-Identifier: Apache-2.0
// The first 64 bytes of a plan file, little-endian as all supported machines are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/cpu.h"

namespace kvant::engine {

inline constexpr char kPlanMagic[8] = {'k', 'v', 'a', 'n', 't', 'P', 'L', '\n'};

struct PlanHeader {
  char magic[8];
  uint32_t version;
  uint32_t isa;  // that the tactics need, as a place in kIsaNumbers
  uint64_t file_bytes;
  uint64_t content_check;  // XXH3 over everything after the header
  uint64_t text_bytes;     // of the text section, which follows the header
  uint64_t blob_start;     // file offset of the blobs, a multiple of 64
  uint32_t threads;
  uint32_t reserved;      // 0
  uint64_t header_check;  // XXH3 over the bytes before this field
};
static_assert(sizeof(PlanHeader) == 64 && std::is_trivially_copyable_v<PlanHeader>);

// Instruction sets by their number in files, which stays when one comes in between.
inline constexpr Isa kIsaNumbers[] = {Isa::None, Isa::Avx2, Isa::Avx512vnni, Isa::AvxVnni, Isa::Amx};

uint64_t checksum(std::span<const std::byte> bytes);
uint64_t checksum_of(const PlanHeader& header);

}  // namespace kvant::engine
