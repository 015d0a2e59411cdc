// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

namespace kvant {

void throw_bug(const char* file, int line, const char* condition, const std::string& what) {
  throw Bug(fmt::format("{}:{}: {} ({})", file, line, what, condition));
}

}  // namespace kvant
