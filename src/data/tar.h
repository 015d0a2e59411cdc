// SPDX-License-Identifier: Apache-2.0
// The index of a tar archive (ustar, GNU long names, pax paths and sizes, hard links). Nothing is unpacked:
// entries are parts of the mapped archive. Headers are untrusted: checksums, sizes and paths are checked.
#pragma once

#include <map>
#include <string>

#include "data/stream.h"

namespace kvant::data {

struct TarEntry {
  size_t offset = 0;
  size_t size = 0;
};

// Path (without "./" and trailing "/") -> place of the content, of the regular files. A later entry replaces
// an earlier one.
using TarIndex = std::map<std::string, TarEntry>;

// `name` is the archive in messages. Fails on a damaged header, an entry that reaches beyond the end, a path
// with "..", and on sparse files.
TarIndex index_tar(std::span<const std::byte> archive, const std::string& name);

}  // namespace kvant::data
