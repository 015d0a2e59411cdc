// SPDX-License-Identifier: Apache-2.0
#include "backends/device_name.h"

#include <charconv>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::backends {
namespace {

constexpr std::string_view kCuda = "cuda", kEmulated = "emulated-cuda";

// The number after "name:", or nothing.
bool read_number(std::string_view text, int& number) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  return code == std::errc() && end == text.data() + text.size() && number >= 0;
}

}  // namespace

DeviceName parse_device(std::string_view text) {
  DeviceName name;
  if (text == "cpu") return name;
  if (text == kCuda || text.starts_with("cuda:")) {
    name.kind = DeviceKind::Cuda;
    if (text == kCuda || read_number(text.substr(kCuda.size() + 1), name.ordinal)) return name;
    fail("--device {}: a card is named by its number, as in cuda:0", text);
  }
  if (text == kEmulated || text.starts_with("emulated-cuda:")) {
    name.kind = DeviceKind::EmulatedCuda;
    if (text == kEmulated || text == "emulated-cuda:sm_90") return name;
    name.sm = 80;
    if (text == "emulated-cuda:sm_80") return name;
    fail("--device {}: the emulator stands for sm_80 or sm_90", text);
  }
  const std::vector<std::string> known = {"cpu", "cuda", "cuda:0", "emulated-cuda"};
  fail("--device does not take '{}': use cpu, cuda, cuda:N{}", text, nearest_hint(std::string(text), known));
}

}  // namespace kvant::backends
