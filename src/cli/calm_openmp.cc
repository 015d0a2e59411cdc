// SPDX-License-Identifier: Apache-2.0
#include "cli/calm_openmp.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace kvant::cli {

void calm_openmp(char** arguments) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  bool spin = true;
  for (char** argument = arguments; *argument != nullptr; ++argument)
    spin = spin && std::string_view(*argument) != "--no-spin";
  if (setenv("GOMP_SPINCOUNT", spin ? "2000" : "0", 1) != 0) return;
  // By its path, so that ps and top show the program's name; that way fails when the file was replaced
  // meanwhile.
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) execv(program.c_str(), arguments);
  execv("/proc/self/exe", arguments);
}

}  // namespace kvant::cli
