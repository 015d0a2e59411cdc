// SPDX-License-Identifier: Apache-2.0
#include "cli/calm_openmp.h"

#include <unistd.h>

#include <cstdlib>

namespace kvant::cli {

void calm_openmp(char** arguments) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (setenv("GOMP_SPINCOUNT", "2000", 1) == 0) execv("/proc/self/exe", arguments);
}

}  // namespace kvant::cli
