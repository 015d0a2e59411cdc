// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"

namespace kvant {
namespace {

class Silent final : public Progress {
 public:
  void begin(std::string_view, int64_t, std::string_view) override {}
  void update(int64_t, std::string_view) override {}
  void end() override {}
};

}  // namespace

Progress& silent_progress() {
  static Silent silent;
  return silent;
}

}  // namespace kvant
